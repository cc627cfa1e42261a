package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

const (
	sweepAgain = time.Minute // between two sweeps
	soundAgain = time.Hour   // between two sweeps of sound; also how old it is before
)

// sweeper looks for what is left where processes were lost between two steps. It acts on what it sees twice, for others may be at it.
type sweeper struct {
	s       *Store
	stuck   map[uint64]bool // messages that the last sweep saw
	missing map[uint64]bool // likewise, that it did not see
	sound   time.Time       // of the last sweep of it
}

// sweep sweeps once.
func (w *sweeper) sweep(ctx context.Context) error {
	err := errors.Join(w.sweepStuck(ctx), w.sweepMissing(ctx))
	if time.Since(w.sound) > soundAgain {
		w.sound = time.Now()
		err = errors.Join(err, w.sweepSound(ctx, w.sound.Add(-soundAgain)))
	}
	return err
}

// sweepStuck buries messages that no consumer will deliver any more though their advisory is lost, with a broker that was killed. They can be
// told where nothing that their consumer has delivered waits to be acknowledged: it has delivered them, and is done with them.
func (w *sweeper) sweepStuck(ctx context.Context) error {
	stuck := make(map[uint64]bool)
	consumers := w.s.jobs.ListConsumers(ctx)
	all := make(map[string]*jetstream.ConsumerInfo)
	for info := range consumers.Info() {
		all[info.Name] = info
	}
	if err := consumers.Err(); err != nil {
		return brokerError("look for stuck messages", err)
	}
	var failed []error // one that cannot be buried stops no other
	for _, info := range all {
		if info.NumAckPending > 0 {
			continue
		}
		for next := uint64(1); next <= info.Delivered.Stream; {
			raw, err := w.s.jobs.GetMsg(ctx, next, jetstream.WithGetMsgSubject(info.Config.FilterSubject))
			if isGone(err) {
				break
			}
			if err != nil {
				return brokerError("look for stuck messages", err)
			}
			if raw.Sequence > info.Delivered.Stream {
				break
			}
			stuck[raw.Sequence] = true
			if w.stuck[raw.Sequence] {
				failed = append(failed, w.s.giveUp(ctx, raw))
			}
			next = raw.Sequence + 1
		}
	}
	w.stuck = stuck
	return errors.Join(failed...)
}

// sweepMissing fails jobs whose messages are gone though they have not ended. It looks for them where there are fewer messages than such jobs.
func (w *sweeper) sweepMissing(ctx context.Context) error {
	if err := w.s.index.ready(ctx); err != nil {
		return err
	}
	info, err := w.s.jobs.Info(ctx)
	if err != nil {
		return brokerError("count the jobs", err)
	}
	missing := make(map[uint64]bool)
	var failed []error
	waiting := w.s.index.find(nil, 1<<30, func(e *entry) bool { return !e.state.Final() && e.sequence > 0 })
	if uint64(len(waiting)) > info.State.Msgs {
		for _, e := range waiting {
			if _, err := w.s.message(ctx, e.sequence); err != nil && !isGone(err) {
				return brokerError("look for missing messages", err)
			} else if err == nil {
				continue
			}
			missing[e.sequence] = true
			if w.missing[e.sequence] {
				failed = append(failed, w.s.fail(ctx, e.id, e.sequence, "its message is gone from the queue"))
			}
		}
	}
	w.missing = missing
	return errors.Join(failed...)
}

// sweepSound deletes sound that is older than a time and no job's: of jobs that have ended, but for failed ones, and of submissions that came
// to nothing. What belongs to no record is kept as long as jobs are: its message may wait for its worker.
func (w *sweeper) sweepSound(ctx context.Context, before time.Time) error {
	chunks, err := w.s.sound.Info(ctx, jetstream.WithSubjectFilter(subjectOfChunks+">"))
	if err != nil {
		return brokerError("look for sound", err)
	}
	objects, err := w.s.audio.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return brokerError("list the sound of jobs", err)
	}
	for _, o := range objects {
		delete(chunks.State.Subjects, subjectOfChunks+o.NUID)
		if o.ModTime.After(before) {
			continue
		}
		needed, err := w.s.needsSound(ctx, o.Name, o.ModTime)
		if err != nil {
			return err
		}
		if !needed {
			w.s.deleteSound(o.Name)
		}
	}
	for subject := range chunks.State.Subjects { // of uploads that were broken off
		raw, err := w.s.sound.GetLastMsgForSubject(ctx, subject)
		if err == nil && raw.Time.Before(before) {
			w.s.purge(ctx, w.s.sound, subject)
		}
	}
	return nil
}

// needsSound reports whether a job may need an object.
func (s *Store) needsSound(ctx context.Context, object string, stored time.Time) (bool, error) {
	id, _, _ := strings.Cut(object, ".")
	r, err := s.read(ctx, id)
	switch {
	case errors.Is(err, asr.ErrNotFound):
		return time.Since(stored) < s.kept, nil
	case errors.Is(err, asr.ErrInternal): // the record is not understood
		return true, nil
	case err != nil:
		return false, fmt.Errorf("jobs: sound of %s: %w", id, err)
	default:
		return r.Object == object && r.State != asr.JobDone && r.State != asr.JobCancelled, nil
	}
}
