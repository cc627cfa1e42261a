package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

// watched is a stream of events of a job.
type watched struct {
	lines *bufio.Scanner
	resp  *http.Response
}

func watch(t testing.TB, ctx context.Context, url string, header ...string) *watched {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode == 200 && resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Errorf("%v", resp.Header)
	}
	return &watched{bufio.NewScanner(resp.Body), resp}
}

// next returns the next event or comment as its type, the job's state and the texts of segments, "" at the end.
func (w *watched) next(t testing.TB) string {
	t.Helper()
	id := ""
	for w.lines.Scan() {
		line := w.lines.Text()
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			id = " id " + text
		}
		if text, ok := strings.CutPrefix(line, ": "); ok {
			return text
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var e struct {
			Type string
			asr.JobEvent
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err, data)
		}
		said := e.Type + " " + string(e.Job.State)
		for _, s := range e.Segments {
			said += s.Text
		}
		return said + id
	}
	return ""
}

func (w *watched) want(t testing.TB, events ...string) {
	t.Helper()
	for _, want := range events {
		if got := w.next(t); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestWatchingAJob watches a job from its queue to its end, from the beginning and later, and asks again as browsers do.
func TestWatchingAJob(t *testing.T) {
	f := new(fakeJobs)
	_, at := newServer(t, newFakeEngine(), jobOptions(f))
	post(t, at+"/v1/jobs", field{"file", tone(0.1)}).job(t, 202)
	events := at + "/v1/jobs/job-1/events"
	first := watch(t, t.Context(), events)
	first.want(t, "job queued")
	f.begin("", "job-1")
	first.want(t, "job running")
	f.segment("", "job-1", fakeSegments[0])
	first.want(t, "segments running Ahoj,")
	second := watch(t, t.Context(), events, "Last-Event-ID", "7")
	second.want(t, "segments running Ahoj,") // all that was told before
	odd := fakeSegments[1]                   // numbers that JSON has not
	odd.AvgLogProb, odd.CompressionRatio, odd.Words = math.Inf(-1), math.NaN(), []asr.Word{{Word: "x", Probability: math.NaN()}}
	f.segment("", "job-1", odd)
	first.want(t, "segments running"+fakeSegments[1].Text)
	second.want(t, "segments running"+fakeSegments[1].Text)
	f.finish("", "job-1")
	for _, w := range []*watched{first, second} {
		w.want(t, "done done id done", "")
	}
	watch(t, t.Context(), events).want(t, "done done Ahoj,"+fakeSegments[1].Text+" id done", "")
	if w := watch(t, t.Context(), events, "Last-Event-ID", "done"); w.resp.StatusCode != 204 {
		t.Errorf("asked again behind the end: %d", w.resp.StatusCode)
	}
	post(t, at+"/v1/jobs", field{"file", tone(0.2)}).job(t, 202)
	third := watch(t, t.Context(), at+"/v1/jobs/job-2/events")
	third.want(t, "job queued")
	f.fail("", "job-2", "no sound")
	third.want(t, "done failed id done", "")
	settle(t, "the jobs have ended", func() bool { return f.watchers() == 0 })
}

// TestWatchingEnds checks that a stream ends where the server drains, the broker goes, or the client does, and that nothing is left of it.
func TestWatchingEnds(t *testing.T) {
	f := new(fakeJobs)
	s, at := newServer(t, newFakeEngine(), jobOptions(f))
	post(t, at+"/v1/jobs", field{"file", tone(0.1)}).job(t, 202)
	events := at + "/v1/jobs/job-1/events"
	ctx, cancel := context.WithCancel(t.Context())
	gone := watch(t, ctx, events)
	gone.want(t, "job queued")
	cancel()
	settle(t, "the client has gone", func() bool { return f.watchers() == 0 })

	broken := watch(t, t.Context(), events)
	broken.want(t, "job queued")
	f.setErr(fmt.Errorf("%w: the broker at 10.0.0.7 does not answer", asr.ErrBusy))
	broken.want(t, "the job cannot be watched now: ask again", "")
	f.setErr(nil)

	drained := watch(t, t.Context(), events)
	drained.want(t, "job queued")
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	drained.want(t, "the server is being shut down: ask another, or again")
	if rest, err := io.ReadAll(drained.resp.Body); err != nil || len(rest) > 1 {
		t.Errorf("%q, %v", rest, err)
	}
	settle(t, "the server drains", func() bool { return f.watchers() == 0 })
}

// settle waits for what has to come.
func settle(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: nothing comes of it", what)
		}
	}
}
