package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// letter is a message of ASR_JOBS, and why it is a dead one.
type letter struct {
	subject  string
	header   nats.Header
	data     []byte
	sequence uint64
	stored   time.Time
	attempt  int // 0: any
	reason   string

	delivered uint64 // how often, 0 where it is not known
}

// letterOf returns a message that a worker has.
func letterOf(m jetstream.Msg) (letter, error) {
	meta, err := m.Metadata()
	if err != nil {
		return letter{}, fmt.Errorf("%w: a message without metadata: %w", asr.ErrInternal, err)
	}
	return letter{subject: m.Subject(), header: m.Headers(), data: m.Data(), sequence: meta.Sequence.Stream, stored: meta.Timestamp,
		delivered: meta.NumDelivered}, nil
}

const maxReason = 1 << 10 // bytes

// bury makes a message a dead letter and its job a failed one. It can be repeated at any step and comes to the same; the message may go after
// it. The errors are errEnded, errSuperseded and errDuplicate, where the message is none, and asr.ErrBusy.
func (s *Store) bury(ctx context.Context, l letter) (asr.Job, error) {
	l.reason = strings.ToValidUTF8(l.reason[:min(len(l.reason), maxReason)], "")
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
			s.purge(ctx, s.dead, subjectDead+r.ID) // it ended otherwise while its letter was stored
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
			if _, lost := s.dead.GetLastMsgForSubject(ctx, subjectDead+r.ID); isGone(lost) {
				_, lost := s.putLetter(ctx, r.ID, l)
				return r, errors.Join(err, lost)
			}
		}
		return r, err
	} else if l.attempt != 0 {
		if err := r.mine(l.attempt); err != nil {
			return r, err
		}
	}
	if l.attempt == 0 && r.Reason != "" && !r.State.Final() {
		l.reason += ", before that: " + r.Reason // why it was put off
	}
	object, err := s.putLetter(ctx, r.ID, l)
	if err != nil {
		return nil, err
	}
	if p.again == r.revision && r.State.Final() {
		r.beginAgain(p.record.Object)
	}
	if object != "" {
		r.Object = object
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

// putLetter stores a dead letter in the place of another of its job. Where a publisher of its own made the message so long that there is no
// room for the reason, its sound becomes an object, whose name is returned; one that is not understood is cut.
func (s *Store) putLetter(ctx context.Context, id string, l letter) (object string, err error) {
	msg := &nats.Msg{Subject: subjectDead + id, Data: l.data, Header: nats.Header{}}
	keepHeaders(msg.Header, l.header)
	msg.Header.Set(headerSubject, l.subject)
	msg.Header.Set(headerReason, l.reason)
	if int64(len(l.data)) > s.nc.MaxPayload()-messageRoom {
		m, err := parseMessage(l.data)
		if err == nil && len(m.Audio.Inline) > 0 {
			if m.Audio.Object, err = s.putObject(ctx, id, m.Audio.Inline); err != nil {
				return "", err
			}
			m.Audio.Inline, object = nil, m.Audio.Object.Name
			if msg.Data, err = json.Marshal(m); err != nil {
				return object, fmt.Errorf("%w: %w", asr.ErrInternal, err)
			}
		}
		msg.Data = msg.Data[:min(int64(len(msg.Data)), s.nc.MaxPayload()-messageRoom)]
	}
	if _, err := s.js.PublishMsg(ctx, msg); err != nil {
		return object, brokerError("store the dead letter of "+id, err)
	}
	return object, nil
}
