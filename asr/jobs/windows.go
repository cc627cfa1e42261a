package jobs

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"glossa/asr"
)

// Headers of messages of ASR_WINDOWS. A checkpoint that is longer than a message is several, one behind the other.
const (
	headerWindow  = "Asr-Window"  // number of the checkpoint, from 0
	headerAttempt = "Asr-Attempt" // of the worker that stored it
	headerPart    = "Asr-Part"    // number of the part, from 1
	headerParts   = "Asr-Parts"   // how many there are
)

// part is what the headers of a message of ASR_WINDOWS say. The zero value is that of none.
type part struct {
	window, attempt, number, of int
	sequence                    uint64
}

func readPart(h nats.Header, sequence uint64) part {
	p := part{sequence: sequence}
	for name, to := range map[string]*int{headerWindow: &p.window, headerAttempt: &p.attempt, headerPart: &p.number, headerParts: &p.of} {
		*to, _ = strconv.Atoi(h.Get(name))
	}
	return p
}

func (p part) header() nats.Header {
	h := nats.Header{}
	for name, of := range map[string]int{headerWindow: p.window, headerAttempt: p.attempt, headerPart: p.number, headerParts: p.of} {
		h.Set(name, strconv.Itoa(of))
	}
	return h
}

// appendWindow stores the checkpoint of window n, counted from 0, behind those that are there. It can be called again where it is not known
// whether it did. The error is errSuperseded where another attempt has stored that window, or the windows are not those before it: they are
// purged when a job ends.
func (s *Store) appendWindow(ctx context.Context, id string, attempt, n int, c asr.Checkpoint) error {
	b, err := encodeCheckpoint(c)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		last, err := s.lastPart(ctx, id)
		if err != nil {
			return err
		}
		if last.attempt == attempt && last.window == n && last.number == last.of && last.of > 0 {
			return nil // by an earlier call
		}
		if !last.precedes(attempt, n) {
			return errSuperseded
		}
		err = s.appendParts(ctx, id, part{window: n, attempt: attempt, sequence: last.sequence}, b)
		switch {
		case err == nil:
			return nil
		case !isWrongSequence(err):
			return brokerError("store a window of "+id, err)
		case try == 20:
			return brokerError("store a window of "+id, err)
		}
		if err := pause(ctx); err != nil { // another was faster to store one, and is looked at
			return err
		}
	}
}

// precedes reports whether window n of an attempt can be stored behind a part, or in place of one that was broken off.
func (p part) precedes(attempt, n int) bool {
	switch {
	case p.sequence == 0:
		return n == 0
	case p.attempt > attempt:
		return false
	case p.number < p.of:
		return p.window == n
	default:
		return p.window == n-1
	}
}

// lastPart returns the newest part of a job's windows.
func (s *Store) lastPart(ctx context.Context, id string) (part, error) {
	raw, err := s.windows.GetLastMsgForSubject(ctx, subjectWindows+id)
	if isGone(err) {
		return part{}, nil
	}
	if err != nil {
		return part{}, brokerError("read the last window of "+id, err)
	}
	return readPart(raw.Header, raw.Sequence), nil
}

// appendParts stores what a checkpoint is encoded as in as many messages as it takes, the first behind sequence p.sequence.
func (s *Store) appendParts(ctx context.Context, id string, p part, b []byte) error {
	most := int(s.nc.MaxPayload() - messageRoom)
	p.of = max((len(b)+most-1)/most, 1)
	for p.number = 1; p.number <= p.of; p.number++ {
		size := min(most, len(b))
		msg := &nats.Msg{Subject: subjectWindows + id, Header: p.header(), Data: b[:size]}
		ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(p.sequence))
		if err != nil {
			return err
		}
		p.sequence, b = ack.Sequence, b[size:]
	}
	return nil
}

// storedWindows returns the checkpoints of a job, in the order in which they were stored.
func (s *Store) storedWindows(ctx context.Context, id string) ([]asr.Checkpoint, error) {
	r := windowReader{s: s, id: id}
	return r.next(ctx)
}

// windowReader reads the checkpoints of a job.
type windowReader struct {
	s        *Store
	id       string
	sequence uint64 // of the last part that was read
	last     part
	body     []byte // of the parts of a checkpoint that has no end yet
}

// next returns the checkpoints that have been stored since.
func (r *windowReader) next(ctx context.Context) ([]asr.Checkpoint, error) {
	var all []asr.Checkpoint
	for {
		raw, err := r.s.windows.GetMsg(ctx, r.sequence+1, jetstream.WithGetMsgSubject(subjectWindows+r.id))
		if isGone(err) {
			return all, nil
		}
		if err != nil {
			return nil, brokerError("read the windows of "+r.id, err)
		}
		c, whole, err := r.take(readPart(raw.Header, raw.Sequence), raw.Data)
		if err != nil {
			return nil, err
		}
		r.sequence = raw.Sequence
		if whole {
			all = append(all, c)
		}
	}
}

// take adds a part, and returns the checkpoint that it ends. A first part begins one, in place of another that was broken off.
func (r *windowReader) take(p part, data []byte) (c asr.Checkpoint, whole bool, err error) {
	if p.number == 1 {
		r.body = nil
	} else if p.window != r.last.window || p.attempt != r.last.attempt || p.number != r.last.number+1 || p.of != r.last.of {
		return c, false, fmt.Errorf("%w: part %d of window %d of job %s does not follow", asr.ErrInternal, p.number, p.window, r.id)
	}
	r.last, r.body = p, append(r.body, data...)
	if p.number != p.of {
		return c, false, nil
	}
	c, err = decodeCheckpoint(r.body)
	r.body = nil
	return c, err == nil, err
}
