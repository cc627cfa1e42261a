package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Run does what a broker needs somebody to do, on one or many machines: messages that JetStream gives up become dead letters, and what lost
// processes left behind is swept away. It returns nil when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	wait.Go(func() {
		for ctx.Err() == nil {
			if err := s.takeAdvisories(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("dead letters cannot be looked for", "error", err)
				sleep(ctx, time.Second)
			}
		}
	})
	wait.Go(func() {
		w := sweeper{s: s}
		for sleep(ctx, sweepAgain) {
			if err := w.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("what is left behind was not swept away", "error", err)
			}
		}
	})
	wait.Wait()
	return nil
}

// sleep waits. !ok: ctx has ended.
func sleep(ctx context.Context, d time.Duration) (ok bool) {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// advisory is what JetStream says of a message: io.nats.jetstream.advisory.v1.max_deliver and .terminated.
type advisory struct {
	StreamSeq  uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
	Reason     string `json:"reason"` // where it was terminated
}

// takeAdvisories takes advisories as long as that goes well, from a consumer that all machines share.
func (s *Store) takeAdvisories(ctx context.Context) error {
	c, err := s.advisory.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "dead", AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.ackWait})
	if err != nil {
		return err
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(16))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue // the broker is away for a while
		}
		if err != nil {
			return err
		}
		s.takeAdvisory(ctx, m)
	}
}

// takeAdvisory does what an advisory asks for, and acknowledges it after it.
func (s *Store) takeAdvisory(ctx context.Context, m jetstream.Msg) {
	var a advisory
	err := json.Unmarshal(m.Data(), &a)
	if err != nil {
		s.log.Error("an advisory is not understood", "subject", m.Subject(), "error", err)
		err = m.Term()
	} else if err = s.heed(ctx, a, strings.HasPrefix(m.Subject(), subjectTerminated)); err == nil {
		err = m.DoubleAck(ctx)
	} else if nak := m.NakWithDelay(time.Second); nak != nil {
		err = errors.Join(err, nak)
	}
	if err != nil && ctx.Err() == nil {
		s.log.Warn("a dead letter has to be looked at again", "sequence", a.StreamSeq, "error", err)
	}
}

// heed makes the message of an advisory a dead letter, if it still is there, and deletes it.
func (s *Store) heed(ctx context.Context, a advisory, terminated bool) error {
	raw, err := s.message(ctx, a.StreamSeq)
	if isGone(err) {
		if terminated {
			return s.failWithout(ctx, a.StreamSeq, terminatedReason(a))
		}
		return nil // somebody came to the end of it
	}
	if err != nil {
		return brokerError(fmt.Sprintf("read message %d", a.StreamSeq), err)
	}
	if terminated {
		return s.buryMessage(ctx, raw, terminatedReason(a))
	}
	return s.giveUp(ctx, raw)
}

// giveUp makes a message that is not delivered any more a dead letter, unless its job is spared.
func (s *Store) giveUp(ctx context.Context, raw *jetstream.RawStreamMsg) error {
	if spared, err := s.spare(ctx, raw); spared || err != nil {
		return err
	}
	return s.buryMessage(ctx, raw, lostReason())
}

// spare queues a job once more that has lost fewer workers than its message has had deliveries: it only waited where other jobs had
// their workers die. It can be repeated at any step and comes to the same. Until the new message is there, the record names none.
func (s *Store) spare(ctx context.Context, raw *jetstream.RawStreamMsg) (spared bool, err error) {
	l := letter{subject: raw.Subject, header: raw.Header, data: raw.Data, sequence: raw.Sequence, stored: raw.Time}
	p, err := l.parse()
	if err != nil {
		return false, nil
	}
	r, err := s.read(ctx, p.record.ID)
	if errors.Is(err, asr.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if r.State == asr.JobRunning {
		r.Lost++
	}
	if r.State.Final() || r.Lost >= maxDeliver || r.Spared >= maxDeliver || r.Sequence != 0 && r.Sequence != raw.Sequence {
		return false, nil
	}
	if r.Sequence != 0 {
		r.State, r.Worker, r.Sequence = asr.JobQueued, "", 0
		r.Spared++
		if err := s.write(ctx, r); err != nil {
			return false, err
		}
	}
	msg := &nats.Msg{Subject: raw.Subject, Data: raw.Data, Header: nats.Header{}}
	keepHeaders(msg.Header, raw.Header)
	msg.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s:spared:%d.%d", r.ID, r.Again, r.Spared))
	ack, err := s.js.PublishMsg(ctx, msg)
	if err != nil {
		return false, s.publishError(err)
	}
	_, err = s.changeFrom(ctx, r, func(r *record) error {
		if r.State != asr.JobQueued || r.Sequence != 0 {
			return errSettled // it has begun
		}
		r.Sequence = ack.Sequence
		return nil
	})
	if err != nil && !errors.Is(err, errSettled) {
		return false, err
	}
	s.log.Info("a job that has lost few workers is queued once more", "job", r.ID, "lost", r.Lost)
	return true, s.deleteMessage(ctx, raw.Sequence)
}

// buryMessage makes a message a dead letter, unless its job has ended otherwise, and deletes it.
func (s *Store) buryMessage(ctx context.Context, raw *jetstream.RawStreamMsg, reason string) error {
	_, err := s.bury(ctx, letter{subject: raw.Subject, header: raw.Header, data: raw.Data, sequence: raw.Sequence, stored: raw.Time, reason: reason})
	if err != nil && !errors.Is(err, errEnded) && !errors.Is(err, errDuplicate) {
		return err
	}
	return s.deleteMessage(ctx, raw.Sequence)
}

func lostReason() string {
	return fmt.Sprintf("its worker was lost, or gave it back, %d times", maxDeliver)
}

func terminatedReason(a advisory) string {
	if a.Reason == "" {
		return "its worker refused it without a reason"
	}
	return a.Reason
}

// failWithout fails the job of a message that was terminated. That is the end of a message on a work queue: the workers of this package store
// the dead letter before, those of others leave none, and there is nothing to retry.
func (s *Store) failWithout(ctx context.Context, sequence uint64, reason string) error {
	if err := s.index.ready(ctx); err != nil {
		return err
	}
	for _, e := range s.index.find(nil, 1, func(e *entry) bool { return e.sequence == sequence && !e.state.Final() }) {
		if err := s.fail(ctx, e.id, sequence, reason); err != nil {
			return err
		}
	}
	return nil
}

// fail fails the job of a message that is gone.
func (s *Store) fail(ctx context.Context, id string, sequence uint64, reason string) error {
	r, err := s.change(ctx, id, func(r *record) error {
		if r.Sequence != sequence || r.State.Final() {
			return errSettled
		}
		r.State, r.Reason, r.Finished = asr.JobFailed, reason, time.Now().UTC()
		return nil
	})
	if errors.Is(err, errSettled) || errors.Is(err, asr.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.o.Metrics.JobDead()
	s.o.Metrics.JobFinished(r.Job)
	return s.settle(ctx, r)
}
