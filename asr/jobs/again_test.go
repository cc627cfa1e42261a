package jobs

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// interrupted is a connection on which others are faster: something happens before or behind what it publishes.
type interrupted struct {
	jetstream.JetStream
	before, behind func(subject string)
}

func (j interrupted) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if j.before != nil {
		j.before(m.Subject)
	}
	ack, err := j.JetStream.PublishMsg(ctx, m, o...)
	if err == nil && j.behind != nil {
		j.behind(m.Subject)
	}
	return ack, err
}

// interrupt returns a store like another, on such a connection.
func (s *Store) interrupt(before, behind func(subject string)) *Store {
	of := *s
	of.js = interrupted{s.js, before, behind}
	return &of
}

func isRecord(subject string) bool { return subject[:4] == "$KV." }

// TestAJobThatFailsAtOnceKeepsItsLetter has a job that is begun anew fail before who began it has come to the end of that.
func TestAJobThatFailsAtOnceKeepsItsLetter(t *testing.T) {
	b := startBroker(t)
	for name, anew := range map[string]func(s *Store, q asr.Submission) error{
		"retry": func(s *Store, q asr.Submission) error {
			_, err := s.Retry(t.Context(), "", find(t, s, q.Name))
			return err
		},
		"submit": func(s *Store, q asr.Submission) error { return resubmit(t.Context(), s, q, nil, "") },
	} {
		s := openStore(t, b, Options{})
		q := asr.Submission{Name: name, Audio: asr.JobAudio{Bytes: append([]byte(name), long...)}}
		fails(t, s, q)
		slow := s.interrupt(nil, func(subject string) {
			if !isRecord(subject) {
				return
			}
			m := pull(t, s, "m")
			_, j, err := s.claimed(t.Context(), m, "w")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.finishFailed(t.Context(), m, j.Attempts, "again"); err != nil {
				t.Fatal(err)
			}
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if err := anew(slow, q); err != nil {
			t.Fatal(name, err)
		}
		letter, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+find(t, s, q.Name))
		if err != nil || letter.Header.Get(headerReason) != "again" {
			t.Errorf("%s: the dead letter of the last attempt: %v", name, err)
		}
		r, err := s.read(t.Context(), find(t, s, q.Name))
		if err != nil {
			t.Fatal(err)
		}
		if sound, err := s.audio.GetBytes(t.Context(), r.Object); err != nil || len(sound) < len(long) {
			t.Errorf("%s: the sound of the last attempt: %v", name, err)
		}
	}
}

// TestRetriedAndSubmittedAtATime has the message of a submission count, which brings sound of its own, and the record of a retry.
func TestRetriedAndSubmittedAtATime(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	q := asr.Submission{Name: "both", Audio: asr.JobAudio{Bytes: long}}
	fails(t, s, q)
	slow := s.interrupt(func(subject string) {
		if isRecord(subject) { // the submission's message is there
			if _, err := s.Retry(t.Context(), "", find(t, s, q.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}, nil)
	if err := resubmit(t.Context(), slow, q, nil, ""); err != nil {
		t.Fatal(err)
	}
	w := sweeper{s: s}
	if err := w.sweepSound(t.Context(), s.started(t).AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	message, _, err := s.claimed(t.Context(), pull(t, s, "m"), "w")
	if err != nil {
		t.Fatal(err)
	}
	if sound, err := s.audio.GetBytes(t.Context(), message.Audio.Object.Name); err != nil || len(sound) != len(long) {
		t.Error("the sound that waits is swept away:", err)
	}
}

// TestALetterOfAnEarlierAttempt has a worker lost that had stored the dead letter of a job, and not yet its end.
func TestALetterOfAnEarlierAttempt(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	j := submit(t, s, asr.Submission{})
	m := pull(t, s, "m")
	if _, _, err := s.claimed(t.Context(), m, "lost"); err != nil {
		t.Fatal(err)
	}
	lost, _ := s.killedAfter(2) // reads the record, stores the letter
	if _, err := lost.finishFailed(t.Context(), m, 1, "it fails"); err == nil {
		t.Fatal("it was not lost")
	}
	if _, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID); err != nil {
		t.Fatal(err)
	}
	if _, j, err := s.claimed(t.Context(), m, "w"); err != nil || j.Attempts != 2 {
		t.Fatal(j, err)
	}
	if _, err := s.done(t.Context(), j.ID, 2, aResult()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dead.GetLastMsgForSubject(t.Context(), subjectDead+j.ID); !isGone(err) {
		t.Error("a job that is done has a dead letter:", err)
	}
}

// TestSweepingGoesOn has the sweep find a record that is not understood.
func TestSweepingGoesOn(t *testing.T) {
	s := openStore(t, startBroker(t), Options{})
	broken, gone := submit(t, s, asr.Submission{Name: "broken", Audio: asr.JobAudio{Bytes: long}}), submit(t, s, asr.Submission{Name: "gone"})
	_ = s.Backlog() // the index has both
	if _, err := s.records.PutString(t.Context(), broken.ID, "{"); err != nil {
		t.Fatal(err)
	}
	if err := s.jobs.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	sounded := sounds(t, s)
	w := sweeper{s: s}
	for range 2 {
		w.sweepMissing(t.Context())
	}
	if err := isState(t, s, gone.ID, asr.JobFailed); err != nil {
		t.Error(err)
	}
	if err := w.sweepSound(t.Context(), s.started(t).AddDate(1, 0, 0)); err != nil {
		t.Error(err)
	}
	if n := sounds(t, s); n != sounded {
		t.Error("the sound of a job that is not understood is swept away")
	}
}
