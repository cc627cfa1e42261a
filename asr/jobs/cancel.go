package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"glossa/asr"
)

// errSettled ends a change that there is no need for.
var errSettled = errors.New("jobs: nothing is to be done")

// Cancel ends a job that is not final, and returns it; one that is cancelled stays so. The error is asr.ErrInvalid where it is done or failed.
func (s *Store) Cancel(ctx context.Context, client, id string) (asr.Job, error) {
	if _, err := s.readOf(ctx, client, id); err != nil {
		return asr.Job{}, err
	}
	r, err := s.change(ctx, id, func(r *record) error {
		switch {
		case r.State == asr.JobCancelled:
			return errSettled
		case r.State == asr.JobDone:
			return fmt.Errorf("%w: job %s is done", asr.ErrInvalid, id)
		case r.State == asr.JobFailed:
			return fmt.Errorf("%w: job %s has failed: there is nothing to cancel", asr.ErrInvalid, id)
		}
		r.State, r.Finished = asr.JobCancelled, time.Now().UTC()
		return nil
	})
	switch {
	case err == nil:
		s.o.Metrics.JobFinished(r.Job)
	case !errors.Is(err, errSettled):
		return asr.Job{}, err
	default:
		if _, err := s.message(ctx, r.Sequence); r.Sequence == 0 || isGone(err) {
			return r.Job, nil // whoever cancelled it came to the end
		}
	}
	if err := s.nc.Publish(subjectCancel+id, nil); err != nil {
		s.log.Warn("a worker was not told that its job is cancelled", "job", id, "error", err)
	}
	if err := s.settle(ctx, r); err != nil {
		return asr.Job{}, err
	}
	return r.Job, s.deleteMessage(ctx, r.Sequence)
}
