package httpapi_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"glossa/asr"
	"glossa/asr/jobs"
	"glossa/asr/jobs/broker"
	"glossa/asr/jobs/outbound"
	"glossa/asr/params"
)

// TestJobsOfTheEmbeddedModel submits clips as jobs, which a worker does on a broker, and checks that each is watched to its end, is told to its
// callback, and has the result that a request for a transcription is answered with.
func TestJobsOfTheEmbeddedModel(t *testing.T) {
	b, err := broker.Start(t.Context(), broker.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	store, err := jobs.Open(t.Context(), nc, jobs.Options{Model: "nano"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	e := nanoEngine(t)
	o := jobOptions(nil)
	o.Jobs = store
	_, at := newServer(t, e, o)

	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan jobs.Hook, 100)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		var h jobs.Hook
		err := json.NewDecoder(r.Body).Decode(&body)
		if err == nil {
			err = json.Unmarshal(body, &h)
		}
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			t.Error(err)
		}
		told <- h
	}))
	t.Cleanup(receiver.Close)
	guard := outbound.Guard{Internal: true, Roots: x509.NewCertPool()}
	guard.Roots.AddCert(receiver.Certificate())
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	worker := jobs.NewWorker(store, jobs.WorkerOptions{Engine: e, Models: []string{"nano"}, Request: func(ctx context.Context, client string, p asr.Params) (asr.Request, error) {
		q, err := params.Reader{}.Request(ctx, p)
		q.Client = client
		return q, err
	}})
	running.Go(func() { worker.Run(ctx, ctx) })
	running.Go(func() { store.RunHooks(ctx, jobs.HookOptions{Guard: guard, Secret: secret, BaseURL: at}) })

	for _, c := range clips(t, "01")[:4] {
		sound, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		file, words := field{"file", string(sound)}, field{"timestamp_granularities[]", "word"}
		j := post(t, at+"/v1/jobs", file, words, field{"callback_url", receiver.URL}).job(t, 202)
		w := watch(t, t.Context(), at+"/v1/jobs/"+j.ID+"/events")
		last := ""
		for event := w.next(t); event != ""; event = w.next(t) {
			last = event
		}
		if len(last) < 9 || last[:9] != "done done" {
			t.Fatalf("%s: %q", c.path, last)
		}
		request := post(t, at+transcriptions, file, words, field{"timestamp_granularities[]", "segment"}, field{"response_format", "verbose_json"})
		result := ask(t, "GET", at+"/v1/jobs/"+j.ID+"/result?format=verbose_json", nil)
		if request.status != 200 || result.body != request.body {
			t.Errorf("%s: as a job\n%s\nas a request\n%s", c.path, result.body, request.body)
		}
		h := <-told
		if text := ask(t, "GET", h.ResultURL+"?format=text", nil).body; h.Type != "job.done" || h.Job.ID != j.ID || h.Text == nil || *h.Text+"\n" != text || h.Job.Audio <= 0 || h.Job.Audio != j.Audio {
			t.Errorf("%+v, the text is %q", h, text)
		}
	}
}
