package jobs

import (
	"context"
	"errors"
	"iter"

	"glossa/asr"
)

var errTODO = errors.New("jobs: not there yet")

// Watch yields the present state of a job and then its changes, until it is final or ctx ends, whose error then is the last; segments of
// windows that are stored come first. Who stops to listen in between loses nothing but time: Watch again tells all of them again.
func (s *Store) Watch(ctx context.Context, client, id string) iter.Seq2[asr.JobEvent, error] {
	return nil
}

// Retry queues a failed job again. The error is asr.ErrInvalid where it is not failed.
func (s *Store) Retry(ctx context.Context, client, id string) (asr.Job, error) {
	return asr.Job{}, errTODO
}

// Run does what a broker needs somebody to do, on one or many machines: dead letters get their reasons. It returns when ctx ends.
func (s *Store) Run(ctx context.Context) error { return errTODO }
