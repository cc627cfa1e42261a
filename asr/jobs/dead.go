package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"glossa/asr"
)

// bury makes a message a dead letter and its job a failed one, whose message may go then. It can be repeated at any step. The errors are
// errEnded, errSuperseded and errDuplicate, where the message is none, and asr.ErrBusy.
func (s *Store) bury(ctx context.Context, l letter) (asr.Job, error) {
	p, _ := l.parse()
	for {
		r, err := s.buryRecord(ctx, l, p)
		if errors.Is(err, errFaster) || errors.Is(err, errExists) {
			if err := pause(ctx); err != nil {
				return asr.Job{}, err
			}
			continue
		}
		if r == nil {
			return asr.Job{}, err
		}
		if err != nil && !(errors.Is(err, errEnded) && r.Sequence == l.sequence) {
			return r.Job, err
		}
		if err := s.settle(ctx, r); err != nil {
			return r.Job, err
		}
		if r.State != asr.JobFailed {
			return r.Job, errEnded
		}
		return r.Job, nil
	}
}

// buryRecord tries once to store a dead letter and to make its record that of a failed job. The errors are also errFaster and errExists, and
// errEnded where it has ended before.
func (s *Store) buryRecord(ctx context.Context, l letter, p parsed) (*record, error) {
	r, err := s.read(ctx, p.record.ID)
	exists := err == nil
	if err != nil && !errors.Is(err, asr.ErrNotFound) {
		return nil, err
	}
	if !exists {
		r = &p.record
	} else if err := s.owns(ctx, r, p, l.sequence); err != nil {
		if errors.Is(err, errEnded) && r.Sequence == l.sequence && r.State == asr.JobFailed {
			return r, errors.Join(err, s.putLetter(ctx, r.ID, l))
		}
		return r, err
	} else if l.attempt != 0 {
		if err := r.mine(l.attempt); err != nil {
			return r, err
		}
	}
	if err := s.putLetter(ctx, r.ID, l); err != nil {
		return nil, err
	}
	if p.again == r.revision && r.State.Final() {
		r.beginAgain(p.record.Object)
	}
	r.State, r.Reason, r.Finished, r.Sequence = asr.JobFailed, l.reason, time.Now().UTC(), l.sequence
	if exists {
		err = s.write(ctx, r)
	} else {
		err = s.create(ctx, r)
	}
	if err == nil {
		s.o.Metrics.JobDead()
		s.o.Metrics.JobFinished(r.Job)
	}
	return r, err
}

// putLetter stores a dead letter in the place of another of its job.
func (s *Store) putLetter(ctx context.Context, id string, l letter) error {
	msg := &nats.Msg{Subject: subjectDead + id, Data: l.data, Header: nats.Header{}}
	for _, name := range []string{headerClient, headerAudio, headerTrace} {
		if v := l.header.Get(name); v != "" {
			msg.Header.Set(name, v)
		}
	}
	msg.Header.Set(headerReason, l.reason)
	if _, err := s.js.PublishMsg(ctx, msg); err != nil {
		return brokerError("store the dead letter of "+id, err)
	}
	return nil
}
