package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// record is what bucket asr_jobs keeps of a job.
type record struct {
	asr.Job
	Object   string `json:"object,omitempty"`   // its sound in asr_audio, to be deleted with its end
	Sequence uint64 `json:"sequence,omitempty"` // of its message in ASR_JOBS, 0 where it is not known
	ReplyTo  string `json:"reply_to,omitempty"`
	Content  string `json:"content,omitempty"` // of its message
	Again    int    `json:"again,omitempty"`   // how often it was begun anew after it had failed or was cancelled
	Lost     int    `json:"lost,omitempty"`    // workers that began it and were not heard of again
	Spared   int    `json:"spared,omitempty"`  // how often it was queued once more though its message had all its deliveries

	revision uint64
	bare     bool          // no window of it has been stored
	untold   []asr.Segment // which progress has not told, and the end has to
}

// errExists says that a job has a record already.
var errExists = errors.New("jobs: the job exists")

// create writes the first record of a job. The error is errExists where there is one.
func (s *Store) create(ctx context.Context, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %w", asr.ErrInternal, err)
	}
	var options []jetstream.KVCreateOpt
	if r.State.Final() {
		options = append(options, jetstream.KeyTTL(s.kept))
	}
	revision, err := s.records.Create(ctx, r.ID, b, options...)
	if errors.Is(err, jetstream.ErrKeyExists) || isWrongSequence(err) {
		return errExists
	}
	if err != nil {
		return brokerError("create the record of "+r.ID, err)
	}
	r.revision = revision
	s.index.put(r, time.Now())
	return nil
}

// read returns the record of a job. The error is asr.ErrNotFound where there is none.
func (s *Store) read(ctx context.Context, id string) (*record, error) {
	if !validID(id) {
		return nil, notFound(id)
	}
	e, err := s.records.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyDeleted) {
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

// changeFrom is change of a record as it was last read or written, which is read where it is another by now.
func (s *Store) changeFrom(ctx context.Context, last *record, to func(*record) error) (*record, error) {
	r := *last
	err := to(&r)
	if err == nil {
		err = s.write(ctx, &r)
	}
	if errors.Is(err, errFaster) {
		return s.change(ctx, last.ID, to)
	}
	return &r, err
}

// change reads the record of a job, has it changed and writes it, again and again while others are faster. Where to returns an error,
// nothing is written, and that is the error, but for errFaster, which says that a newer record is awaited.
func (s *Store) change(ctx context.Context, id string, to func(*record) error) (*record, error) {
	for {
		r, err := s.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if err = to(r); err == nil {
			err = s.write(ctx, r)
		}
		if !errors.Is(err, errFaster) {
			return r, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// errFaster says that a record has changed since it was read.
var errFaster = errors.New("jobs: another was faster")

// write writes a record over the revision that it was read at: otherwise the error is errFaster. That of a final job expires by itself.
func (s *Store) write(ctx context.Context, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("%w: %w", asr.ErrInternal, err)
	}
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(r.revision)}
	if r.State.Final() {
		options = append(options, jetstream.WithMsgTTL(s.kept))
	}
	// As KeyValue.Update does, which takes no time to live.
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + bucketJobs + "." + r.ID, Data: b}, options...)
	if isWrongSequence(err) {
		return errFaster
	}
	if err != nil {
		return brokerError("write the record of "+r.ID, err)
	}
	r.revision = ack.Sequence
	s.index.put(r, time.Now())
	return nil
}

func notFound(id string) error { return fmt.Errorf("%w: job %q", asr.ErrNotFound, id) }

// brokerError returns the error of what the broker could not do: asr.ErrBusy, for it can be tried again.
func brokerError(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", asr.ErrCancelled, err)
	}
	return fmt.Errorf("%w: the broker did not %s: %w", asr.ErrBusy, what, err)
}
