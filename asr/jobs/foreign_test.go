package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// TestAPublisherOfItsOwn knows nothing of this package but the documented body.
func TestAPublisherOfItsOwn(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	nc := connect(t, b)
	replies, err := nc.SubscribeSync("my.inbox")
	if err != nil {
		t.Fatal(err)
	}
	body := `{"job_id":"mine-1","audio":{"inline":"c291bmQ="},"params":{"beam_size":5,"language":"cs"},"reply_to":"my.inbox","callback":"https://example.org/"}`
	msg := &nats.Msg{Subject: "asr.jobs.bulk.openai_2fwhisper", Data: []byte(body),
		Header: nats.Header{"Nats-Msg-Id": {"mine-1"}, "Asr-Client": {"ann"}, "Asr-Audio-Seconds": {"2.5"}}}
	for range 2 { // the second is a duplicate
		if _, err := nc.RequestMsgWithContext(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	if n := queued(t, s); n != 1 {
		t.Fatalf("%d messages", n)
	}
	message, j, err := s.claimed(t.Context(), pull(t, s, "openai/whisper"), "w")
	if err != nil {
		t.Fatal(err)
	}
	if j.ID != "mine-1" || j.Client != "ann" || j.Model != "openai/whisper" || j.Priority != asr.Bulk || j.Audio != 2.5 || j.State != asr.JobRunning ||
		j.Created.IsZero() || j.Params["beam_size"][0] != "5" || string(message.Audio.Inline) != "sound" {
		t.Errorf("%+v %+v", j, message)
	}
	if got, err := s.Job(t.Context(), "ann", "mine-1"); err != nil || got.State != asr.JobRunning {
		t.Error(got, err)
	}
	if _, err := s.done(t.Context(), "mine-1", 1, aResult()); err != nil {
		t.Fatal(err)
	}
	reply, err := replies.NextMsg(patient)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Job struct{ ID, State, Language string }
	}
	if err := json.Unmarshal(reply.Data, &e); err != nil || e.Job.ID != "mine-1" || e.Job.State != "done" || e.Job.Language != "en" {
		t.Errorf("%s: %v", reply.Data, err)
	}
	hook, err := s.hooks.GetLastMsgForSubject(t.Context(), "asr.hooks.mine-1")
	if err != nil || !strings.Contains(string(hook.Data), `"state":"done"`) {
		t.Error(hook, err)
	}
	if _, err := nc.RequestWithContext(t.Context(), "asr.jobs.urgent.m", []byte(body)); !errors.Is(err, nats.ErrNoResponders) {
		t.Error("a priority that there is not:", err)
	}
}

func TestPoisonBodies(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	nc := connect(t, b)
	sound := `"audio":{"inline":"c291bmQ="}`
	for i, body := range []string{
		``, `null`, `[]`, `{`, `"\ud800"`, strings.Repeat("[", 100_000), `{"job_id":7}`,
		`{` + sound + `}`,
		`{"job_id":"a.b",` + sound + `}`,
		`{"job_id":"` + strings.Repeat("x", 65) + `",` + sound + `}`,
		`{"job_id":"p1"}`,
		`{"job_id":"p2","audio":{"inline":"???"}}`,
		`{"job_id":"p3","audio":{"inline":"c291bmQ=","url":"http://x"}}`,
		`{"job_id":"p4","audio":{"object":{"bucket":"asr_audio"}}}`,
		`{"job_id":"p5","params":{"a":{}},` + sound + `}`,
		`{"job_id":"p6","reply_to":"$JS.API.STREAM.DELETE.ASR_JOBS",` + sound + `}`,
		`{"job_id":"p7","reply_to":"asr.cancel.other",` + sound + `}`,
		`{"job_id":"p8","reply_to":"a.>",` + sound + `}`,
		`{"job_id":"p9","model":"` + strings.Repeat("m", 500) + `",` + sound + `}`,
	} {
		if _, err := nc.RequestWithContext(t.Context(), "asr.jobs.normal.m", []byte(body)); err != nil {
			t.Fatal(err)
		}
		m := pull(t, s, "m")
		_, j, err := s.claimed(t.Context(), m, "w")
		if !errors.Is(err, asr.ErrInvalid) || !validID(j.ID) {
			t.Errorf("%d: %.60s: job %q: %v", i, body, j.ID, err)
			continue
		}
		if _, err := s.Job(t.Context(), AnyClient, j.ID); !errors.Is(err, asr.ErrNotFound) {
			t.Errorf("%.60s: it is claimed: %v", body, err)
		}
		failed, err := s.finishFailed(t.Context(), m, 0, err.Error())
		if err != nil || failed.State != asr.JobFailed || failed.ID != j.ID || failed.Model != "m" || !strings.Contains(failed.Reason, "asr: invalid") {
			t.Errorf("%.60s: %+v: %v", body, failed, err)
		}
		letter, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID)
		if err != nil || string(letter.Data) != body || letter.Header.Get("Asr-Reason") == "" {
			t.Errorf("%.60s: letter %v: %v", body, letter, err)
		}
		if err := m.TermWithReason("poison"); err != nil {
			t.Fatal(err)
		}
		// Retried, it is the same job, and as much poison.
		if j, err = s.Retry(t.Context(), AnyClient, j.ID); err != nil || j.State != asr.JobQueued {
			t.Errorf("%.60s: retry: %v", body, err)
			continue
		}
		m = pull(t, s, "m")
		_, again, err := s.claimed(t.Context(), m, "w")
		if !errors.Is(err, asr.ErrInvalid) || again.ID != j.ID {
			t.Errorf("%.60s: retried it is %q: %v", body, again.ID, err)
		}
		if j, err := s.finishFailed(t.Context(), m, 0, "poison"); err != nil || j.State != asr.JobFailed || j.ID != again.ID {
			t.Errorf("%.60s: %+v: %v", body, j, err)
		}
		if err := m.TermWithReason("poison"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMessageWithAnothersID has somebody publish a message with the id of another client's job, or of one that is being done.
func TestAMessageWithAnothersID(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	j := submit(t, s, asr.Submission{Client: "ann"})
	first := pull(t, s, "m")
	if _, _, err := s.claimed(t.Context(), first, "w"); err != nil {
		t.Fatal(err)
	}
	for _, client := range []string{"bob", "ann"} {
		msg := &nats.Msg{Subject: "asr.jobs.live.m", Header: nats.Header{headerClient: {client}},
			Data: fmt.Appendf(nil, `{"job_id":%q,"audio":{"inline":"c291bmQ="}}`, j.ID)}
		if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		m := pull(t, s, "m")
		if _, _, err := s.claimed(t.Context(), m, "w"); !errors.Is(err, errDuplicate) {
			t.Error(client, err)
		}
		if _, err := s.finishFailed(t.Context(), m, 0, "no"); !errors.Is(err, errDuplicate) {
			t.Error(client, err)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.tellProgress(t.Context(), j.ID, 1, 1, 2); err != nil {
		t.Error(err)
	}
}

// TestALongForeignMessage has no room for a reason beside its sound.
func TestALongForeignMessage(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	for _, of := range []struct{ id, body string }{
		{"long", `{"job_id":"long","audio":{"inline":"` + strings.Repeat("AAAA", 1<<18-50) + `"}}`},
		{"cut", `{"job_id":"cut","audio":"` + strings.Repeat("AAAA", 1<<18-50) + `"}`},
	} {
		if _, err := s.js.Publish(t.Context(), "asr.jobs.normal.m", []byte(of.body)); err != nil {
			t.Fatal(err)
		}
		m := pull(t, s, "m")
		if j, err := s.finishFailed(t.Context(), m, 0, strings.Repeat("why ", 1000)); err != nil || j.ID != of.id {
			t.Fatal(j, err)
		}
		r, err := s.read(t.Context(), of.id)
		if err != nil || (of.id == "long") != (r.Object != "") {
			t.Error(of.id, r.Object, err)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Retry(t.Context(), "", "long"); err != nil {
		t.Fatal(err)
	}
	message, _, err := s.claimed(t.Context(), pull(t, s, "m"), "w")
	if err != nil || message.Audio.Object == nil {
		t.Fatal(err)
	}
	if sound, err := s.audio.GetBytes(t.Context(), message.Audio.Object.Name); err != nil || len(sound) != (1<<18-50)*3 {
		t.Error(len(sound), err)
	}
	if _, err := s.Cancel(t.Context(), "", "long"); err != nil || sounds(t, s) != 0 {
		t.Error("its sound is left:", err)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`{"job_id":"a","model":"m","audio":{"inline":"c291bmQ="},"params":{"a":["b",1,true,null]}}`))
	f.Add([]byte(`{"job_id":"a","audio":{"object":{"bucket":"b","name":"n","digest":"d"}},"reply_to":"x.y"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseMessage(body)
		if err != nil {
			if !errors.Is(err, asr.ErrInvalid) {
				t.Error(err)
			}
			return
		}
		msg, err := m.envelope(asr.Normal, "", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseMessage(msg.Data); err != nil || again.JobID != m.JobID || len(again.Params) != len(m.Params) {
			t.Errorf("%s became %s: %v", body, msg.Data, err)
		}
	})
}

func FuzzModelOfToken(f *testing.F) {
	f.Add("openai/whisper-large-v3")
	f.Add("_2f_")
	f.Fuzz(func(t *testing.T, model string) {
		if got := modelOf(token(model)); got != model {
			t.Errorf("%q became %q", model, got)
		}
		modelOf(model)
	})
}
