package ws

import (
	"bytes"
	"errors"
	"sync"
	"time"

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
	ending  chan struct{} // closed where no more sound is to be waited for
	stop    sync.Once
	closed  bool

	mu       sync.Mutex
	received int64         // bytes of messages taken
	lasts    time.Duration // of the source, taken
	samples  int64         // given to the session
	arrivals arrivals
}

// newSound returns the way of sound of a coding, see Config.Encoding; "" tells the container by its first bytes.
func newSound(encoding string, rate, channels int, limit, overrun time.Duration) (*sound, error) {
	s := &sound{overrun: overrun, ending: make(chan struct{})}
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

// giveUp makes sound that waits for room be dropped, since the session ends.
func (s *sound) giveUp() { s.stop.Do(func() { close(s.ending) }) }

// emit gives samples to the session, which may have to make room for them first.
func (s *sound) emit(pcm []float32) error {
	const shortest, longest = 10 * time.Millisecond, 200 * time.Millisecond
	pause, waited := shortest, time.Duration(0)
	for len(pcm) > 0 {
		n := min(len(pcm), maxWrite)
		if waited == 0 {
			s.mu.Lock()
			s.arrivals.add(s.samples+int64(n), time.Now())
			s.mu.Unlock()
		}
		err := s.session.Write(pcm[:n])
		switch {
		case err == nil:
			pcm = pcm[n:]
			pause, waited = shortest, 0
			s.mu.Lock()
			s.samples += int64(n)
			s.mu.Unlock()
			continue
		case !errors.Is(err, asr.ErrBusy):
			return err
		case waited >= s.overrun:
			return &failure{code: CodeOverrun, message: "sound comes faster than it can be heard", close: 1008, err: err}
		}
		select {
		case <-s.ending:
			return errEnding
		case <-time.After(pause):
		}
		waited += pause
		pause = min(2*pause, longest)
	}
	return nil
}

// latency returns how long ago the sound at a time came, false where that is not known.
func (s *sound) latency(at float64, now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	came, ok := s.arrivals.of(int64(at * audio.SampleRate))
	return now.Sub(came), ok
}

// arrivals remember when sound came, to a tenth of a second of it.
type arrivals struct {
	marks []arrival
	last  arrival
}

type arrival struct {
	samples int64 // that had come
	at      time.Time
}

// maxArrivals bounds the memory: the oldest marks go.
const maxArrivals = 600

func (a *arrivals) add(samples int64, at time.Time) {
	const step = audio.SampleRate / 10
	a.last = arrival{samples, at}
	if n := len(a.marks); n > 0 && samples < a.marks[n-1].samples+step {
		return
	}
	if len(a.marks) >= maxArrivals {
		a.marks = a.marks[:copy(a.marks, a.marks[maxArrivals/2:])]
	}
	a.marks = append(a.marks, arrival{samples, at})
}

// of returns when the sample came, by the first mark that is not before it, and forgets the marks before that. One that
// has not come, as of a word whose end is a guess, is taken for the last.
func (a *arrivals) of(sample int64) (time.Time, bool) {
	for i, m := range a.marks {
		if m.samples >= sample {
			a.marks = a.marks[:copy(a.marks, a.marks[i:])]
			return m.at, true
		}
	}
	return a.last.at, a.last.samples > 0
}
