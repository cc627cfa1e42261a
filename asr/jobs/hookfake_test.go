package jobs

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"glossa/asr"
	"glossa/asr/jobs/outbound"
)

const (
	secretOne = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretTwo = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// called is a callback as it came.
type called struct {
	path   string
	header http.Header
	body   []byte
	Hook
}

// receiver is a server of https that is called, on the loopback.
type receiver struct {
	*httptest.Server
	guard  outbound.Guard
	mu     sync.Mutex
	calls  []called
	answer func(n int, c called) int // the status of the nth call, from 1 on
}

func newReceiver(t testing.TB, answer func(n int, c called) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		c := called{path: q.URL.Path, header: q.Header}
		c.body, _ = io.ReadAll(q.Body)
		if err := json.Unmarshal(c.body, &c.Hook); err != nil || q.Method != "POST" || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %s: %v", q.Method, q.Header, c.body, err)
		}
		r.mu.Lock()
		r.calls = append(r.calls, c)
		n := len(r.calls)
		r.mu.Unlock()
		w.WriteHeader(r.answer(n, c))
	}))
	t.Cleanup(r.Close)
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	r.guard = outbound.Guard{Internal: true, Roots: roots}
	return r
}

func always(status int) func(int, called) int { return func(int, called) int { return status } }

func (r *receiver) got() []called {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]called{}, r.calls...)
}

// outcomes counts how attempts ended.
type outcomes struct {
	mu sync.Mutex
	of map[string]int
}

func (o *outcomes) HookCalled(outcome string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]int)
	}
	o.of[outcome]++
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprint(o.of)
}

// runHooks makes callbacks, whose first delay is so short, until the test or stop ends.
func runHooks(t testing.TB, s *Store, o HookOptions, set func(*hooks)) (stop func()) {
	t.Helper()
	if o.Secret == "" {
		o.Secret = secretOne
	}
	h, err := s.newHooks(o)
	if err != nil {
		t.Fatal(err)
	}
	h.first = 20 * time.Millisecond
	if set != nil {
		set(h)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// queueHook queues the callback of a job that has failed.
func queueHook(t testing.TB, s *Store, id, callback string) {
	t.Helper()
	j := asr.Job{ID: id, Model: "m", State: asr.JobFailed, Reason: "no sound", Callback: callback, Finished: time.Now().UTC()}
	if err := s.queueCallback(t.Context(), &record{Job: j, revision: 7}); err != nil {
		t.Fatal(err)
	}
}

// waiting returns the number of callbacks that are to be made.
func waiting(s *Store) error {
	info, err := s.hooks.Info(context.Background())
	if err == nil && info.State.Msgs > 0 {
		err = fmt.Errorf("%d callbacks wait", info.State.Msgs)
	}
	return err
}

// verify holds a callback against the verifier of Standard Webhooks.
func verify(secret string, c called) error {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return w.Verify(c.body, c.header)
}
