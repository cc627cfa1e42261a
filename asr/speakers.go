package asr

import (
	"slices"
	"sync"
)

// speakers are the live sessions in which somebody speaks: so many at a time are heard, the others wait for their turn.
type speakers struct {
	mu      sync.Mutex
	all     int
	free    int
	waiting []*speaker
}

// Speaking returns the number of live sessions that are heard because somebody speaks in them. It does not wait.
func (e *Engine) Speaking() int {
	e.speakers.mu.Lock()
	defer e.speakers.mu.Unlock()
	return e.speakers.all - e.speakers.free
}

// speaker is a session's place among the speakers.
type speaker struct {
	of      *speakers
	granted func() // is called when a place is there that was waited for, on another's goroutine
	has     bool   // of of.mu, as waits
	waits   bool
}

func newSpeakers(n int) *speakers { return &speakers{all: n, free: n} }

// acquire reports whether the speaker has a place. If not it waits for one.
func (s *speaker) acquire() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	switch {
	case s.has || s.waits:
	case s.of.free > 0:
		s.of.free--
		s.has = true
	default:
		s.of.waiting, s.waits = append(s.of.waiting, s), true
	}
	return s.has
}

// release gives the place to who has waited longest for one, or ends the waiting.
func (s *speaker) release() {
	s.of.mu.Lock()
	var next *speaker
	switch {
	case s.waits:
		s.waits = false
		s.of.waiting = slices.DeleteFunc(s.of.waiting, func(o *speaker) bool { return o == s })
	case s.has && len(s.of.waiting) > 0:
		s.has = false
		next, s.of.waiting = s.of.waiting[0], s.of.waiting[1:]
		next.has, next.waits = true, false
	case s.has:
		s.has = false
		s.of.free++
	}
	s.of.mu.Unlock()
	if next != nil {
		next.granted()
	}
}
