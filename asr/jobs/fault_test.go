package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// errKilled is what a store gets from its calls after its process was killed.
var errKilled = errors.New("killed")

// killer lets a store make so many calls to the broker. The last has its effect, but the store does not learn of it.
type killer struct{ calls int }

// killed reports whether a call is made no more.
func (k *killer) killed() bool { return k.calls <= 0 }

// through makes a call, unless the store is killed.
func through[T any](k *killer, call func() (T, error)) (T, error) {
	var none T
	if k.killed() {
		return none, errKilled
	}
	v, err := call()
	if k.calls--; k.killed() {
		return none, errKilled
	}
	return v, err
}

// do is through for calls that return an error alone.
func (k *killer) do(call func() error) error {
	_, err := through(k, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

type killedJS struct {
	jetstream.JetStream
	k *killer
}

func (j killedJS) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return through(j.k, func() (*jetstream.PubAck, error) { return j.JetStream.PublishMsg(ctx, m, o...) })
}

type killedStream struct {
	jetstream.Stream
	k *killer
}

func (s killedStream) GetMsg(ctx context.Context, seq uint64, o ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	return through(s.k, func() (*jetstream.RawStreamMsg, error) { return s.Stream.GetMsg(ctx, seq, o...) })
}

func (s killedStream) GetLastMsgForSubject(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	return through(s.k, func() (*jetstream.RawStreamMsg, error) { return s.Stream.GetLastMsgForSubject(ctx, subject) })
}

func (s killedStream) DeleteMsg(ctx context.Context, seq uint64) error {
	return s.k.do(func() error { return s.Stream.DeleteMsg(ctx, seq) })
}

func (s killedStream) Purge(ctx context.Context, o ...jetstream.StreamPurgeOpt) error {
	return s.k.do(func() error { return s.Stream.Purge(ctx, o...) })
}

type killedKV struct {
	jetstream.KeyValue
	k *killer
}

func (kv killedKV) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return through(kv.k, func() (jetstream.KeyValueEntry, error) { return kv.KeyValue.Get(ctx, key) })
}

func (kv killedKV) Create(ctx context.Context, key string, v []byte, o ...jetstream.KVCreateOpt) (uint64, error) {
	return through(kv.k, func() (uint64, error) { return kv.KeyValue.Create(ctx, key, v, o...) })
}

func (kv killedKV) Update(ctx context.Context, key string, v []byte, revision uint64) (uint64, error) {
	return through(kv.k, func() (uint64, error) { return kv.KeyValue.Update(ctx, key, v, revision) })
}

type killedObjects struct {
	jetstream.ObjectStore
	k *killer
}

func (o killedObjects) Put(ctx context.Context, m jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	return through(o.k, func() (*jetstream.ObjectInfo, error) { return o.ObjectStore.Put(ctx, m, r) })
}

func (o killedObjects) GetInfo(ctx context.Context, name string, opts ...jetstream.GetObjectInfoOpt) (*jetstream.ObjectInfo, error) {
	return through(o.k, func() (*jetstream.ObjectInfo, error) { return o.ObjectStore.GetInfo(ctx, name, opts...) })
}

// killedAfter returns a store like another that makes so many calls.
func (s *Store) killedAfter(calls int) (*Store, *killer) {
	k, of := &killer{calls}, *s
	topology := *s.topology
	for _, stream := range []*jetstream.Stream{&topology.jobs, &topology.windows, &topology.dead, &topology.hooks, &topology.sound} {
		*stream = killedStream{*stream, k}
	}
	topology.records, topology.results = killedKV{s.records, k}, killedKV{s.results, k}
	topology.audio = killedObjects{s.audio, k}
	of.topology, of.js = &topology, killedJS{s.js, k}
	return &of, k
}

// scenario is something that is done to a job, which is killed at each step and done again.
type scenario struct {
	set   func(t *testing.T, s *Store, q asr.Submission) (m jetstream.Msg) // before it
	act   func(ctx context.Context, s *Store, q asr.Submission, m jetstream.Msg, id string) error
	state asr.JobState // in the end; JobQueued: then it is done by a worker
	ends  uint64       // how often it ends
}

// find returns the id of the job of a name, "" where there is none.
func find(t *testing.T, s *Store, name string) string {
	t.Helper()
	for _, j := range allRecords(t, s) {
		if j.Name == name {
			return j.ID
		}
	}
	return ""
}

// work does the rest of a worker's: what it does with a message that is delivered again.
func work(ctx context.Context, s *Store, m jetstream.Msg, finish func(attempt int) error) error {
	_, j, err := s.claimed(ctx, m, "w")
	if err == nil {
		if err = s.appendWindow(ctx, j.ID, j.Attempts, 0, asr.Checkpoint{Done: 1}); errors.Is(err, errSuperseded) {
			err = nil // it is there
		}
	}
	if err == nil {
		err = finish(j.Attempts)
	}
	if err != nil && !errors.Is(err, errEnded) {
		return err
	}
	return nil
}

func ackOnce(ctx context.Context, m jetstream.Msg) error {
	if err := m.DoubleAck(ctx); !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		return err
	}
	return nil
}

func submitAndPull(t *testing.T, s *Store, q asr.Submission) jetstream.Msg {
	submit(t, s, q)
	return pull(t, s, "m")
}

func fails(t *testing.T, s *Store, q asr.Submission) jetstream.Msg {
	m := submitAndPull(t, s, q)
	if _, _, err := s.claimed(t.Context(), m, "w"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finishFailed(t.Context(), m, 1, "it fails"); err != nil {
		t.Fatal(err)
	}
	if err := m.TermWithReason("it fails"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if queued(t, s) != 0 {
			return errors.New("its message is there")
		}
		return nil
	})
	return m
}

func resubmit(ctx context.Context, s *Store, q asr.Submission, _ jetstream.Msg, id string) error {
	_, _, err := s.Submit(ctx, q)
	return err
}

var scenarios = map[string]scenario{
	"submit": {
		set:   func(*testing.T, *Store, asr.Submission) jetstream.Msg { return nil },
		act:   resubmit,
		state: asr.JobQueued,
		ends:  1,
	},
	"submit again what failed": {set: fails, act: resubmit, state: asr.JobQueued, ends: 2},
	"submit again what was cancelled": {
		set: func(t *testing.T, s *Store, q asr.Submission) jetstream.Msg {
			j := submit(t, s, q)
			if _, err := s.Cancel(t.Context(), "", j.ID); err != nil {
				t.Fatal(err)
			}
			return nil
		},
		act: resubmit, state: asr.JobQueued, ends: 2,
	},
	"retry": {set: fails, state: asr.JobQueued, ends: 2, act: func(ctx context.Context, s *Store, q asr.Submission, _ jetstream.Msg, id string) error {
		_, err := s.Retry(ctx, "", id)
		if errors.Is(err, asr.ErrInvalid) {
			return nil // it waits
		}
		return err
	}},
	"cancel": {set: submitAndPull, state: asr.JobCancelled, ends: 1, act: func(ctx context.Context, s *Store, q asr.Submission, m jetstream.Msg, id string) error {
		_, err := s.Cancel(ctx, "", id)
		return err
	}},
	"done": {set: submitAndPull, state: asr.JobDone, ends: 1, act: func(ctx context.Context, s *Store, q asr.Submission, m jetstream.Msg, id string) error {
		err := work(ctx, s, m, func(attempt int) error {
			_, err := s.done(ctx, id, attempt, aResult())
			return err
		})
		if err == nil {
			err = ackOnce(ctx, m)
		}
		return err
	}},
	"failed": {set: submitAndPull, state: asr.JobFailed, ends: 1, act: func(ctx context.Context, s *Store, q asr.Submission, m jetstream.Msg, id string) error {
		err := work(ctx, s, m, func(attempt int) error {
			_, err := s.finishFailed(ctx, m, attempt, "it fails")
			return err
		})
		if err == nil {
			err = ackOnce(ctx, m) // as Term does to the message
		}
		return err
	}},
	"lost":   {set: losesWorkers(maxDeliver), state: asr.JobFailed, ends: 1, act: heedLost},
	"spared": {set: losesWorkers(1), state: asr.JobQueued, ends: 1, act: heedLost},
}

// losesWorkers has a job that so many workers begin, and are not heard of again.
func losesWorkers(n int) func(*testing.T, *Store, asr.Submission) jetstream.Msg {
	return func(t *testing.T, s *Store, q asr.Submission) (m jetstream.Msg) {
		submit(t, s, q)
		for i := range n {
			m = pull(t, s, "m")
			if _, _, err := s.claimed(t.Context(), m, "w"); err != nil {
				t.Fatal(err)
			}
			if i < n-1 {
				if err := m.Nak(); err != nil {
					t.Fatal(err)
				}
			}
		}
		return m
	}
}

// heedLost is told that a message is not delivered any more.
func heedLost(ctx context.Context, s *Store, _ asr.Submission, m jetstream.Msg, _ string) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	return s.heed(ctx, advisory{StreamSeq: meta.Sequence.Stream}, false)
}

// TestKilledAtEachStep kills who does something to a job after each of its calls to the broker, and has it done again: the job ends in
// exactly one state, with all that belongs to it and nothing else.
func TestKilledAtEachStep(t *testing.T) {
	b := startBroker(t)
	for name, of := range scenarios {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, b, Options{})
			for calls := 1; ; calls++ {
				q := asr.Submission{Name: fmt.Sprint(name, calls), Callback: "https://example.org", Audio: asr.JobAudio{Bytes: append(fmt.Append(nil, name, calls), long...)}}
				m := of.set(t, s, q)
				id := find(t, s, q.Name)
				killed, k := s.killedAfter(calls)
				if err := of.act(t.Context(), killed, q, m, id); err != nil && !k.killed() {
					t.Fatalf("%d calls: %v", calls, err)
				}
				if !k.killed() {
					if calls < 4 {
						t.Errorf("it takes only %d calls", calls)
					}
					of.check(t, s, q)
					return
				}
				if err := of.act(t.Context(), s, q, m, id); err != nil {
					t.Fatalf("again after %d calls: %v", calls, err)
				}
				of.check(t, s, q)
				if t.Failed() {
					t.Fatalf("killed after %d calls", calls)
				}
			}
		})
	}
}

// check has a job that waits done, and looks at what is there of it.
func (of scenario) check(t *testing.T, s *Store, q asr.Submission) {
	t.Helper()
	id := find(t, s, q.Name)
	want := of.state
	if want == asr.JobQueued {
		want = asr.JobDone
		for end := time.Now().Add(patient); queued(t, s) > 0 && time.Now().Before(end); {
			m := pull(t, s, "m")
			err := work(t.Context(), s, m, func(attempt int) error {
				_, err := s.done(t.Context(), id, attempt, aResult())
				return err
			})
			if errors.Is(err, errDuplicate) {
				err = nil
			}
			if err := errors.Join(err, m.DoubleAck(t.Context())); err != nil {
				t.Error(err)
			}
		}
	}
	if err := isState(t, s, id, want); err != nil {
		t.Error(err)
	}
	if n := queued(t, s); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	_, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+id)
	if (want == asr.JobFailed) != (err == nil) {
		t.Errorf("it is %s, its dead letter: %v", want, err)
	}
	if _, err := s.Result(t.Context(), "", id); (want == asr.JobDone) != (err == nil) {
		t.Errorf("it is %s, its result: %v", want, err)
	}
	if of, err := s.storedWindows(t.Context(), id); err != nil || want != asr.JobFailed && len(of) > 0 {
		t.Errorf("it is %s and has %d windows: %v", want, len(of), err)
	}
	info, err := s.hooks.Info(t.Context(), jetstream.WithSubjectFilter(subjectHooks+id))
	if n := info.State.Subjects[subjectHooks+id]; err != nil || n != of.ends {
		t.Errorf("%d callbacks, want %d: %v", n, of.ends, err)
	}
	last, err := s.hooks.GetLastMsgForSubject(t.Context(), subjectHooks+id)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := decodeEvent(last.Data); err != nil || e.Job.State != want {
		t.Errorf("the last callback tells of %s: %v", e.Job.State, err)
	}
	w := sweeper{s: s}
	if err := w.sweepSound(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if n := sounds(t, s); (n == 0) != (want != asr.JobFailed) {
		t.Errorf("it is %s, and %d messages of sound are left", want, n)
	}
	if err := s.sound.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
}
