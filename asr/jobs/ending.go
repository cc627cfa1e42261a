package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// settle does what follows from the final state of a job. All of it can be done again and comes to the same; the message of the job goes
// after it, so that somebody does it again where this process is lost in between.
func (s *Store) settle(ctx context.Context, r *record) error {
	if r.Callback != "" {
		if err := s.queueCallback(ctx, r); err != nil {
			return err
		}
	}
	if r.State != asr.JobFailed { // which may be retried: it goes on at its last window
		if !r.bare {
			s.purge(ctx, s.windows, subjectWindows+r.ID)
		}
		if r.Again > 0 || r.Attempts > 1 { // an earlier attempt may have left one
			s.purge(ctx, s.dead, subjectDead+r.ID)
		}
		if r.Object != "" {
			s.deleteSound(r.Object)
		}
	}
	if r.State != asr.JobDone && r.Attempts > 0 {
		s.dropResult(ctx, r.ID, r.Attempts) // of a worker that was lost before it could end the job
	}
	s.tell(asr.JobEvent{Job: r.Job, Segments: r.untold})
	if r.ReplyTo != "" {
		s.publish(r.ReplyTo, asr.JobEvent{Job: r.Job})
	}
	return nil
}

// remains are what a failed or cancelled job has that is of no use once it is begun anew.
type remains struct {
	id, object string
	letter     uint64 // sequence of its dead letter, 0 for none: one behind it is of an attempt since
}

// remainsOf returns what a job has before its record is changed.
func (s *Store) remainsOf(ctx context.Context, r *record) (remains, error) {
	left := remains{id: r.ID, object: r.Object}
	letter, err := s.dead.GetLastMsgForSubject(ctx, subjectDead+r.ID)
	if err == nil {
		left.letter = letter.Sequence
	} else if !isGone(err) {
		return left, brokerError("read the dead letter of "+r.ID, err)
	}
	return left, nil
}

// forget deletes what a job had before it was begun anew, but for its sound where that is the new one's too.
func (s *Store) forget(ctx context.Context, left remains, object string) {
	if left.letter > 0 {
		s.purge(ctx, s.dead, subjectDead+left.id, jetstream.WithPurgeSequence(left.letter+1))
	}
	if left.object != "" && left.object != object {
		s.deleteSound(left.object)
	}
}

// queueCallback queues the callback of a final job, once for each time that it ends.
func (s *Store) queueCallback(ctx context.Context, r *record) error {
	b, err := encodeEvent(asr.JobEvent{Job: r.Job})
	if err != nil {
		return fmt.Errorf("%w: %w", asr.ErrInternal, err)
	}
	msg := &nats.Msg{Subject: subjectHooks + r.ID, Data: b}
	if _, err := s.js.PublishMsg(ctx, msg, jetstream.WithMsgID(fmt.Sprintf("%s:hook:%d", r.ID, r.revision))); err != nil {
		return brokerError("queue the callback of "+r.ID, err)
	}
	return nil
}

// tell tells those who watch a job.
func (s *Store) tell(e asr.JobEvent) { s.publish(subjectEvents+e.Job.ID, e) }

// publish tells whoever listens, in core NATS: where nobody does, nobody misses it.
func (s *Store) publish(subject string, e asr.JobEvent) {
	b, err := encodeEvent(e)
	if err == nil {
		err = s.nc.Publish(subject, b)
	}
	if errors.Is(err, nats.ErrMaxPayload) { // without the segments, which are stored
		b, err = encodeEvent(asr.JobEvent{Job: e.Job})
		if err == nil {
			err = s.nc.Publish(subject, b)
		}
	}
	if err != nil {
		s.log.Warn("an event of a job was not published", "subject", subject, "error", err)
	}
}

// purge deletes what a stream has on a subject, and tries again where a broker does not answer. What stays where that fails too, expires.
func (s *Store) purge(ctx context.Context, stream jetstream.Stream, subject string, o ...jetstream.StreamPurgeOpt) {
	o = append(o, jetstream.WithPurgeSubject(subject))
	err := stream.Purge(ctx, o...)
	for try := 0; try < 2 && isPassing(err) && ctx.Err() == nil; try++ {
		err = stream.Purge(ctx, o...)
	}
	if err != nil {
		s.log.Warn("a subject was not purged", "subject", subject, "error", err)
	}
}

// deleteMessage deletes a message of ASR_JOBS, if it is there.
func (s *Store) deleteMessage(ctx context.Context, sequence uint64) error {
	if sequence == 0 {
		return nil
	}
	err := s.jobs.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) || isGone(err) {
		_, there := s.message(ctx, sequence)
		if isGone(there) {
			return nil
		}
	}
	if err != nil {
		return brokerError(fmt.Sprintf("delete message %d", sequence), err)
	}
	return nil
}

// message returns a message of ASR_JOBS. Of one that is gone isGone is true of the error.
func (s *Store) message(ctx context.Context, sequence uint64) (*jetstream.RawStreamMsg, error) {
	return s.jobs.GetMsg(ctx, sequence)
}

// isGone reports whether a message is not there any more.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || isCode(err, jetstream.JSErrCodeMessageNotFound)
}
