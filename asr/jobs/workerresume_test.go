package jobs

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// gate holds a fake engine up before a window, until it is opened.
type gate struct {
	at      int
	reached chan struct{}
	open    chan struct{}
	used    atomic.Bool
}

func newGate(at int) *gate {
	return &gate{at: at, reached: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) before(ctx context.Context, _ asr.Request, n int) error {
	if n == g.at && g.used.CompareAndSwap(false, true) {
		close(g.reached)
		select {
		case <-g.open:
		case <-ctx.Done():
		}
	}
	return nil
}

// wait waits until the engine is held up.
func (g *gate) wait(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(patient):
		t.Fatalf("window %d was not reached", g.at)
	}
}

// stored waits until so many windows of a job are stored.
func (s *site) stored(id string, n int) {
	s.t.Helper()
	within(s.t, "stored windows", func() bool {
		list, err := s.storedWindows(s.t.Context(), id)
		return err == nil && len(list) == n
	})
}

// from returns the numbers from a to b.
func from(a, b int) (list []int) {
	for n := a; n < b; n++ {
		list = append(list, n)
	}
	return list
}

func TestDrainingWorkerGivesJobsBackBehindTheirLastWindow(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(7)
	first := &fakeEngine{before: g.before}
	w := s.work(first, nil)
	file := fakeSound(1, 12)
	j := s.submit(file, "p", nil)
	g.wait(t)
	w.drain()
	time.Sleep(50 * time.Millisecond)
	select {
	case <-w.ended:
		t.Fatal("the worker ended before its grace did")
	default:
	}
	begin := time.Now()
	w.kill()
	<-w.ended
	if w.err != nil || time.Since(begin) > lastTime {
		t.Errorf("the worker ended after %v with %v", time.Since(begin), w.err)
	}
	s.stored(j.ID, 7)
	second := &fakeEngine{}
	begin = time.Now()
	s.work(second, nil)
	got := s.done(j, file, "p")
	if took := time.Since(begin); took > testLease/2 {
		t.Errorf("it took %v until another went on: the job was not given back at once", took)
	}
	if got.Attempts != 2 || !slices.Equal(second.windows("p"), from(7, 12)) {
		t.Errorf("attempt %d heard the windows %v, want 7 to 11 in the second", got.Attempts, second.windows("p"))
	}
	s.empty()
}

func TestJobThatIsGivenBackForEverIsNoDeadLetter(t *testing.T) {
	s := newSite(t, asr.Limits{})
	file := fakeSound(1, 12)
	j := s.submit(file, "p", nil)
	for n := range 2 * maxDeliver {
		g := newGate(n + 1)
		e := &fakeEngine{before: g.before}
		w := s.work(e, nil)
		g.wait(t)
		w.end()
		if got := e.windows("p"); !slices.Equal(got, from(n, n+2)) {
			t.Fatalf("worker %d heard the windows %v, want %d and %d", n, got, n, n+1)
		}
	}
	s.work(&fakeEngine{}, nil)
	if got := s.done(j, file, "p"); got.Attempts != 2*maxDeliver+1 {
		t.Errorf("%d attempts, want %d", got.Attempts, 2*maxDeliver+1)
	}
	s.empty()
}

func TestDrainingWorkerEndsJobsWithinItsGrace(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(2)
	w := s.work(&fakeEngine{before: g.before}, nil)
	file := fakeSound(1, 4)
	j := s.submit(file, "p", nil)
	g.wait(t)
	w.drain()
	other := s.submit(file, "q", nil)
	close(g.open)
	<-w.ended
	if got := s.done(j, file, "p"); got.Attempts != 1 {
		t.Errorf("%d attempts, want 1", got.Attempts)
	}
	if got := s.wait(other.ID, asr.JobQueued); got.Attempts > 0 {
		t.Error("a draining worker took a job")
	}
}

func TestLostLeaseMakesOneResult(t *testing.T) {
	s := newSite(t, asr.Limits{})
	slow, quick := newGate(3), newGate(6)
	first, second := &fakeEngine{before: slow.before}, &fakeEngine{before: quick.before}
	stopped := s.work(first, func(w *Worker) { w.beat = func(jetstream.Msg) error { return nil } })
	file := fakeSound(1, 10)
	j := s.submit(file, "p", nil)
	slow.wait(t) // from now on it is as if the process stood still
	stopped.drain()
	s.stored(j.ID, 3)
	s.work(second, nil)
	quick.wait(t) // another has the job, behind the windows that are stored
	s.stored(j.ID, 6)
	close(slow.open)
	within(t, "the end of the first attempt", func() bool { return len(stopped.Worker.running.of(j.ID)) == 0 })
	s.stored(j.ID, 6)
	if got := s.wait(j.ID, asr.JobRunning); got.Attempts != 2 {
		t.Errorf("%+v, want it in its second attempt", got)
	}
	if _, err := s.Result(t.Context(), AnyClient, j.ID); err == nil {
		t.Error("the worker without the lease wrote a result")
	}
	close(quick.open)
	s.done(j, file, "p")
	if got := second.windows("p"); !slices.Equal(got, from(3, 10)) {
		t.Errorf("the second worker heard the windows %v, want 3 to 9", got)
	}
	if n := s.counts.redelivered.Load(); n != 1 {
		t.Errorf("%d redeliveries are told, want 1", n)
	}
	s.empty()
}

func TestWindowsOfAnotherModelAreDropped(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(5)
	w := s.work(&fakeEngine{model: "old", before: g.before}, nil)
	file := fakeSound(1, 8)
	j := s.submit(file, "p", nil)
	g.wait(t)
	w.end()
	s.stored(j.ID, 5)
	e := &fakeEngine{model: "new"}
	s.work(e, nil)
	s.done(j, file, "p")
	if got := e.windows("p"); !slices.Equal(got, from(0, 8)) {
		t.Errorf("the windows %v were heard, want all", got)
	}
	s.empty()
}

func TestJobOutlivesARestartOfTheBroker(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(6)
	e := &fakeEngine{before: g.before}
	s.work(e, nil)
	file := fakeSound(1, 3*trailLength)
	j := s.submit(file, "p", nil)
	g.wait(t)
	s.server.Close()
	close(g.open) // more windows come than may wait, while there is nobody to store them
	time.Sleep(300 * time.Millisecond)
	s.start()
	s.done(j, file, "p")
	if got := len(e.windows("p")); got > 2*3*trailLength {
		t.Errorf("%d windows were heard, of %d", got, 3*trailLength)
	}
	s.empty()
}

func TestProgressIsTold(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(8)
	s.work(&fakeEngine{before: g.before}, nil)
	file := fakeSound(1, 10)
	j := s.submit(file, "p", nil)
	events := make(chan asr.JobEvent, 1000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e, err := range s.Watch(t.Context(), AnyClient, j.ID) {
			if err != nil {
				t.Error(err)
				return
			}
			events <- e
		}
	}()
	g.wait(t)
	within(t, "progress", func() bool {
		got, err := s.Job(t.Context(), AnyClient, j.ID)
		return err == nil && got.Done == 0.8 && got.Audio == 1
	})
	close(g.open)
	s.done(j, file, "p")
	<-ended
	close(events)
	n := 0
	var segments []int
	for e := range events {
		n++
		for _, x := range e.Segments {
			segments = append(segments, x.ID)
		}
	}
	if !slices.Equal(segments, slices.Compact(slices.Sorted(slices.Values(segments)))) || len(segments) < 8 {
		t.Errorf("events told the segments %v, want each once", segments)
	}
	if n > 8 {
		t.Errorf("%d events of a job that took moments", n)
	}
}
