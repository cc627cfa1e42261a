package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"glossa/asr"
)

// TestWorkerLeavesWhatOthersHave has an attempt put off that another has overtaken.
func TestWorkerLeavesWhatOthersHave(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(0)
	s.work(&fakeEngine{before: func(ctx context.Context, q asr.Request, n int) error {
		return errors.Join(g.before(ctx, q, n), asr.ErrBusy)
	}}, nil)
	j := s.submit(fakeSound(1, 3), "p", nil)
	g.wait(t)
	within(t, "all that the attempt tells", func() bool { got, err := s.Job(t.Context(), AnyClient, j.ID); return err == nil && got.Audio > 0 })
	if _, err := s.change(t.Context(), j.ID, func(r *record) error { r.begin("another", r.Sequence); return nil }); err != nil {
		t.Fatal(err)
	}
	close(g.open)
	time.Sleep(testLease / 4) // in which it would be delivered again
	if got := s.wait(j.ID, asr.JobRunning); got.Worker != "another" || got.Attempts != 2 || s.counts.redelivered.Load() != 0 {
		t.Errorf("%+v after %d redeliveries, want that of another worker", got, s.counts.redelivered.Load())
	}
}

// TestWorkerDoesTheRestOfACancellation has a job cancelled by a process that is lost before it has done what follows.
func TestWorkerDoesTheRestOfACancellation(t *testing.T) {
	s := newSite(t, asr.Limits{})
	g := newGate(1)
	s.work(&fakeEngine{before: g.before}, nil)
	j := s.submit(fakeSound(1, 180), "p", func(q *asr.Submission) { q.Callback = "https://example.org/" })
	g.wait(t)
	if _, err := s.change(t.Context(), j.ID, func(r *record) error { r.State = asr.JobCancelled; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.nc.Publish(subjectCancel+j.ID, nil); err != nil {
		t.Fatal(err)
	}
	s.empty()
	if n := messages(t, s.hooks); n != 1 {
		t.Errorf("%d callbacks, want 1", n)
	}
}
