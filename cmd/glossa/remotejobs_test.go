package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"glossa/asr"
)

// jobsServer answers requests of a client, each route by a function.
func jobsServer(t *testing.T, routes map[string]http.HandlerFunc) *remoteJobs {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, f := range routes {
		mux.HandleFunc(pattern, f)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r := newRemoteJobs(server.URL, serverKey{"sesame"})
	t.Cleanup(r.close)
	return r
}

// refuse answers with an error in OpenAI's shape.
func refuse(w http.ResponseWriter, status int, message string) { refuseWith(w, status, "y", message) }

func refuseWith(w http.ResponseWriter, status int, code, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":%q,"type":"x","param":null,"code":%q}}`, message, code)
}

func TestRemoteSubmit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(file, []byte("sound"), 0o666); err != nil {
		t.Fatal(err)
	}
	r := jobsServer(t, map[string]http.HandlerFunc{"POST /v1/jobs": func(w http.ResponseWriter, q *http.Request) {
		sent, header, err := q.FormFile("file")
		if err != nil {
			return // a file that cannot be read breaks its request off
		}
		sound, _ := io.ReadAll(sent)
		if string(sound) != "sound" || header.Filename != "a.wav" || q.Header.Get("Authorization") != "Bearer sesame" || q.Header.Get("Idempotency-Key") != "k" {
			t.Errorf("%q, %+v, %v", sound, header, q.Header)
		}
		want := map[string]string{"language": "cs", "priority": "bulk", "callback_url": "https://x.example", "again": "true", "model": "small"}
		for name, value := range want {
			if q.FormValue(name) != value {
				t.Errorf("%s: %q, want %q", name, q.FormValue(name), value)
			}
		}
		if len(q.MultipartForm.Value) != len(want) {
			t.Errorf("fields %v", q.MultipartForm.Value)
		}
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"object":"job","id":"j1","state":"queued","priority":"bulk"}`)
	}})
	j, created, err := r.submit(t.Context(), asr.Submission{
		Name: "sub/a.wav", Model: "small", Priority: asr.Bulk, Params: asr.Params{"language": {"cs"}}, Callback: "https://x.example", Key: "k", Again: true,
	}, file)
	if err != nil || !created || j.ID != "j1" || j.State != asr.JobQueued || j.Priority != asr.Bulk {
		t.Errorf("%+v, %t, %v", j, created, err)
	}
	if _, _, err := r.submit(t.Context(), asr.Submission{}, file+".none"); !errors.Is(err, asr.ErrInvalid) || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
	if _, _, err := r.submit(t.Context(), asr.Submission{}, filepath.Dir(file)); !errors.Is(err, asr.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
}

func TestRemoteErrors(t *testing.T) {
	r := jobsServer(t, map[string]http.HandlerFunc{"GET /v1/jobs/{id}": func(w http.ResponseWriter, q *http.Request) {
		switch q.PathValue("id") {
		case "full":
			w.Header().Set("Retry-After", "7")
			refuseWith(w, http.StatusTooManyRequests, "queue_full", "as many jobs wait as may")
		case "often":
			refuseWith(w, http.StatusTooManyRequests, "busy", "too many requests")
		case "away":
			refuse(w, http.StatusServiceUnavailable, "jobs cannot be reached now")
		case "none":
			refuse(w, http.StatusNotFound, "there is no such job")
		case "cut":
			io.WriteString(w, `{"id":`)
		default:
			refuse(w, http.StatusBadRequest, "what is this")
		}
	}})
	for id, want := range map[string]error{"full": asr.ErrQueueFull, "away": asr.ErrBusy, "often": asr.ErrBusy, "none": asr.ErrNotFound, "cut": asr.ErrBusy, "x/y": errServer} {
		if _, err := r.job(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	var later *laterError
	if _, err := r.job(t.Context(), "full"); !errors.As(err, &later) || later.after != 7*time.Second || !strings.Contains(err.Error(), "as many jobs wait as may") {
		t.Error(err)
	}
	for _, id := range []string{"away", "often"} {
		if _, err := r.job(t.Context(), id); errors.Is(err, asr.ErrQueueFull) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if _, err := r.job(t.Context(), "bad"); errors.Is(err, asr.ErrBusy) {
		t.Errorf("what is refused for good: %v", err)
	}
	gone := newRemoteJobs("http://127.0.0.1:1", serverKey{})
	if _, err := gone.job(t.Context(), "j"); !errors.Is(err, asr.ErrBusy) || !strings.HasPrefix(err.Error(), `http://127.0.0.1:1: nobody listens there; "glossa serve" starts a server`) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.job(ctx, "j"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestRemoteWatch(t *testing.T) {
	line := func(w io.Writer, e asr.JobEvent) {
		b, err := json.Marshal(e)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "event: x\r\ndata: %s\r\n\r\n: still at it\n\n", b)
	}
	r := jobsServer(t, map[string]http.HandlerFunc{"GET /v1/jobs/{id}/events": func(w http.ResponseWriter, q *http.Request) {
		running := asr.Job{ID: "j", State: asr.JobRunning, Audio: 4, Done: 2}
		switch q.PathValue("id") {
		case "whole":
			line(w, asr.JobEvent{Job: running, Segments: []asr.Segment{{Text: " one"}}})
			line(w, asr.JobEvent{Job: asr.Job{ID: "j", State: asr.JobDone}})
			line(w, asr.JobEvent{Job: asr.Job{ID: "j", State: "beyond"}})
		case "cut":
			line(w, asr.JobEvent{Job: running})
			io.WriteString(w, "data: {\"job\":")
		case "fault":
			line(w, asr.JobEvent{Job: running})
			io.WriteString(w, "data: {\"error\":{\"message\":\"the broker is away\"}}\n\n")
		default:
			refuse(w, http.StatusNotFound, "there is no such job")
		}
	}})
	for id, want := range map[string]struct {
		states string
		err    error
	}{"whole": {"running done", nil}, "cut": {"running", asr.ErrBusy}, "fault": {"running", asr.ErrBusy}, "none": {"", asr.ErrNotFound}} {
		var states []string
		var failed error
		for e, err := range r.watch(t.Context(), id) {
			if err != nil {
				failed = err
				continue
			}
			states = append(states, string(e.Job.State))
		}
		if strings.Join(states, " ") != want.states || !errors.Is(failed, want.err) {
			t.Errorf("%s: %q, %v, want %+v", id, states, failed, want)
		}
	}
	for e, err := range r.watch(t.Context(), "whole") {
		if err != nil || len(e.Segments) != 1 || e.Segments[0].Text != " one" || e.Job.Done != 2 {
			t.Errorf("%+v, %v", e, err)
		}
		break
	}
}

func TestRemoteLists(t *testing.T) {
	r := jobsServer(t, map[string]http.HandlerFunc{
		"GET /v1/jobs": func(w http.ResponseWriter, q *http.Request) {
			if got := q.URL.Query().Encode(); got != "after=a&limit=2&model=nano&state=queued&state=failed" {
				t.Errorf("query %s", got)
			}
			io.WriteString(w, `{"object":"list","data":[{"object":"job","id":"j1","state":"failed","reason":"bad"}],"has_more":true,"next":"b"}`)
		},
		"DELETE /v1/jobs/{id}": func(w http.ResponseWriter, q *http.Request) {
			fmt.Fprintf(w, `{"id":%q,"state":"cancelled"}`, q.PathValue("id"))
		},
		"POST /v1/jobs/{id}/retry": func(w http.ResponseWriter, q *http.Request) {
			fmt.Fprintf(w, `{"id":%q,"state":"queued"}`, q.PathValue("id"))
		},
		"GET /v1/jobs/{id}/result": func(w http.ResponseWriter, q *http.Request) {
			if q.URL.RawQuery != "format=verbose_json" {
				t.Errorf("query %s", q.URL.RawQuery)
			}
			io.WriteString(w, `{"text":"one","language":"english","language_code":"en","adapter":null,"duration":2,"segments":[{"id":0,"text":" one","end":2}],"words":[{"word":"one","start":0,"end":1}]}`)
		},
	})
	page, err := r.list(t.Context(), asr.JobQuery{States: []asr.JobState{asr.JobQueued, asr.JobFailed}, Model: "nano", After: "a", Limit: 2})
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].Reason != "bad" || page.Next != "b" {
		t.Errorf("%+v, %v", page, err)
	}
	if j, err := r.cancel(t.Context(), "j1"); err != nil || j.State != asr.JobCancelled || j.ID != "j1" {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err := r.retry(t.Context(), "j1"); err != nil || j.State != asr.JobQueued {
		t.Errorf("%+v, %v", j, err)
	}
	result, err := r.result(t.Context(), "j1")
	if err != nil || result.Language != "en" || result.Text != "one" || len(result.Segments) != 1 || len(result.Segments[0].Words) != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// TestRemoteConnectionsThatBreak checks that a job is asked for again where a connection takes too long, or breaks under HTTP/2, which has
// errors of its own.
func TestRemoteConnectionsThatBreak(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "data: {\"job\":{\"id\":\"j\",\"state\":\"running\"}}\n\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	r := &remoteJobs{server.URL, http.Header{}, server.Client()}
	var failed error
	events := 0
	for _, err := range r.watch(t.Context(), "j") {
		if failed = err; err == nil {
			events++
		}
	}
	if events != 1 || !errors.Is(failed, asr.ErrBusy) {
		t.Errorf("%d events, %v", events, failed)
	}
	if err := r.broken(t.Context(), &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}); !errors.Is(err, asr.ErrBusy) {
		t.Errorf("a server that has gone silently: %v", err)
	}
	if err := r.broken(t.Context(), errors.New("x509: unknown authority")); errors.Is(err, asr.ErrBusy) {
		t.Errorf("what another try does not help: %v", err)
	}
}
