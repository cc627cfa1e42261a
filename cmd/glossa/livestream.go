package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"glossa/asr/ws"
)

// liveConn is a live session at a server, as ws.Client is.
type liveConn interface {
	Ready() ws.Ready
	Send(sound []byte) error
	CloseSend() error
	Next() (ws.Event, error)
	Close() error
}

// liveStream streams sound to a server and passes on what it tells.
type liveStream struct {
	conn   liveConn
	format soundFormat
	paced  bool                 // sound is there faster than the server hears it
	event  func(ws.Event) error // is told all that the server tells

	mu      sync.Mutex
	heard   int64         // milliseconds of which the server has told something
	changed chan struct{} // closed when heard changes
}

// errOutput is the error of events that could not be passed on.
var errOutput = errors.New("output")

// errCutShort is the error of a session that was done before its sound was.
var errCutShort = errors.New("the server ended the session; what came after that was not heard")

// endPatience is how long text is waited for after an interrupt.
const endPatience = 10 * time.Second

// run streams the sound, and returns when the server has told all of it. Once ctx is done no more is sent, and text of
// what was is waited for.
func (s *liveStream) run(ctx context.Context, sound liveSound) error {
	s.changed = make(chan struct{})
	var sender sync.WaitGroup
	var failed error // of the sound
	sending, stop := context.WithCancelCause(ctx)
	broken := context.AfterFunc(ctx, func() { time.AfterFunc(endPatience, func() { _ = s.conn.Close() }) })
	defer broken()
	sender.Go(func() { failed = s.send(sending, sound) })
	err := s.receive()
	stop(errCutShort)
	if err != nil {
		_ = s.conn.Close() // so that nothing is sent any more
	}
	sender.Wait()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	return failed
}

// receive passes on events until the last.
func (s *liveStream) receive() error {
	for {
		e, err := s.conn.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		s.note(e)
		if err := s.event(e); err != nil {
			return fmt.Errorf("%w: %w", errOutput, err)
		}
	}
}

// note remembers how much was heard.
func (s *liveStream) note(e ws.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if heard := max(e.EndMS, e.AudioMS); heard > s.heard {
		s.heard = heard
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// send sends sound as it comes, and then its end.
func (s *liveStream) send(ctx context.Context, sound liveSound) error {
	begin := time.Now()
	var sent int64
	for {
		chunk, err := sound(ctx)
		if err == nil || errors.Is(err, io.EOF) {
			sent += int64(len(chunk))
			if s.paced && len(chunk) > 0 {
				err = errors.Join(err, s.room(ctx, s.format.milliseconds(sent), begin))
			}
		}
		if len(chunk) > 0 && ctx.Err() == nil {
			if err := s.conn.Send(chunk); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return s.conn.CloseSend()
		case errors.Is(context.Cause(ctx), errCutShort):
			return errCutShort
		default:
			return errors.Join(err, s.conn.CloseSend())
		}
	}
}

// room waits until the server has heard so much of the sound that the part that ends at ms has room in its queue. What it could
// have heard in real time, counts as heard.
func (s *liveStream) room(ctx context.Context, ms int64, begin time.Time) error {
	most := s.conn.Ready().Limits.QueuedMS / 2
	for {
		s.mu.Lock()
		heard, changed := max(s.heard, time.Since(begin).Milliseconds()), s.changed
		s.mu.Unlock()
		if ms-heard <= most {
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-time.After(soundChunk):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
