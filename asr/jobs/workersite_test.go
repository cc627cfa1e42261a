package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
	"glossa/asr/jobs/broker"
)

// testLease is the time after which jobs of a lost worker are delivered again in tests.
const testLease = 3 * time.Second

// site is a broker with a store.
type site struct {
	*Store
	t      *testing.T
	dir    string
	addr   string
	server *broker.Server
	counts testCounts
}

// testCounts are metrics.
type testCounts struct{ submitted, finished, redelivered, dead atomic.Int64 }

func (c *testCounts) JobSubmitted(asr.Priority, bool) { c.submitted.Add(1) }
func (c *testCounts) JobFinished(asr.Job)             { c.finished.Add(1) }
func (c *testCounts) JobRedelivered()                 { c.redelivered.Add(1) }
func (c *testCounts) JobDead()                        { c.dead.Add(1) }

// testLog returns a logger: to stderr where GLOSSA_TEST_LOG is set.
func testLog() *slog.Logger {
	var w io.Writer = io.Discard
	if os.Getenv("GLOSSA_TEST_LOG") != "" {
		w = os.Stderr
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newSite(t *testing.T, limits asr.Limits) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), addr: freeAddr(t)}
	s.start()
	t.Cleanup(func() { s.server.Close() })
	s.Store = s.open(limits)
	running, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { s.Run(running) })
	t.Cleanup(func() { stop(); all.Wait(); s.Store.Close() })
	return s
}

func (s *site) start() {
	s.t.Helper()
	server, err := broker.Start(s.t.Context(), broker.Options{Dir: s.dir, Listen: s.addr})
	if err != nil {
		s.t.Fatal(err)
	}
	s.server = server
}

// open returns a store with a connection of its own.
func (s *site) open(limits asr.Limits) *Store {
	s.t.Helper()
	nc, err := broker.Dial(s.t.Context(), broker.DialOptions{URL: "nats://" + s.addr, Name: s.t.Name()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	store, err := Open(s.t.Context(), nc, Options{Limits: limits, Model: "nano", Logger: testLog(), Metrics: &s.counts, ackWait: testLease})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// testWorker is a worker that runs.
type testWorker struct {
	*Worker
	drain, kill context.CancelFunc // ends its ctx, its grace
	ended       chan struct{}
	err         error
}

// work begins a worker on the site's store, which set may change before.
func (s *site) work(e Engine, set func(*Worker)) *testWorker {
	s.t.Helper()
	w := NewWorker(s.Store, WorkerOptions{Engine: e, Models: []string{"nano", "tiny nano"}, Slots: 4, Requests: 2, Request: fakeRequest, TempDir: s.t.TempDir()})
	w.delays = delays{absent: 20 * time.Millisecond, first: 10 * time.Millisecond, most: 40 * time.Millisecond}
	if set != nil {
		set(w)
	}
	ctx, drain := context.WithCancel(context.Background())
	grace, kill := context.WithCancel(context.Background())
	tw := &testWorker{Worker: w, drain: drain, kill: kill, ended: make(chan struct{})}
	go func() {
		defer close(tw.ended)
		tw.err = w.Run(ctx, grace)
	}()
	s.t.Cleanup(tw.end)
	return tw
}

// end ends a worker at once.
func (w *testWorker) end() {
	w.drain()
	w.kill()
	<-w.ended
}

// submit submits sound with a prompt.
func (s *site) submit(file []byte, prompt string, set func(*asr.Submission)) asr.Job {
	s.t.Helper()
	q := asr.Submission{Audio: asr.JobAudio{Bytes: file}, Params: asr.Params{"prompt": {prompt}}}
	if set != nil {
		set(&q)
	}
	j, _, err := s.Submit(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return j
}

// within waits until something holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patient, what)
		}
	}
}

// wait waits until a job is in a state.
func (s *site) wait(id string, state asr.JobState) asr.Job {
	s.t.Helper()
	var j asr.Job
	for end := time.Now().Add(patient); ; time.Sleep(5 * time.Millisecond) {
		var err error
		if j, err = s.Job(s.t.Context(), AnyClient, id); err == nil && j.State == state {
			return j
		}
		if time.Now().After(end) || err == nil && j.State.Final() {
			s.t.Fatalf("job %s: %+v, %v; want it %s", id, j, err, state)
		}
	}
}

// done waits for the result of a job, which must be that of its sound and prompt.
func (s *site) done(j asr.Job, file []byte, prompt string) asr.Job {
	s.t.Helper()
	got := s.wait(j.ID, asr.JobDone)
	r, err := s.Result(s.t.Context(), AnyClient, j.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	if want := fakeResult(file, prompt); r.Text != want.Text || len(r.Segments) != len(want.Segments) {
		s.t.Errorf("job %s: %q of %d segments, want %q of %d", j.ID, r.Text, len(r.Segments), want.Text, len(want.Segments))
	}
	return got
}

// failed waits until a job is among the dead letters with a reason.
func (s *site) failed(j asr.Job, reason string) asr.Job {
	s.t.Helper()
	got := s.wait(j.ID, asr.JobFailed)
	if !strings.Contains(got.Reason, reason) {
		s.t.Errorf("job %s failed with %q, want %q in it", j.ID, got.Reason, reason)
	}
	within(s.t, "the dead letter of "+j.ID, func() bool {
		_, err := s.dead.GetLastMsgForSubject(s.t.Context(), subjectDead+j.ID)
		return err == nil
	})
	return got
}

// messages returns the number of messages of a stream.
func messages(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

// objects returns the names of sounds that are stored.
func (s *site) objects() (names []string) {
	list, err := s.audio.List(s.t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		s.t.Fatal(err)
	}
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

// left says what is left of jobs beside records, results and dead letters, "" where nothing is. Failed jobs keep their windows and their sound,
// for they may be retried.
func (s *site) left() string {
	ctx := s.t.Context()
	if n, m := messages(s.t, s.jobs), messages(s.t, s.advisory); n > 0 || m > 0 {
		return fmt.Sprintf("%d messages, %d advisories", n, m)
	}
	info, err := s.windows.Info(ctx, jetstream.WithSubjectFilter(subjectWindows+">"))
	if err != nil {
		s.t.Fatal(err)
	}
	for subject := range info.State.Subjects {
		id := strings.TrimPrefix(subject, subjectWindows)
		if r, err := s.read(ctx, id); err != nil || r.State != asr.JobFailed {
			return "windows of job " + id
		}
	}
	for _, name := range s.objects() {
		id, _, _ := strings.Cut(name, ".")
		if r, err := s.read(ctx, id); err != nil || r.State != asr.JobFailed || r.Object != name {
			return "the sound of job " + id
		}
	}
	return ""
}

// empty waits until nothing is left.
func (s *site) empty() {
	s.t.Helper()
	left := ""
	for end := time.Now().Add(patient); ; time.Sleep(20 * time.Millisecond) {
		if left = s.left(); left == "" {
			return
		}
		if time.Now().After(end) {
			s.t.Errorf("what is left after %v: %s", patient, left)
			return
		}
	}
}
