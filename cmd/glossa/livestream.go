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

// liveConn is a connection of a live session, as ws.Client is.
type liveConn interface {
	Ready() ws.Ready
	Send(sound []byte) error
	CloseSend() error
	Next() (ws.Event, error)
	Close() error
}

// liveStream streams sound to a server and goes on with its session where the connection breaks: sound is
// kept until the server needs it no more.
type liveStream struct {
	dial   func(ctx context.Context, c ws.Config) (liveConn, error)
	config ws.Config
	format soundFormat
	retry  time.Duration        // for which a broken connection is tried again
	paced  bool                 // sound is there faster than the server hears it
	event  func(ws.Event) error // is told all that the server tells
	warn   func(message string)

	mu      sync.Mutex
	changed chan struct{} // closed when what is below changes
	kept    []byte
	from    int64 // offset of kept in the sound
	ended   bool  // there is no more sound
	failed  error // why
	heard   int64 // milliseconds of which the server has told something
	session string
	seq     int64 // of the last event
}

// errFatal is the error of a session that the server has ended.
var errFatal = errors.New("the server ended the session")

// endPatience is how long text is waited for when there is no more sound because of an interrupt.
const endPatience = 10 * time.Second

// run streams the sound, and returns when the server has told all of it.
func (s *liveStream) run(ctx context.Context, sound liveSound) error {
	s.changed = make(chan struct{})
	var reader sync.WaitGroup
	reading, stop := context.WithCancel(ctx)
	defer reader.Wait()
	defer stop()
	reader.Go(func() { s.read(reading, sound) })
	live, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endPatience, giveUp) })()

	conn, err := s.dial(live, s.config)
	if err != nil {
		return err
	}
	for {
		if err = s.serve(live, conn); err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.failed
		}
		if errors.Is(err, errFatal) || errors.Is(err, errOutput) || live.Err() != nil {
			return err
		}
		s.warn(fmt.Sprintf("the connection broke: %v; connecting again", err))
		if conn, err = s.reconnect(live); err != nil {
			return err
		}
	}
}

// read keeps sound as it comes.
func (s *liveStream) read(ctx context.Context, sound liveSound) {
	for {
		chunk, err := sound(ctx)
		s.change(func() {
			if err == nil || errors.Is(err, io.EOF) {
				s.kept = append(s.kept, chunk...)
			}
			s.ended = err != nil
			if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.failed = err
			}
		})
		if err != nil {
			return
		}
		if s.paced && !s.room(ctx) {
			s.change(func() { s.ended = true })
			return
		}
	}
}

// maxKept is how much sound of a file is read before it is sent.
const maxKept = 30 * time.Second

// room waits until there is room for more sound of a file.
func (s *liveStream) room(ctx context.Context) bool {
	for {
		s.mu.Lock()
		changed := s.changed
		full := s.format.milliseconds(s.from+int64(len(s.kept)))-s.heard > maxKept.Milliseconds()
		s.mu.Unlock()
		if !full {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// change changes what is guarded and tells those who wait.
func (s *liveStream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// serve sends sound to a connection and passes on its events, until it ends. The error is nil where the
// session is done.
func (s *liveStream) serve(ctx context.Context, conn liveConn) error {
	ctx, cancel := context.WithCancel(ctx)
	var sender sync.WaitGroup
	defer sender.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	ready := conn.Ready()
	s.change(func() { s.session = ready.SessionID })
	sender.Go(func() {
		if err := s.send(ctx, conn, ready); err != nil {
			cancel()
		}
	})
	for {
		e, err := conn.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if e.Type == ws.TypeError && e.Fatal {
			return fmt.Errorf("%w: %s", errFatal, e.Message)
		}
		if err := s.take(e); err != nil {
			return err
		}
	}
}

// errOutput is the error of events that could not be passed on.
var errOutput = errors.New("output")

// take notes what an event tells and passes it on, unless it was before.
func (s *liveStream) take(e ws.Event) error {
	again := false
	s.change(func() {
		if again = e.Seq > 0 && e.Seq <= s.seq; again {
			return
		}
		s.seq = max(s.seq, e.Seq)
		s.heard = max(s.heard, e.EndMS, e.AudioMS)
		if e.Type == ws.TypeAck {
			s.forget(e.AudioMS)
		}
	})
	if again {
		return nil
	}
	if err := s.event(e); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// forget drops sound that the server needs no more.
func (s *liveStream) forget(ms int64) {
	drop := min(s.format.offset(ms)-s.from, int64(len(s.kept)))
	if drop > 0 {
		s.kept = append([]byte(nil), s.kept[drop:]...)
		s.from += drop
	}
}

// send sends sound from where the server wants it on, at most what may wait there, and then its end.
func (s *liveStream) send(ctx context.Context, conn liveConn, ready ws.Ready) error {
	next := s.format.offset(ready.AudioOffsetMS)
	begin, first := time.Now(), ready.AudioOffsetMS
	for {
		s.mu.Lock()
		changed, ended := s.changed, s.ended
		there := s.from + int64(len(s.kept))
		// What the server said it heard, or could have heard in real time, waits no more.
		heard := max(s.heard, first+time.Since(begin).Milliseconds())
		var chunk []byte
		if next < s.from {
			s.mu.Unlock()
			return fmt.Errorf("the server wants sound again that it had acknowledged, from %d ms on", ready.AudioOffsetMS)
		}
		if to := min(there, next+int64(s.format.chunkBytes())); !s.paced || s.format.milliseconds(to)-heard < ready.Limits.QueuedMS/2 {
			chunk = append(chunk, s.kept[next-s.from:to-s.from]...)
		}
		s.mu.Unlock()
		switch {
		case len(chunk) > 0:
			if err := conn.Send(chunk); err != nil {
				return err
			}
			next += int64(len(chunk))
		case ended && next == there:
			return conn.CloseSend()
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(soundChunk): // real time goes on
			}
		}
	}
}

// reconnect goes on with the session over another connection.
func (s *liveStream) reconnect(ctx context.Context) (liveConn, error) {
	s.mu.Lock()
	config := s.config
	config.Resume = &ws.Resume{SessionID: s.session, LastSeq: s.seq}
	s.mu.Unlock()
	const least, most = 100 * time.Millisecond, 2 * time.Second
	begin := time.Now()
	for wait := least; ; wait = min(2*wait, most) {
		conn, err := s.dial(ctx, config)
		if err == nil {
			return conn, nil
		}
		if time.Since(begin) > s.retry || !temporary(err) {
			return nil, fmt.Errorf("the session cannot go on: %w", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}
