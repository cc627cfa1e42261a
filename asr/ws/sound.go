package ws

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"glossa/asr"
	"glossa/audio"
)

// maxWrite is how many samples a session is given at a time.
const maxWrite = audio.SampleRate / 2

// errEnding: the session takes no more sound, because it ends.
var errEnding = errors.New("ws: the session is ending")

// decoder is what an [audio.Stream] does.
type decoder interface {
	Write(piece []byte) error
	Close() error
	Stop()
	Duration() time.Duration
}

// sound is the way of a session's sound from messages to samples. What it has taken, it has given to the session, or to
// a codec that waits for more. One goroutine writes.
type sound struct {
	session Session
	decoder decoder
	overrun time.Duration
	ending  context.Context // ends where sound is waited for no more
	giveUp  context.CancelFunc
	closed  bool

	mu        sync.Mutex
	received  int64         // bytes of messages taken
	lasts     time.Duration // of the source, taken
	samples   int64         // given to the session
	finalized int64         // samples before the last finalize, -1: there was none
}

// newSound returns the way of sound of a coding, see Config.Encoding; "" tells the container by its first bytes.
func newSound(encoding string, rate, channels int, limit, overrun time.Duration) (*sound, error) {
	s := &sound{overrun: overrun, finalized: -1}
	s.ending, s.giveUp = context.WithCancel(context.Background())
	switch {
	case audio.RawWidth(encoding) > 0:
		raw, err := audio.NewRawStream(encoding, rate, channels, limit, s.emit)
		if err != nil {
			return nil, err
		}
		s.decoder = &wholeMilliseconds{decoder: raw, rate: int64(rate), width: int64(audio.RawWidth(encoding) * channels)}
	case encoding == opusOrOgg:
		s.decoder = &sniffing{begin: func(first []byte) (decoder, error) {
			if bytes.HasPrefix(first, []byte("OggS")) {
				return audio.NewFileStream(limit, s.emit), nil
			}
			return audio.NewOpusStream(min(channels, 2), limit, s.emit)
		}}
	case encoding == "opus":
		packets, err := audio.NewOpusStream(channels, limit, s.emit)
		if err != nil {
			return nil, err
		}
		s.decoder = packets
	default:
		s.decoder = audio.NewFileStream(limit, s.emit)
	}
	return s, nil
}

// anyCut lets messages of raw sound end within a sample frame, which the next one goes on with.
func (s *sound) anyCut() {
	if w, ok := s.decoder.(*wholeMilliseconds); ok {
		w.anyCut = true
	}
}

// write takes a message of sound. It waits where the session has no room; a message is taken whole, or the session is
// at its end.
func (s *sound) write(message []byte) error {
	err := s.decoder.Write(message)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasts = s.decoder.Duration()
	if err == nil {
		s.received += int64(len(message))
	}
	return err
}

// taken tells how much sound has come: bytes of messages, and how long it lasts.
func (s *sound) taken() (bytes int64, lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received, s.lasts
}

// position tells where the sound of a resumed session goes on: what is before it, is not needed again.
func (s *sound) position() (bytes int64, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.decoder.(*wholeMilliseconds); ok && !s.closed {
		return w.passed.Load() * w.width, time.Duration(w.last.Load()) * time.Millisecond
	}
	return s.received, s.lasts
}

// given returns the seconds of sound that the session was given.
func (s *sound) given() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(s.samples) / audio.SampleRate
}

// finalize ends the segment where the sound ends so far. Without sound since the last time it does nothing, and !ended: nobody can pile
// up ends of segments that wait for those before them to be heard.
func (s *sound) finalize() (ended bool, err error) {
	s.mu.Lock()
	again := s.finalized == s.samples
	s.finalized = s.samples
	s.mu.Unlock()
	if again {
		return false, nil
	}
	return true, s.session.Finalize()
}

// close ends the sound. The last samples are given to the session, which is told.
func (s *sound) close() error {
	if s.closed {
		return nil
	}
	err := s.decoder.Close()
	s.mu.Lock()
	s.closed = true
	s.lasts = s.decoder.Duration()
	s.mu.Unlock()
	if err != nil && !errors.Is(err, errEnding) {
		return errors.Join(err, s.session.CloseWrite())
	}
	return s.session.CloseWrite()
}

// stop frees what the way has.
func (s *sound) stop() {
	s.giveUp()
	s.decoder.Stop()
}

// emit gives samples to the session, and waits for room for them.
func (s *sound) emit(pcm []float32) error {
	for len(pcm) > 0 {
		n := min(len(pcm), maxWrite)
		err := s.session.Write(pcm[:n])
		if errors.Is(err, asr.ErrBusy) {
			if err := s.wait(n); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		pcm = pcm[n:]
		s.mu.Lock()
		s.samples += int64(n)
		s.mu.Unlock()
	}
	return nil
}

// wait waits for room for samples, but not for ever.
func (s *sound) wait(samples int) error {
	ctx, cancel := context.WithTimeout(s.ending, s.overrun)
	defer cancel()
	err := s.session.Wait(ctx, samples)
	switch {
	case err == nil:
		return nil
	case s.ending.Err() != nil:
		return errEnding
	case ctx.Err() != nil:
		return &failure{code: CodeOverrun, message: "sound comes faster than it can be heard", close: websocket.ClosePolicyViolation, err: err}
	}
	return err
}
