package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// record is what bucket asr_jobs keeps of a job.
type record struct {
	asr.Job
	Object   string `json:"object,omitempty"`   // its sound in asr_audio, to be deleted with its end
	Sequence uint64 `json:"sequence,omitempty"` // of its message in ASR_JOBS, 0 where it is not known
	ReplyTo  string `json:"reply_to,omitempty"`

	revision uint64
}

// errExists says that a job has a record already.
var errExists = errors.New("jobs: the job exists")

// create writes the first record of a job. The error is errExists where there is one.
func (s *Store) create(ctx context.Context, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %w", asr.ErrInternal, err)
	}
	revision, err := s.records.Create(ctx, r.ID, b)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return errExists
	}
	if err != nil {
		return brokerError("create the record of "+r.ID, err)
	}
	r.revision = revision
	return nil
}

// read returns the record of a job. The error is asr.ErrNotFound where there is none.
func (s *Store) read(ctx context.Context, id string) (*record, error) {
	if !validID(id) {
		return nil, notFound(id)
	}
	e, err := s.records.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, brokerError("read the record of "+id, err)
	}
	r := &record{revision: e.Revision()}
	if err := json.Unmarshal(e.Value(), r); err != nil {
		return nil, fmt.Errorf("%w: the record of job %s: %w", asr.ErrInternal, id, err)
	}
	return r, nil
}

// change reads the record of a job, has it changed and writes it, again and again while others are faster. Where to returns an error,
// nothing is written, and that is the error.
func (s *Store) change(ctx context.Context, id string, to func(*record) error) (*record, error) {
	for {
		r, err := s.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := to(r); err != nil {
			return r, err
		}
		b, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", asr.ErrInternal, err)
		}
		r.revision, err = s.records.Update(ctx, id, b, r.revision)
		if err == nil {
			return r, nil
		}
		if !isWrongSequence(err) {
			return nil, brokerError("write the record of "+id, err)
		}
	}
}

func notFound(id string) error { return fmt.Errorf("%w: job %q", asr.ErrNotFound, id) }

// brokerError returns the error of what the broker could not do: asr.ErrBusy, for it can be tried again.
func brokerError(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", asr.ErrCancelled, err)
	}
	return fmt.Errorf("%w: the broker did not %s: %w", asr.ErrBusy, what, err)
}
