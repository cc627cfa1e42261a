package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

const maxResult = 900 << 10 // bytes of a result in asr_results; longer ones are an object

// storedResult is what bucket asr_results keeps of a job.
type storedResult struct {
	Attempt int         `json:"attempt"` // that it is from
	Result  *wireResult `json:"result,omitempty"`
	Object  string      `json:"object,omitempty"` // of the result, in the object store of that name, where it is long
}

// Result returns the result of a job that is done. The error is asr.ErrInvalid where it is not, and tells its state.
func (s *Store) Result(ctx context.Context, client, id string) (*asr.Result, error) {
	r, err := s.readOf(ctx, client, id)
	if err != nil {
		return nil, err
	}
	switch r.State {
	case asr.JobDone:
		return s.loadResult(ctx, id)
	case asr.JobFailed:
		return nil, fmt.Errorf("%w: job %s has failed: %s", asr.ErrInvalid, id, r.Reason)
	default:
		return nil, fmt.Errorf("%w: job %s is %s and has no result", asr.ErrInvalid, id, r.State)
	}
}

func (s *Store) loadResult(ctx context.Context, id string) (*asr.Result, error) {
	e, err := s.results.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("%w: the result of job %q is not kept any more", asr.ErrNotFound, id)
	}
	if err != nil {
		return nil, brokerError("read the result of "+id, err)
	}
	var stored storedResult
	if err := json.Unmarshal(e.Value(), &stored); err != nil {
		return nil, fmt.Errorf("%w: the result of job %s: %w", asr.ErrInternal, id, err)
	}
	if stored.Result != nil {
		return stored.Result.result(), nil
	}
	b, err := s.long.GetBytes(ctx, stored.Object)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("%w: the result of job %q is not kept any more", asr.ErrNotFound, id)
	}
	if err != nil {
		return nil, brokerError("read the result of "+id, err)
	}
	var w wireResult
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("%w: the result of job %s: %w", asr.ErrInternal, id, err)
	}
	return w.result(), nil
}

// storeResult stores the result of an attempt at a job, unless it is there. That of an earlier attempt, which came to no end, gives way; where
// there is one of a later, the error is errSuperseded.
func (s *Store) storeResult(ctx context.Context, id string, attempt int, result *asr.Result) error {
	wire := toWireResult(result)
	stored := storedResult{Attempt: attempt, Result: &wire}
	b, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("%w: the result of job %s: %w", asr.ErrInternal, id, err)
	}
	if int64(len(b)) > min(maxResult, s.nc.MaxPayload()-messageRoom) {
		stored.Result, stored.Object = nil, id+"."+strconv.Itoa(attempt)
		long, err := json.Marshal(wire)
		if err == nil {
			_, err = s.long.PutBytes(ctx, stored.Object, long)
		}
		if err == nil {
			b, err = json.Marshal(stored)
		}
		if err != nil {
			return brokerError("store the result of "+id, err)
		}
	}
	for {
		_, err := s.results.Create(ctx, id, b)
		if err == nil {
			return nil
		}
		if !isWrongSequence(err) {
			return brokerError("store the result of "+id, err)
		}
		if done, err := s.replaceResult(ctx, id, attempt, b); done || err != nil {
			return err
		}
	}
}

// replaceResult stores a result over that of an earlier attempt. !done: try again.
func (s *Store) replaceResult(ctx context.Context, id string, attempt int, b []byte) (done bool, err error) {
	e, err := s.results.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, ctx.Err()
	}
	if err != nil {
		return false, brokerError("read the result of "+id, err)
	}
	var there storedResult
	if err := json.Unmarshal(e.Value(), &there); err != nil {
		return false, fmt.Errorf("%w: the result of job %s: %w", asr.ErrInternal, id, err)
	}
	switch {
	case there.Attempt == attempt:
		return true, nil
	case there.Attempt > attempt:
		return false, errSuperseded
	}
	_, err = s.results.Update(ctx, id, b, e.Revision())
	if isWrongSequence(err) {
		return false, ctx.Err()
	}
	if err != nil {
		return false, brokerError("store the result of "+id, err)
	}
	return true, nil
}

// dropResult deletes the result of an attempt that did not end its job, or of one before it, if it is there. What stays where that fails, expires: no client sees it.
func (s *Store) dropResult(ctx context.Context, id string, attempt int) {
	e, err := s.results.Get(ctx, id)
	var there storedResult
	if err == nil {
		err = json.Unmarshal(e.Value(), &there)
	}
	if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && there.Attempt > attempt {
		return
	}
	if err == nil {
		err = s.results.Delete(ctx, id, jetstream.LastRevision(e.Revision()))
	}
	if err == nil && there.Object != "" {
		err = s.long.Delete(ctx, there.Object)
	}
	if err != nil && !isWrongSequence(err) {
		s.log.Warn("the result of an attempt that is over was not deleted", "job", id, "error", err)
	}
}
