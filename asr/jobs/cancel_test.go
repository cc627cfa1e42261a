package jobs

import (
	"errors"
	"testing"

	"glossa/asr"
)

func TestCancelInEachState(t *testing.T) {
	b := startBroker(t)
	s := openStore(t, b, Options{})
	told, err := connect(t, b).SubscribeSync(subjectCancel + "*")
	if err != nil {
		t.Fatal(err)
	}
	queuedJob := submit(t, s, asr.Submission{Name: "queued", Audio: asr.JobAudio{Bytes: long}})
	if j, err := s.Cancel(t.Context(), "", queuedJob.ID); err != nil || j.State != asr.JobCancelled || j.Finished.IsZero() {
		t.Fatal(j, err)
	}
	if queued(t, s) != 0 || sounds(t, s) != 0 {
		t.Error("its message or sound is left")
	}

	running := submit(t, s, asr.Submission{Name: "running", Audio: asr.JobAudio{Bytes: append([]byte("x"), long...)}})
	m := pull(t, s, "m")
	if _, _, err := s.claimed(t.Context(), m, "w"); err != nil {
		t.Fatal(err)
	}
	if err := s.appendWindow(t.Context(), running.ID, 1, 0, asr.Checkpoint{Done: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays cancelled
		if j, err := s.Cancel(t.Context(), "", running.ID); err != nil || j.State != asr.JobCancelled {
			t.Fatal(j, err)
		}
	}
	for _, id := range []string{queuedJob.ID, running.ID} {
		if m, err := told.NextMsg(patient); err != nil || m.Subject != subjectCancel+id {
			t.Fatal(m, err)
		}
	}
	if j, err := s.tellProgress(t.Context(), running.ID, 1, 1, 2); !errors.Is(err, errEnded) || j.State != asr.JobCancelled {
		t.Error("progress:", j, err)
	}
	if err := s.appendWindow(t.Context(), running.ID, 1, 1, asr.Checkpoint{}); !errors.Is(err, errSuperseded) {
		t.Error("a window:", err)
	}
	if j, err := s.done(t.Context(), running.ID, 1, aResult()); !errors.Is(err, errEnded) || j.State != asr.JobCancelled {
		t.Error("a result:", j, err)
	}
	if j, err := s.finishFailed(t.Context(), m, 1, "no"); !errors.Is(err, errEnded) || j.State != asr.JobCancelled {
		t.Error("a failure:", j, err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Error("the message that was deleted:", err)
	}
	if _, err := s.Result(t.Context(), "", running.ID); !errors.Is(err, asr.ErrInvalid) {
		t.Error(err)
	}
	if of, err := s.storedWindows(t.Context(), running.ID); err != nil || len(of) != 0 || queued(t, s) != 0 || sounds(t, s) != 0 {
		t.Error("something is left:", of, err)
	}

	done := submit(t, s, asr.Submission{Name: "done"})
	if _, _, err := s.claimed(t.Context(), pull(t, s, "m"), "w"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.done(t.Context(), done.ID, 1, aResult()); err != nil {
		t.Fatal(err)
	}
	failed := submit(t, s, asr.Submission{Name: "failed"})
	m = pull(t, s, "m")
	if _, _, err := s.claimed(t.Context(), m, "w"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.finishFailed(t.Context(), m, 1, "no"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{done.ID, failed.ID} {
		if _, err := s.Cancel(t.Context(), "", id); !errors.Is(err, asr.ErrInvalid) {
			t.Error(err)
		}
	}
	if _, err := s.Cancel(t.Context(), "", "absent"); !errors.Is(err, asr.ErrNotFound) {
		t.Error(err)
	}
}

// TestOthersJobsDoNotExist has one client ask for the job of another by every method.
func TestOthersJobsDoNotExist(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	j := submit(t, s, asr.Submission{Client: "ann"})
	for _, client := range []string{"bob", ""} {
		_, job := s.Job(t.Context(), client, j.ID)
		_, result := s.Result(t.Context(), client, j.ID)
		_, cancel := s.Cancel(t.Context(), client, j.ID)
		_, retry := s.Retry(t.Context(), client, j.ID)
		var watch error
		for _, err := range s.Watch(t.Context(), client, j.ID) {
			watch = err
		}
		for what, err := range map[string]error{"job": job, "result": result, "cancel": cancel, "retry": retry, "watch": watch} {
			if !errors.Is(err, asr.ErrNotFound) {
				t.Errorf("%s of %q: %v", what, client, err)
			}
		}
		if page, err := s.Jobs(t.Context(), client, asr.JobQuery{}); err != nil || len(page.Jobs) != 0 {
			t.Error(page, err)
		}
	}
	for _, client := range []string{"ann", AnyClient} {
		if page, err := s.Jobs(t.Context(), client, asr.JobQuery{}); err != nil || len(page.Jobs) != 1 {
			t.Error(page, err)
		}
		if got, err := s.Job(t.Context(), client, j.ID); err != nil || got.ID != j.ID {
			t.Error(got, err)
		}
	}
	for _, id := range []string{"", "a.b", "*", ">", "../x"} {
		if _, err := s.Job(t.Context(), AnyClient, id); !errors.Is(err, asr.ErrNotFound) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}
