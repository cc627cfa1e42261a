package jobs

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// pull returns the next message of a model, which must come.
func pull(t testing.TB, s *Store, model string) jetstream.Msg {
	t.Helper()
	of, err := s.consumers(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, p := range priorities {
			batch, err := of[p].FetchNoWait(1)
			if err != nil {
				t.Fatal(err)
			}
			for m := range batch.Messages() {
				return m
			}
		}
	}
	t.Fatal("no message came")
	return nil
}

func submit(t testing.TB, s *Store, q asr.Submission) asr.Job {
	t.Helper()
	if q.Audio.Bytes == nil && q.Audio.URL == "" {
		q.Audio.Bytes = []byte("sound of " + q.Name)
	}
	j, _, err := s.Submit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// aResult returns a result with numbers that JSON does not have.
func aResult() *asr.Result {
	return &asr.Result{Text: " hello", Language: "en", Adapter: "a", Duration: 2.5, Segments: []asr.Segment{{
		ID: 0, End: 2.5, Text: " hello", Tokens: []int32{1, 2}, AvgLogProb: math.Inf(-1), CompressionRatio: math.NaN(), NoSpeechProb: math.Inf(1),
		Words: []asr.Word{{Word: " hello", Start: 0.1, End: 0.3, Probability: math.NaN()}}}}}
}

// claimed is claim, and returns the job.
func (s *Store) claimed(ctx context.Context, m jetstream.Msg, worker string) (*Message, asr.Job, error) {
	message, r, err := s.claim(ctx, m, worker)
	return message, r.Job, err
}

// lastOf returns the record of a job as an attempt at it last wrote it: that of now, or where it is not the attempt's, an older.
func (s *Store) lastOf(ctx context.Context, id string, attempt int) *record {
	r, err := s.read(ctx, id)
	if err != nil || r.mine(attempt) != nil {
		return &record{Job: asr.Job{ID: id, State: asr.JobRunning, Attempts: attempt}}
	}
	return r
}

// done ends an attempt with a result.
func (s *Store) done(ctx context.Context, id string, attempt int, result *asr.Result) (asr.Job, error) {
	r, err := s.finishDone(ctx, s.lastOf(ctx, id, attempt), result, true)
	if r == nil {
		return asr.Job{}, err
	}
	return r.Job, err
}

// tellProgress is progress of an attempt.
func (s *Store) tellProgress(ctx context.Context, id string, attempt int, done, audio float64, segments ...asr.Segment) (asr.Job, error) {
	r, err := s.progress(ctx, s.lastOf(ctx, id, attempt), done, audio, segments...)
	if r == nil {
		return asr.Job{}, err
	}
	return r.Job, err
}

func TestAJobIsDone(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	ctx := t.Context()
	j := submit(t, s, asr.Submission{Name: "a.wav", Audio: asr.JobAudio{Bytes: make([]byte, maxInline+1)}})
	m := pull(t, s, "m")
	message, running, err := s.claimed(ctx, m, "w1")
	if err != nil || running.State != asr.JobRunning || running.Attempts != 1 || message.Audio.Object == nil {
		t.Fatal(running, err)
	}
	for n := range 3 {
		if err := s.appendWindow(ctx, j.ID, 1, n, asr.Checkpoint{Done: float64(n), Segments: aResult().Segments}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.appendWindow(ctx, j.ID, 1, 2, asr.Checkpoint{Done: 2}); err != nil { // once more
		t.Fatal(err)
	}
	if _, err := s.tellProgress(ctx, j.ID, 1, 2, 2.5); err != nil {
		t.Fatal(err)
	}
	if of, err := s.storedWindows(ctx, j.ID); err != nil || len(of) != 3 || of[2].Done != 2 || !math.IsNaN(of[1].Segments[0].CompressionRatio) {
		t.Fatal(of, err)
	}
	if j, err = s.done(ctx, j.ID, 1, aResult()); err != nil || j.State != asr.JobDone {
		t.Fatal(j, err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Result(ctx, "", j.ID); err != nil || r.Text != " hello" {
		t.Fatal(r, err)
	}
	if _, err := s.audio.GetInfo(ctx, message.Audio.Object.Name); !errors.Is(err, jetstream.ErrObjectNotFound) {
		t.Fatal(err)
	}
	if err := s.appendWindow(ctx, j.ID, 1, 3, asr.Checkpoint{}); !errors.Is(err, errSuperseded) {
		t.Fatal(err)
	}
}
