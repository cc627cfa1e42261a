package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"glossa/audio"
	"glossa/eval"
)

// sounds gives the sound of utterances. A file is decoded once for utterances that follow each other, parts of it or the same under several
// adapters. What it holds is bounded: files that nobody has taken go before others come, and while those that are taken are more than
// maxUnread samples no further file is begun.
type sounds struct {
	seed uint64 // of noise that is made

	mu       sync.Mutex
	files    map[string]*soundFileHeld
	idle     []*soundFileHeld // that nobody has taken, the longest so first
	samples  int              // in files
	released chan struct{}    // closed when one is
	decoders chan struct{}    // a place for each that decodes
}

// soundFileHeld is a decoded file.
type soundFileHeld struct {
	name  string
	ready chan struct{} // closed when it is decoded
	pcm   []float32
	err   error
	users int
}

// maxIdle is the number of files that are kept while nobody has taken them.
const maxIdle = 64

func newSounds(seed uint64) *sounds {
	return &sounds{
		seed: seed, files: make(map[string]*soundFileHeld),
		released: make(chan struct{}), decoders: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
}

// take returns the samples of an utterance, which nobody may change, and what is to be called when they are not needed any more.
func (s *sounds) take(ctx context.Context, u *eval.Utterance) (pcm []float32, release func(), err error) {
	f, err := s.hold(ctx, u.AudioFilepath)
	if err != nil {
		return nil, nil, err
	}
	release = func() { s.release(f) }
	if f.err == nil {
		pcm, err = cutPart(f.pcm, u)
	} else {
		err = f.err
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return pcm, release, nil
}

// cutPart returns the samples of an utterance in its file.
func cutPart(pcm []float32, u *eval.Utterance) ([]float32, error) {
	if !u.Part {
		return pcm, nil
	}
	at := func(seconds float64) int { return int(seconds*audio.SampleRate + 0.5) }
	length := float64(len(pcm)) / audio.SampleRate
	if u.Start >= length {
		return nil, fmt.Errorf("the part begins at %g s, and the file has %.3f s", u.Start, length)
	}
	if end := u.Start + u.Duration; u.Duration > 0 && end < length {
		pcm = pcm[:at(end)]
	}
	return pcm[at(u.Start):], nil
}

// hold returns a file that is decoded, or could not be. It is held until it is released.
func (s *sounds) hold(ctx context.Context, name string) (*soundFileHeld, error) {
	for {
		s.mu.Lock()
		f := s.files[name]
		if f == nil && s.samples > maxUnread {
			s.forget(0)
		}
		if f == nil && s.samples <= maxUnread {
			f = &soundFileHeld{name: name, ready: make(chan struct{}), users: 1}
			s.files[name] = f
			s.mu.Unlock()
			s.decode(ctx, f)
			return s.held(ctx, f)
		}
		if f != nil {
			s.use(f)
			s.mu.Unlock()
			select {
			case <-f.ready:
				return s.held(ctx, f)
			case <-ctx.Done():
				s.release(f)
				return nil, context.Cause(ctx)
			}
		}
		released := s.released
		s.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// held returns a file, unless it could not be decoded for want of time.
func (s *sounds) held(ctx context.Context, f *soundFileHeld) (*soundFileHeld, error) {
	if f.err != nil && ctx.Err() != nil {
		s.release(f)
		return nil, context.Cause(ctx)
	}
	return f, nil
}

// decode decodes a file.
func (s *sounds) decode(ctx context.Context, f *soundFileHeld) {
	s.decoders <- struct{}{}
	if strings.HasPrefix(f.name, noisePrefix) {
		f.pcm, f.err = makeNoise(f.name, s.seed)
	} else {
		f.pcm, f.err = readAudio(ctx, f.name)
	}
	<-s.decoders
	if f.err == nil && len(f.pcm) == 0 {
		f.err = errors.New("it holds no sound")
	}
	s.mu.Lock()
	s.samples += len(f.pcm)
	s.mu.Unlock()
	close(f.ready)
}

// use takes a file, of which the lock is held.
func (s *sounds) use(f *soundFileHeld) {
	f.users++
	if i := slices.Index(s.idle, f); i >= 0 {
		s.idle = slices.Delete(s.idle, i, i+1)
	}
}

// release gives a file back.
func (s *sounds) release(f *soundFileHeld) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	s.idle = append(s.idle, f)
	s.forget(1)
	close(s.released)
	s.released = make(chan struct{})
}

// forget forgets the files that have been idle longest, where there are too many, but for the last so many. The lock is held.
func (s *sounds) forget(keep int) {
	for len(s.idle) > keep && (s.samples > maxUnread || len(s.idle) > maxIdle) {
		old := s.idle[0]
		s.idle = s.idle[1:]
		delete(s.files, old.name)
		s.samples -= len(old.pcm)
	}
}
