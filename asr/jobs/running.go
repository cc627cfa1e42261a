package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// What a worker does with a job that it has pulled:
//
//	claim         the job is running, and the worker has an attempt at it, a number that fences: what an earlier attempt writes is refused
//	storedWindows what earlier attempts came to
//	appendWindow  stores a checkpoint, then
//	progress      tells how far it is
//	finishDone, finishFailed, giveBack
//	              end the attempt; the message is acknowledged, terminated or given back after it
//
// Each can be repeated where its answer did not come.

// Errors of an attempt that is over. Its message is to be acknowledged where the error is errEnded or errDuplicate, and left alone where it
// is errSuperseded: it is another's by now.
var (
	errEnded      = errors.New("jobs: the job has ended")
	errDuplicate  = errors.New("jobs: another message of the job is waiting or being done")
	errSuperseded = errors.New("jobs: another worker has begun the job since")
)

// claim begins an attempt at the job of a message: the record, which is made where a publisher of its own made none and is never nil, is running,
// and its Attempts are the number of the attempt. The errors are asr.ErrInvalid where the message is not understood, which is to be passed to
// finishFailed with attempt 0, errEnded, errDuplicate, and asr.ErrBusy and ErrCancelled where it is not known.
func (s *Store) claim(ctx context.Context, m jetstream.Msg, worker string) (*Message, *record, error) {
	l, err := letterOf(m)
	if err != nil {
		return nil, &record{}, err
	}
	if l.delivered > 1 {
		s.o.Metrics.JobRedelivered()
	}
	p, err := l.parse()
	if err != nil {
		return p.message, &p.record, err
	}
	for {
		r, err := s.claimRecord(ctx, p, l.sequence, worker)
		if errors.Is(err, errFaster) || errors.Is(err, errExists) {
			if err := pause(ctx); err != nil {
				return nil, &record{}, err
			}
			continue
		}
		if r == nil {
			return p.message, &p.record, err
		}
		if err == nil {
			s.tell(asr.JobEvent{Job: r.Job})
		}
		return p.message, r, err
	}
}

// claimRecord tries once to make a record that of a running job. The errors are also errFaster and errExists.
func (s *Store) claimRecord(ctx context.Context, p parsed, sequence uint64, worker string) (*record, error) {
	r, err := s.read(ctx, p.record.ID)
	if errors.Is(err, asr.ErrNotFound) {
		r = &p.record
		r.begin(worker, sequence)
		return r, s.create(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if err := s.owns(ctx, r, p, sequence); err != nil {
		if errors.Is(err, errEnded) && r.Sequence == sequence {
			if err := s.settle(ctx, r); err != nil { // whoever ended it may have been lost in between
				return r, err
			}
		}
		return r, err
	}
	var left remains
	if r.State.Final() {
		if left, err = s.remainsOf(ctx, r); err != nil {
			return r, err
		}
		r.beginAgain(p.record.Object)
	}
	r.begin(worker, sequence)
	if p.record.Object != "" {
		r.Object = p.record.Object
	}
	if err := s.write(ctx, r); err != nil {
		return r, err
	}
	s.forget(ctx, left, r.Object)
	return r, nil
}

// lostBy returns the job of a message that a worker has, and how many workers it has lost by now.
func (s *Store) lostBy(ctx context.Context, m jetstream.Msg) (id string, lost int, err error) {
	l, err := letterOf(m)
	if err != nil {
		return "", 0, err
	}
	p, _ := l.parse()
	r, err := s.read(ctx, p.record.ID)
	if errors.Is(err, asr.ErrNotFound) {
		return p.record.ID, 0, nil
	}
	if err != nil {
		return p.record.ID, 0, err
	}
	if r.State == asr.JobRunning {
		r.Lost++ // that of the attempt that the record is of
	}
	return r.ID, r.Lost, nil
}

// owns reports whether the message with a sequence is the one of a record. Otherwise the error is errEnded or errDuplicate.
func (s *Store) owns(ctx context.Context, r *record, p parsed, sequence uint64) error {
	if r.Client != p.record.Client && r.Sequence != sequence {
		s.log.Warn("a message has the id of another client's job, and is dropped", "job", r.ID, "sequence", sequence)
		return errDuplicate
	}
	if r.State.Final() {
		if p.again != r.revision {
			return errEnded
		}
		return nil
	}
	if r.Sequence == 0 || r.Sequence == sequence {
		return nil
	}
	_, err := s.message(ctx, r.Sequence)
	switch {
	case isGone(err):
		return nil
	case err != nil:
		return brokerError("look for the message of "+r.ID, err)
	default:
		return errDuplicate
	}
}

// begin makes a record that of a job that a worker does.
func (r *record) begin(worker string, sequence uint64) {
	if r.State == asr.JobRunning {
		r.Lost++
	}
	r.State, r.Worker, r.Started, r.Sequence = asr.JobRunning, worker, time.Now().UTC(), sequence
	r.Attempts++
}

// beginAgain makes the record of a failed or cancelled job that of one that waits. Its attempts count on: they fence.
func (r *record) beginAgain(object string) {
	if r.State == asr.JobCancelled {
		r.Done = 0 // its windows are purged
	}
	r.State, r.Reason, r.Worker, r.Started, r.Finished = asr.JobQueued, "", "", time.Time{}, time.Time{}
	r.Object = object
	r.Again++
}

// mine reports whether a record is of a running attempt. The errors are errEnded, errSuperseded, and errFaster where what was read is older
// than the attempt.
func (r *record) mine(attempt int) error {
	switch {
	case r.Attempts < attempt:
		return errFaster
	case r.State.Final():
		return errEnded
	case r.Attempts > attempt || r.State != asr.JobRunning:
		return errSuperseded
	default:
		return nil
	}
}

// progress says how much of the sound has its text, and how much there is, in seconds, and tells those who watch the segments that are new.
// last is the record as the attempt last wrote it. The errors are errEnded, where the state of the job says how, and errSuperseded.
func (s *Store) progress(ctx context.Context, last *record, done, audio float64, segments ...asr.Segment) (*record, error) {
	r, err := s.changeFrom(ctx, last, func(r *record) error {
		r.Done, r.Audio = finite(done, r.Done), finite(audio, r.Audio)
		return r.mine(last.Attempts)
	})
	if err == nil {
		s.tell(asr.JobEvent{Job: r.Job, Segments: segments})
	}
	return r, err
}

// finite returns x where it is a number of seconds.
func finite(x, otherwise float64) float64 {
	if x >= 0 && !math.IsInf(x, 1) {
		return x
	}
	return otherwise
}

// finishDone ends an attempt with a result: it is stored, the record is done, and what follows from that is done. The message is acknowledged
// after it. last is the record as the attempt last wrote it; windows says whether any may be stored. The errors are errEnded, where the state says
// how unless this attempt ended it, and errSuperseded: the result of such an attempt is deleted, or gives way to that of a later one.
func (s *Store) finishDone(ctx context.Context, last *record, result *asr.Result, windows bool) (*record, error) {
	if err := s.storeResult(ctx, last.ID, last.Attempts, result); errors.Is(err, errSuperseded) {
		r, ended := s.attemptOf(ctx, last.ID, last.Attempts)
		return r, cmp.Or(ended, err) // the later attempt may have ended the job
	} else if err != nil {
		return nil, err
	}
	r, err := s.changeFrom(ctx, last, func(r *record) error {
		if err := r.mine(last.Attempts); err != nil {
			return err
		}
		r.State, r.Reason, r.Finished = asr.JobDone, "", time.Now().UTC()
		r.Language, r.Adapter = result.Language, result.Adapter
		r.Audio = finite(result.Duration, r.Audio)
		r.Done = r.Audio
		return nil
	})
	switch {
	case err == nil:
		s.o.Metrics.JobFinished(r.Job)
	case !errors.Is(err, errEnded) || r.State != asr.JobDone || r.Attempts != last.Attempts: // by an earlier call
		if isOver(err) {
			s.dropResult(ctx, last.ID, last.Attempts)
		}
		return r, err
	}
	r.bare, r.untold = !windows, last.untold
	return r, s.settle(ctx, r)
}

// attemptOf returns the record of a job that an attempt runs.
func (s *Store) attemptOf(ctx context.Context, id string, attempt int) (*record, error) {
	for {
		r, err := s.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if err = r.mine(attempt); !errors.Is(err, errFaster) {
			return r, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// finishFailed ends an attempt with a reason, or with attempt 0 a message that could not be claimed: its message is a dead letter, the record
// is failed, and what follows from that is done. The message is terminated after it. The errors are errEnded, where the state says how,
// errSuperseded and errDuplicate.
func (s *Store) finishFailed(ctx context.Context, m jetstream.Msg, attempt int, reason string) (asr.Job, error) {
	l, err := letterOf(m)
	if err != nil {
		return asr.Job{}, err
	}
	l.attempt, l.reason = attempt, reason
	return s.bury(ctx, l)
}

// giveBack says that an attempt goes on later, where the queue gives the message next, and why: the job waits again. The message is given back
// after it. The errors are those of progress.
func (s *Store) giveBack(ctx context.Context, id string, attempt int, reason string) error {
	r, err := s.change(ctx, id, func(r *record) error {
		if r.State == asr.JobQueued && r.Attempts == attempt {
			return errSettled // by an earlier call
		}
		if err := r.mine(attempt); err != nil {
			return err
		}
		r.State, r.Worker, r.Reason = asr.JobQueued, "", reason
		return nil
	})
	if errors.Is(err, errSettled) {
		return nil
	}
	if err == nil {
		s.tell(asr.JobEvent{Job: r.Job})
	}
	return err
}

// pause waits a moment before something is tried again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return brokerError("answer in time", ctx.Err())
	case <-time.After(2 * time.Millisecond):
		return nil
	}
}

// parsed is what a message says: also where it is not understood there is a record of it, with an id.
type parsed struct {
	message *Message
	record  record // queued
	again   uint64 // revision of the record that it begins anew, 0 for none
}

// parse reads a message. The error is asr.ErrInvalid. A message that has no id as it should gets that of its Nats-Msg-Id, or one of the
// message's sequence and time.
func (l *letter) parse() (parsed, error) {
	m, err := parseMessage(l.data)
	p := parsed{message: m}
	p.again, _ = strconv.ParseUint(l.header.Get(headerAgain), 10, 64)
	id, _, _ := strings.Cut(l.header.Get(nats.MsgIdHdr), ":")
	switch {
	case validID(m.JobID):
		id = m.JobID
	case !validID(id):
		id = fmt.Sprintf("message-%d-%x", l.sequence, l.stored.UnixMilli())
	}
	m.JobID = id
	priority, model, subjectErr := ofSubject(l.subject)
	if err == nil {
		err = subjectErr
	}
	p.record = record{Sequence: l.sequence, Job: asr.Job{ID: id, Client: l.header.Get(headerClient), Priority: priority, Model: model,
		State: asr.JobQueued, Created: l.stored.UTC()}}
	if seconds, err := strconv.ParseFloat(l.header.Get(headerAudio), 64); err == nil {
		p.record.Audio = finite(seconds, 0)
	}
	if err != nil {
		return p, err
	}
	if m.Model != "" {
		p.record.Model = m.Model
	}
	p.record.Name, p.record.Params, p.record.Callback, p.record.ReplyTo, p.record.Content = m.Name, m.Params, m.Callback, m.ReplyTo, m.Content
	if o := m.Audio.Object; o != nil && o.Bucket == bucketAudio {
		p.record.Object = o.Name
	}
	return p, nil
}
