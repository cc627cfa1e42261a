package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

func TestWorkerDoesJobs(t *testing.T) {
	s := newSite(t, asr.Limits{})
	s.work(&fakeEngine{}, func(w *Worker) {
		w.o.Fetch = func(_ context.Context, url string, _ int64) ([]byte, error) {
			if url != "https://example.com/a.wav" {
				return nil, fmt.Errorf("%w: address %q", asr.ErrInvalid, url)
			}
			return fakeSound(3, 4), nil
		}
	})
	short, long := fakeSound(1, 3), fakeSound(2, 200) // 9 and 640 KB: in the message, and an object
	a := s.submit(short, "a", nil)
	b := s.submit(long, "b", func(q *asr.Submission) { q.Priority = asr.Live; q.Name = "long.wav" })
	c := s.submit(nil, "c", func(q *asr.Submission) { q.Audio.URL = "https://example.com/a.wav"; q.Priority = asr.Bulk })
	if n := len(s.objects()); n != 1 {
		t.Errorf("%d objects, want 1", n)
	}
	for _, j := range []struct {
		asr.Job
		file   []byte
		prompt string
	}{{a, short, "a"}, {b, long, "b"}, {c, fakeSound(3, 4), "c"}} {
		got := s.done(j.Job, j.file, j.prompt)
		if seconds := fakeResult(j.file, "").Duration; got.Audio != seconds || got.Done != seconds || got.Attempts != 1 || got.Worker == "" || got.Language != "en" {
			t.Errorf("%+v, want %v s, once", got, seconds)
		}
	}
	s.empty()
	if s.counts.redelivered.Load() > 0 {
		t.Error("a job was delivered again")
	}
}

func TestWorkerTakesJobsThatNameItsModelOtherwise(t *testing.T) {
	s := newSite(t, asr.Limits{})
	file := fakeSound(1, 2)
	for id, model := range map[string]string{"known": "tiny nano", "any": "", "unknown": "large"} {
		m := Message{JobID: id, Model: model, Audio: MessageAudio{Inline: file}, Params: asr.Params{"prompt": {id}}}
		msg, err := m.envelope(asr.Normal, "", 0, "")
		if err != nil {
			t.Fatal(err)
		}
		msg.Subject = subjectOf(asr.Normal, "nano")
		if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	s.work(&fakeEngine{}, nil)
	within(t, "records", func() bool {
		for _, id := range []string{"known", "any", "unknown"} {
			if _, err := s.read(t.Context(), id); err != nil {
				return false
			}
		}
		return true
	})
	s.done(asr.Job{ID: "known"}, file, "known")
	s.done(asr.Job{ID: "any"}, file, "any")
	if j := s.failed(asr.Job{ID: "unknown"}, `the model "large"`); j.Attempts != maxDeliver {
		t.Errorf("%d attempts, want %d", j.Attempts, maxDeliver)
	}
	s.empty()
}

func TestWorkerRefusesWhatNobodyCanDo(t *testing.T) {
	s := newSite(t, asr.Limits{Decoded: 2 * time.Second, JobBytes: 700_000})
	e := &fakeEngine{}
	s.work(e, func(w *Worker) {
		w.limits.JobBytes = 600_000
		w.o.Fetch = func(context.Context, string, int64) ([]byte, error) {
			return nil, fmt.Errorf("%w: the address may not be called", asr.ErrInvalid)
		}
	})
	good := fakeSound(1, 2)
	for _, c := range []struct {
		name   string
		file   []byte
		set    func(*asr.Submission)
		reason string
	}{
		{"params", good, func(q *asr.Submission) { q.Params = asr.Params{"beams": {"5"}} }, `no param "beams"`},
		{"language", good, func(q *asr.Submission) { q.Params = asr.Params{"language": {"xx"}} }, `unknown language "xx"`},
		{"text", []byte("this is text, and no sound at all, whoever looks at it"), nil, "read are flac"},
		{"no samples", fakeSound(1, 0), nil, "holds no sound"},
		{"cut", good[:len(good)-100], nil, "damaged"},
		{"too long", fakeSound(1, 21), nil, "lasts longer than 2s"},
		{"too large", fakeSound(1, 190), nil, "and may have 600000"},
		{"forbidden", nil, func(q *asr.Submission) { q.Audio.URL = "http://10.0.0.1/" }, "may not be called"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := s.submit(c.file, c.name, c.set)
			if got := s.failed(j, c.reason); got.Attempts > 1 {
				t.Errorf("%d attempts, want 1", got.Attempts)
			}
		})
	}
	s.empty()
}

func TestWorkerRefusesSoundThatIsNotTheSubmitted(t *testing.T) {
	s := newSite(t, asr.Limits{})
	file := fakeSound(1, 180)
	j := s.submit(file, "digest", nil)
	if _, err := s.audio.PutBytes(t.Context(), s.objects()[0], fakeSound(2, 180)); err != nil {
		t.Fatal(err)
	}
	gone := s.submit(fakeSound(3, 180), "gone", nil)
	for _, name := range s.objects() {
		if strings.HasPrefix(name, gone.ID) {
			s.deleteSound(name)
		}
	}
	m := Message{JobID: "nowhere", Audio: MessageAudio{Object: &Object{Bucket: "elsewhere", Name: "x"}}, Model: "nano"}
	msg, err := m.envelope(asr.Normal, "", 0, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	s.work(&fakeEngine{}, nil)
	s.failed(j, "digest is another")
	s.failed(gone, "not any more")
	within(t, "a record", func() bool { _, err := s.read(t.Context(), "nowhere"); return err == nil })
	s.failed(asr.Job{ID: "nowhere"}, `no object store "elsewhere"`)
	s.empty()
}

func TestJobsWithAddressesAreRefusedWhereNoneIsFetched(t *testing.T) {
	s := newSite(t, asr.Limits{})
	s.work(&fakeEngine{}, nil)
	s.failed(s.submit(nil, "", func(q *asr.Submission) { q.Audio.URL = "https://example.com/a.wav" }), "gets no sound from addresses")
}

func TestWhatAllWorkersLackIsADeadLetter(t *testing.T) {
	s := newSite(t, asr.Limits{})
	s.work(&fakeEngine{}, nil)
	j := s.submit(fakeSound(1, 3), "", func(q *asr.Submission) { q.Params = asr.Params{"adapter": {"klingon"}} })
	if got := s.failed(j, `adapter "klingon"`); got.Attempts != maxDeliver {
		t.Errorf("%d attempts, want %d", got.Attempts, maxDeliver)
	}
	if n := s.counts.redelivered.Load(); n != maxDeliver-1 {
		t.Errorf("%d redeliveries are told, want %d", n, maxDeliver-1)
	}
	s.empty()
}

func TestWhatAWorkerLacksAnotherDoes(t *testing.T) {
	s := newSite(t, asr.Limits{})
	lacking := s.work(&fakeEngine{}, func(w *Worker) { w.delays.absent = 300 * time.Millisecond })
	file := fakeSound(1, 3)
	j := s.submit(file, "p", func(q *asr.Submission) { q.Params["adapter"] = []string{"cs"} })
	within(t, "a reason why it is put off", func() bool {
		got, err := s.Job(t.Context(), AnyClient, j.ID)
		return err == nil && got.State == asr.JobQueued && strings.Contains(got.Reason, `adapter "cs"`)
	})
	s.work(&fakeEngine{adapters: []string{"cs"}}, nil)
	lacking.end()
	if got := s.wait(j.ID, asr.JobDone); got.Reason != "" || got.Adapter != "cs" {
		t.Errorf("%+v, want the adapter cs and no reason", got)
	}
	s.empty()
}

func TestBusyWorkersTryAgain(t *testing.T) {
	s := newSite(t, asr.Limits{})
	var tries atomic.Int32
	s.work(&fakeEngine{before: func(context.Context, asr.Request, int) error {
		if n := tries.Add(1); n < 4 {
			return []error{asr.ErrBusy, asr.ErrInternal, errors.New("out of memory")}[max(0, n-1)]
		}
		return nil
	}}, nil)
	file := fakeSound(1, 1)
	if j := s.done(s.submit(file, "p", nil), file, "p"); j.Attempts != 4 || j.Reason != "" {
		t.Errorf("%+v, want four attempts and no reason", j)
	}
	tries.Store(-1000)
	s.failed(s.submit(file, "q", nil), busyReason)
	s.empty()
}

func TestWorkerStopsAtCancelledJobs(t *testing.T) {
	s := newSite(t, asr.Limits{})
	begun := make(chan string, 10)
	e := &fakeEngine{perWindow: 20 * time.Millisecond, before: func(_ context.Context, q asr.Request, n int) error {
		if n == 2 {
			begun <- q.Decoding.InitialPrompt
		}
		return nil
	}}
	queued := s.submit(fakeSound(1, 180), "queued", nil)
	if _, err := s.Cancel(t.Context(), AnyClient, queued.ID); err != nil {
		t.Fatal(err)
	}
	s.work(e, nil)
	running := s.submit(fakeSound(2, 1000), "running", nil)
	if got := <-begun; got != "running" {
		t.Fatalf("%q has begun", got)
	}
	// That anybody says so is not enough.
	if err := s.nc.Publish(subjectCancel+running.ID, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if j := s.wait(running.ID, asr.JobRunning); j.Worker == "" {
		t.Errorf("%+v", j)
	}
	begin := time.Now()
	if _, err := s.Cancel(t.Context(), AnyClient, running.ID); err != nil {
		t.Fatal(err)
	}
	s.empty()
	if took := time.Since(begin); took > 10*time.Second { // of 20 s
		t.Errorf("it took %v to stop", took)
	}
	for _, id := range []string{queued.ID, running.ID} {
		s.wait(id, asr.JobCancelled)
		if _, err := s.Result(t.Context(), AnyClient, id); err == nil {
			t.Error("a cancelled job has a result")
		}
	}
	if got := e.windows("queued"); got != nil {
		t.Errorf("the cancelled job was heard: %v", got)
	}
}

func TestSlotsAreNotExceededAndLiveJobsWaitForNobody(t *testing.T) {
	s := newSite(t, asr.Limits{})
	hold := make(chan struct{})
	e := &fakeEngine{before: func(ctx context.Context, q asr.Request, n int) error {
		if q.Priority != asr.Live {
			<-hold
		}
		return nil
	}}
	s.work(e, nil) // 4 slots and 1 for live
	file := fakeSound(1, 1)
	var others []asr.Job
	for i := range 12 {
		others = append(others, s.submit(file, fmt.Sprint("other", i), func(q *asr.Submission) { q.Priority = []asr.Priority{asr.Normal, asr.Bulk}[i%2] }))
	}
	within(t, "four that run", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.running == 4 })
	for i := range 3 {
		live := s.submit(file, fmt.Sprint("live", i), func(q *asr.Submission) { q.Priority = asr.Live })
		s.done(live, file, fmt.Sprint("live", i))
	}
	for p, c := range must(s.consumers(t.Context(), "nano"))(t) {
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p == asr.Normal && info.NumAckPending+int(info.NumPending) != 6 || p == asr.Live && info.NumAckPending > 0 {
			t.Errorf("%v: %d at work and %d wait", p, info.NumAckPending, info.NumPending)
		}
	}
	close(hold)
	for i, j := range others {
		s.done(j, file, fmt.Sprint("other", i))
	}
	if e.most > 5 {
		t.Errorf("%d ran at a time, want at most 5", e.most)
	}
	s.empty()
}

// must returns a value, and fails the test where there is an error in its place.
func must[T any](x T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func TestWorkerEndsWithAFaultOfItsEngine(t *testing.T) {
	s := newSite(t, asr.Limits{})
	e := &fakeEngine{}
	e.before = func(_ context.Context, _ asr.Request, n int) error {
		if n == 1 {
			e.breakDown(errors.New("the device fell off the bus"))
			return asr.ErrInternal
		}
		return nil
	}
	w := s.work(e, nil)
	file := fakeSound(1, 4)
	j := s.submit(file, "p", nil)
	<-w.ended
	if !errors.Is(w.err, asr.ErrInternal) {
		t.Errorf("the worker ended with %v, want ErrInternal", w.err)
	}
	begin := time.Now()
	s.work(&fakeEngine{}, nil)
	if got := s.done(j, file, "p"); got.Attempts != 2 {
		t.Errorf("%d attempts, want 2", got.Attempts)
	}
	if took := time.Since(begin); took > testLease {
		t.Errorf("it took %v until another did the job: it was not given back at once", took)
	}
}

func TestPullingSurvivesTheLossOfConsumersAndOfTheBroker(t *testing.T) {
	s := newSite(t, asr.Limits{})
	s.work(&fakeEngine{}, nil)
	file := fakeSound(1, 1)
	s.done(s.submit(file, "a", nil), file, "a")
	for _, p := range priorities {
		if err := s.jobs.DeleteConsumer(t.Context(), p.String()+"-nano"); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
	}
	s.done(s.submit(file, "b", nil), file, "b")
	for i := range 2 {
		s.server.Close()
		time.Sleep(50 * time.Millisecond)
		s.start()
		var j asr.Job
		within(t, "a submission", func() bool {
			var err error
			j, _, err = s.Submit(t.Context(), asr.Submission{Audio: asr.JobAudio{Bytes: file}, Params: asr.Params{"prompt": {fmt.Sprint("c", i)}}})
			return err == nil
		})
		s.done(j, file, fmt.Sprint("c", i))
	}
	s.empty()
}

func TestMessagesThatAreNoJobsAreDeadLetters(t *testing.T) {
	s := newSite(t, asr.Limits{})
	s.work(&fakeEngine{}, nil)
	if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: subjectOf(asr.Bulk, "nano"), Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	within(t, "an empty queue", func() bool { return messages(t, s.jobs) == 0 && messages(t, s.advisory) == 0 })
	if n := messages(t, s.dead); n > 1 {
		t.Errorf("%d dead letters", n)
	}
}

func TestWorkersHaveNamesAndSizes(t *testing.T) {
	s := &Store{}
	a, b := NewWorker(s, WorkerOptions{}), NewWorker(s, WorkerOptions{Slots: 2})
	if a.o.Name == b.o.Name || a.o.Slots != 16 || a.o.Requests != 16 || b.o.Requests != 2 {
		t.Errorf("%+v and %+v", a.o, b.o)
	}
	if err := a.Run(t.Context(), t.Context()); !errors.Is(err, asr.ErrInvalid) {
		t.Errorf("a worker without an engine: %v", err)
	}
	if !slices.Equal(priorities, []asr.Priority{asr.Live, asr.Normal, asr.Bulk}) {
		t.Error("live jobs are not the first")
	}
}
