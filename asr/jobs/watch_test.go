package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"glossa/asr"
)

// watched is what one who watches was told.
type watched struct {
	event asr.JobEvent
	err   error
}

// watch watches a job until the watch ends.
func watch(ctx context.Context, s *Store, id string) <-chan watched {
	told := make(chan watched, 100)
	go func() {
		defer close(told)
		for e, err := range s.Watch(ctx, "", id) {
			told <- watched{e, err}
		}
	}()
	return told
}

// follow reads what is told until a job is in a state with so many segments told, all in their order and none twice.
func follow(t testing.TB, told <-chan watched, segments *[]string, state asr.JobState, count int) asr.Job {
	t.Helper()
	for {
		select {
		case w, ok := <-told:
			if !ok || w.err != nil {
				t.Fatal("it ended:", w.err)
			}
			for _, of := range w.event.Segments {
				if want := fmt.Sprint(" window ", len(*segments)); of.Text != want {
					t.Fatalf("segment %q, want %q", of.Text, want)
				}
				*segments = append(*segments, of.Text)
			}
			if w.event.Job.State == state && len(*segments) >= count {
				if len(*segments) > count {
					t.Fatalf("%d segments, want %d", len(*segments), count)
				}
				return w.event.Job
			}
		case <-time.After(patient):
			t.Fatalf("%d segments, and no job that is %s with %d", len(*segments), state, count)
		}
	}
}

func ends(t testing.TB, told <-chan watched) {
	t.Helper()
	select {
	case w, ok := <-told:
		if ok {
			t.Fatalf("it goes on: %+v", w)
		}
	case <-time.After(patient):
		t.Fatal("it does not end")
	}
}

func TestWatch(t *testing.T) {
	b := startBroker(t)
	s, other := openStore(t, b, Options{}), openStore(t, b, Options{})
	j := submit(t, s, asr.Submission{Seconds: 5})
	var first, second, third []string
	told := watch(t.Context(), other, j.ID)
	follow(t, told, &first, asr.JobQueued, 0)
	_, running, err := s.claimed(t.Context(), pull(t, s, "m"), "w")
	if err != nil {
		t.Fatal(err)
	}
	follow(t, told, &first, asr.JobRunning, 0)
	step := func(n int) {
		t.Helper()
		c := aCheckpoint(n, nil)
		if err := s.appendWindow(t.Context(), j.ID, running.Attempts, n, c); err != nil {
			t.Fatal(err)
		}
		if _, err := s.tellProgress(t.Context(), j.ID, running.Attempts, c.Done, 5, c.Segments...); err != nil {
			t.Fatal(err)
		}
	}
	step(0)
	step(1)
	follow(t, told, &first, asr.JobRunning, 2)
	late := watch(t.Context(), s, j.ID)
	if of := follow(t, late, &second, asr.JobRunning, 2); of.Done != 2 {
		t.Error("a late one is told", of)
	}

	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	step(2)
	follow(t, told, &first, asr.JobRunning, 3)
	follow(t, late, &second, asr.JobRunning, 3)

	result := &asr.Result{Duration: 5}
	for n := range 5 { // the last two have no window
		result.Segments = append(result.Segments, aCheckpoint(n, nil).Segments...)
	}
	if _, err := s.done(t.Context(), j.ID, running.Attempts, result); err != nil {
		t.Fatal(err)
	}
	if of := follow(t, told, &first, asr.JobDone, 5); of.Done != 5 {
		t.Errorf("%+v", of)
	}
	follow(t, late, &second, asr.JobDone, 5)
	ends(t, told)
	ends(t, late)
	told = watch(t.Context(), s, j.ID)
	follow(t, told, &third, asr.JobDone, 5)
	ends(t, told)
	eventually(t, func() error {
		if n := s.nc.NumSubscriptions(); n > 2 { // of requests' answers
			return fmt.Errorf("%d subscriptions are left", n)
		}
		return nil
	})
}

func TestWatchEnds(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	j := submit(t, s, asr.Submission{})
	ctx, cancel := context.WithCancel(t.Context())
	told := watch(ctx, s, j.ID)
	<-told
	cancel()
	if w := <-told; !errors.Is(w.err, asr.ErrCancelled) || !errors.Is(w.err, context.Canceled) {
		t.Error(w.err)
	}
	ends(t, told)

	for e, err := range s.Watch(t.Context(), "", j.ID) { // who stops to listen
		if err != nil || e.Job.ID != j.ID {
			t.Error(e, err)
		}
		break
	}
	told = watch(t.Context(), s, j.ID)
	<-told
	if _, err := s.Cancel(t.Context(), "", j.ID); err != nil {
		t.Fatal(err)
	}
	if w := <-told; w.err != nil || w.event.Job.State != asr.JobCancelled {
		t.Error(w)
	}
	ends(t, told)

	j = submit(t, s, asr.Submission{Name: "other"})
	told = watch(t.Context(), s, j.ID)
	<-told
	s.nc.Close()
	if w := <-told; !errors.Is(w.err, asr.ErrBusy) {
		t.Error(w)
	}
	ends(t, told)
}
