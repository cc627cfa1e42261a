package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// run has a store do its duties until the test ends.
func run(t testing.TB, s *Store) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// isState returns an error unless a job is in a state.
func isState(t testing.TB, s *Store, id string, want asr.JobState) error {
	t.Helper()
	j, err := s.Job(t.Context(), AnyClient, id)
	if err != nil {
		return err
	}
	if j.State != want {
		return fmt.Errorf("job %s is %s, not %s", id, j.State, want)
	}
	return nil
}

// lose has a message delivered as often as it may be, by workers that are lost.
func lose(t testing.TB, s *Store, model string) {
	t.Helper()
	for range maxDeliver {
		m := pull(t, s, model)
		if _, _, err := s.claimed(t.Context(), m, "lost"); err != nil && !errors.Is(err, errEnded) {
			t.Fatal(err)
		}
		if err := m.Nak(); err != nil { // sooner than its time is over
			t.Fatal(err)
		}
	}
	of, err := s.consumers(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := of[asr.Normal].FetchNoWait(1); err != nil || len(batch.Messages()) != 0 {
		t.Fatal("it is delivered once more", err)
	}
}

type counts struct {
	mu                          sync.Mutex
	submitted, duplicates, dead int
	finished                    map[asr.JobState]int
	redelivered                 int
}

func (c *counts) JobSubmitted(_ asr.Priority, duplicate bool) {
	c.count(&c.submitted)
	c.countIf(duplicate, &c.duplicates)
}
func (c *counts) JobRedelivered() { c.count(&c.redelivered) }
func (c *counts) JobDead()        { c.count(&c.dead) }
func (c *counts) JobFinished(j asr.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished == nil {
		c.finished = make(map[asr.JobState]int)
	}
	c.finished[j.State]++
}
func (c *counts) count(n *int) { c.countIf(true, n) }
func (c *counts) countIf(is bool, n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is {
		*n++
	}
}

func TestALostJobIsADeadLetter(t *testing.T) {
	b := startBroker(t)
	var c counts
	s := openStore(t, b, Options{Metrics: &c})
	run(t, s)
	run(t, openStore(t, b, Options{Metrics: &c})) // two at a time
	j := submit(t, s, asr.Submission{Client: "ann", Callback: "https://example.org/", Audio: asr.JobAudio{Bytes: long}})
	lose(t, s, "m")
	eventually(t, func() error { return isState(t, s, j.ID, asr.JobFailed) })
	eventually(t, func() error {
		if n := queued(t, s); n != 0 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	j, err := s.Job(t.Context(), "ann", j.ID)
	if err != nil || j.Reason != "its worker was lost, or gave it back, 5 times" || j.Attempts != maxDeliver || j.Finished.IsZero() {
		t.Errorf("%+v %v", j, err)
	}
	letter, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID)
	if err != nil || letter.Header.Get(headerReason) != j.Reason || letter.Header.Get(headerClient) != "ann" {
		t.Error(letter, err)
	}
	hook, err := s.hooks.GetLastMsgForSubject(t.Context(), subjectHooks+j.ID)
	if err != nil || !strings.Contains(string(hook.Data), j.Reason) {
		t.Error(hook, err)
	}
	if _, err := s.Result(t.Context(), "ann", j.ID); !errors.Is(err, asr.ErrInvalid) || !strings.Contains(err.Error(), j.Reason) {
		t.Error(err)
	}

	if j, err = s.Retry(t.Context(), "ann", j.ID); err != nil || j.State != asr.JobQueued || j.Reason != "" || !j.Finished.IsZero() {
		t.Fatal(j, err)
	}
	if _, err := s.Retry(t.Context(), "ann", j.ID); !errors.Is(err, asr.ErrInvalid) {
		t.Error("retried twice:", err)
	}
	m := pull(t, s, "m")
	message, j, err := s.claimed(t.Context(), m, "w")
	if err != nil || j.Attempts != maxDeliver+1 {
		t.Fatal(j, err)
	}
	if sound, err := s.audio.GetBytes(t.Context(), message.Audio.Object.Name); err != nil || len(sound) != len(long) {
		t.Error("its sound is not kept:", err)
	}
	if j, err = s.done(t.Context(), j.ID, j.Attempts, aResult()); err != nil || j.State != asr.JobDone {
		t.Fatal(j, err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID); !isGone(err) {
		t.Error("the dead letter is left:", err)
	}
	if c.submitted != 1 || c.dead != 1 || c.finished[asr.JobFailed] != 1 || c.finished[asr.JobDone] != 1 || c.redelivered != maxDeliver-1 {
		t.Errorf("%+v", &c)
	}
}

// TestLostWithoutARecord has a message lost that no worker ever claimed, with and without an id.
func TestLostWithoutARecord(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	run(t, s)
	for _, body := range []string{`{"job_id":"mine","audio":{"inline":"c291bmQ="}}`, `{}`} {
		ack, err := s.js.Publish(t.Context(), "asr.jobs.normal.m", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for range maxDeliver {
			if err := pull(t, s, "m").Nak(); err != nil {
				t.Fatal(err)
			}
		}
		of, err := s.consumers(t.Context(), "m")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := of[asr.Normal].FetchNoWait(1); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			for _, j := range pages(t, s, AnyClient, asr.JobQuery{States: []asr.JobState{asr.JobFailed}}) {
				if j.ID == "mine" || strings.HasPrefix(j.ID, fmt.Sprintf("message-%d-", ack.Sequence)) {
					return nil
				}
			}
			return errors.New("no failed job for " + body)
		})
	}
}

// TestAWorkerOfAnotherTerminates has somebody's own worker refuse jobs: the message is gone before anybody can look at it.
func TestAWorkerOfAnotherTerminates(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	run(t, s)
	known := submit(t, s, asr.Submission{})
	if err := pull(t, s, "m").TermWithReason("it is too loud"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return isState(t, s, known.ID, asr.JobFailed) })
	if j, err := s.Job(t.Context(), "", known.ID); err != nil || j.Reason != "it is too loud" {
		t.Error(j, err)
	}
	if _, err := s.Retry(t.Context(), "", known.ID); !errors.Is(err, asr.ErrInvalid) || !strings.Contains(err.Error(), "submit it again") {
		t.Error(err)
	}
	if j := submit(t, s, asr.Submission{}); j.ID != known.ID || j.State != asr.JobQueued {
		t.Error(j)
	}
}

// TestAnEndedJobStays has a message given up whose job has ended otherwise.
func TestAnEndedJobStays(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	j := submit(t, s, asr.Submission{})
	lose(t, s, "m")
	r, err := s.read(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.done(t.Context(), j.ID, r.Attempts, aResult()); err != nil { // the last worker was only slow
		t.Fatal(err)
	}
	run(t, s)
	eventually(t, func() error {
		if n := queued(t, s); n != 0 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	if err := isState(t, s, j.ID, asr.JobDone); err != nil {
		t.Error(err)
	}
	if _, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID); !isGone(err) {
		t.Error("it has a dead letter:", err)
	}
}

// TestLostAdvisories has the sweep find what no advisory tells.
func TestLostAdvisories(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	stuck := submit(t, s, asr.Submission{Name: "stuck"})
	lose(t, s, "m")
	eventually(t, func() error {
		if info, err := s.advisory.Info(t.Context()); err != nil || info.State.Msgs == 0 {
			return errors.New("no advisory")
		}
		return nil
	})
	if err := s.advisory.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := sweeper{s: s}
	for _, want := range []asr.JobState{asr.JobRunning, asr.JobFailed} { // it acts on what it sees twice
		if err := errors.Join(w.sweep(t.Context()), isState(t, s, stuck.ID, want)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := submit(t, s, asr.Submission{Name: "waiting"})
	running := submit(t, s, asr.Submission{Name: "running"})
	held := []jetstream.Msg{pull(t, s, "m"), pull(t, s, "m")}
	for _, m := range held { // one is claimed, the other waits again
		_, j, err := s.claimed(t.Context(), m, "w")
		if err != nil {
			t.Fatal(err)
		}
		if j.ID == waiting.ID {
			if err := errors.Join(s.giveBack(t.Context(), j.ID, j.Attempts, ""), m.Nak()); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := submit(t, s, asr.Submission{Name: "gone"})
	r, err := s.read(t.Context(), gone.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.jobs.DeleteMsg(t.Context(), r.Sequence); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]asr.JobState{stuck.ID: asr.JobFailed, gone.ID: asr.JobFailed, waiting.ID: asr.JobQueued, running.ID: asr.JobRunning} {
		if err := isState(t, s, id, want); err != nil {
			t.Error(err)
		}
	}
	if n := queued(t, s); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestTheSweepOfSound(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	waiting := submit(t, s, asr.Submission{Audio: asr.JobAudio{Bytes: long}})
	put := func(id string) string {
		t.Helper()
		o, err := s.audio.PutBytes(t.Context(), id+".other", long)
		if err != nil {
			t.Fatal(err)
		}
		return o.Name
	}
	second := put(waiting.ID) // of a submission that was lost
	orphan := put("nobody")   // whose message may wait
	done := submit(t, s, asr.Submission{Name: "done"})
	if _, err := s.Cancel(t.Context(), "", done.ID); err != nil {
		t.Fatal(err)
	}
	left := put(done.ID)
	if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: subjectOfChunks + "BROKEN", Data: long[:1000]}); err != nil {
		t.Fatal(err)
	}
	w := sweeper{s: s}
	names := func() string {
		t.Helper()
		objects, err := s.audio.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, o := range objects {
			all = append(all, o.Name)
		}
		return strings.Join(all, " ")
	}
	before := names()
	if err := w.sweepSound(t.Context(), s.started(t)); err != nil { // all is younger
		t.Fatal(err)
	}
	if names() != before {
		t.Error("young sound is swept away")
	}
	if err := w.sweepSound(t.Context(), s.started(t).AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	r, err := s.read(t.Context(), waiting.ID)
	if err != nil {
		t.Fatal(err)
	}
	after := names()
	for name, want := range map[string]bool{r.Object: true, orphan: true, second: false, left: false} {
		if strings.Contains(after, name) != want {
			t.Errorf("object %s is kept: %v", name, !want)
		}
	}
	if sound, err := s.audio.GetBytes(t.Context(), r.Object); err != nil || len(sound) != len(long) {
		t.Error("the sound of the waiting job:", err)
	}
	if _, err := s.sound.GetLastMsgForSubject(t.Context(), subjectOfChunks+"BROKEN"); !isGone(err) {
		t.Error("a broken upload is left:", err)
	}
}
