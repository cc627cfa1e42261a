package asr

import (
	"fmt"
	"io"
	"time"

	"glossa/audio"
)

// Lag is told of from lagLeast on, and again after lagAgain.
const (
	lagLeast = 2 * time.Second
	lagAgain = time.Second
)

// liveLag is what a session has told of how late it is.
type liveLag struct {
	at   time.Time // of the last Lag
	told bool      // the last one said that text is late
}

// work sees to it that a goroutine does what there is to do. It is called with s.mu locked.
func (s *Session) work() {
	if !s.working {
		s.working = true
		go func() {
			for s.turn() {
			}
		}()
	}
}

// grant is called when the session may be heard.
func (s *Session) grant() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		go s.speaker.release()
		return
	}
	s.inbox.granted = true
	s.work()
}

// turn does one thing that there is to do, and reports whether there was any.
func (s *Session) turn() bool {
	s.mu.Lock()
	if s.ended != nil {
		s.working = false
		s.free()
		s.mu.Unlock()
		return false
	}
	b := &s.inbox
	answer, granted := b.answer, b.granted
	b.answer, b.granted = nil, false
	var pcm []float32
	var mark *liveMark
	if answer == nil {
		if pcm = b.sound(); pcm == nil && len(b.marks) > 0 {
			mark, b.marks = &b.marks[0], b.marks[1:]
		}
	}
	if answer == nil && pcm == nil && mark == nil && !granted {
		s.working = false
		s.mu.Unlock()
		return false
	}
	s.mu.Unlock()
	switch {
	case answer != nil:
		s.core.answer(*answer)
	case pcm != nil:
		s.push(pcm)
	case mark != nil:
		s.reach(mark)
	}
	s.ask()
	s.publish()
	return true
}

// push takes up sound.
func (s *Session) push(pcm []float32) {
	if s.sound == nil {
		d := audio.NewLongTermDetector
		if s.options.Detector != nil {
			d = s.options.Detector
		}
		s.sound = newLiveSound(d(), s.core.silence, s.tables)
		s.core.level = s.sound.mel.Level
	}
	s.sound.push(&s.core, pcm)
}

// reach takes up a mark.
func (s *Session) reach(m *liveMark) {
	if m.kind == markUpdate {
		s.core.update(m.options)
		return
	}
	if s.sound != nil {
		s.sound.end(&s.core)
	}
	if m.kind == markClose {
		s.core.closed = true
		return
	}
	s.core.finalize()
}

// ask has heard what is to be heard now, if the session has a place among the speakers. Its place goes with its segment.
func (s *Session) ask() {
	c := &s.core
	if c.segment == nil || c.segment.number != s.number {
		s.speaker.release()
	}
	if c.segment != nil {
		s.number = c.segment.number
	}
	if c.asked != nil || c.want() == nil || !s.speaker.acquire() {
		return
	}
	if err := s.hear(c.next()); err != nil {
		s.answer(hypothesis{err: err})
	}
}

// hear begins to hear a window.
func (s *Session) hear(a *ask) error {
	if err := s.sound.mel.Window(&s.mel, a.from, a.to, melPadding(s.model)); err != nil {
		return err
	}
	s.mu.Lock()
	s.cancel = func() {} // until there is more to cancel
	s.mu.Unlock()
	began, h := time.Now(), new(hearing)
	cancel, err := s.hearer.hear(a.request(s.mel, h), func(r *Result) {
		heard := a.hypothesis(r, h)
		heard.took = frameAt(time.Since(began).Seconds())
		s.answer(heard)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.cancel != nil { // it was not answered yet
		s.cancel = cancel
	}
	ended := s.ended != nil
	s.mu.Unlock()
	if ended {
		cancel()
	}
	return nil
}

// answer hands in what was heard.
func (s *Session) answer(h hypothesis) {
	if h.err != nil && gone(h.err) {
		s.end(h.err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = nil
	if s.ended == nil {
		s.inbox.answer = &h
		s.work()
	}
}

// publish tells of what the core has come to, and forgets the sound that is not needed any more.
func (s *Session) publish() {
	c := &s.core
	if s.sound != nil {
		s.sound.drop(c)
	}
	if c.segment == nil {
		s.mel = audio.Mel{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.sound != nil {
		if heard := c.heard() * audio.HopLength; heard > s.heard {
			s.heard = heard
			signal(s.room)
		}
	}
	fits := s.tellLag(now)
	for _, e := range c.events {
		if e.sounded > 0 {
			if at, ok := s.inbox.arrived(e.sounded * audio.HopLength); ok {
				e.Latency = now.Sub(at)
			}
		}
		fits = fits && s.outbox.put(e)
	}
	c.events = c.events[:0]
	if c.segment == nil {
		s.inbox.forget(s.heard)
	} else {
		s.inbox.forget(c.segment.from * audio.HopLength)
	}
	if c.closed && c.segment == nil && s.ended == nil {
		all := float64(s.inbox.written) / audio.SampleRate
		fits = fits && s.outbox.put(Event{Kind: Done, Segment: c.segments, End: all, Heard: all, Acked: all})
		s.endLocked(io.EOF)
	}
	if !fits {
		s.endLocked(errSlow)
	}
}

// errSlow is the error of a session whose events nobody fetches.
var errSlow = fmt.Errorf("%w: nobody fetches the events of the session", ErrBusy)

// tellLag tells how late text is, where it is, once in a while, and that it is not any more. It reports whether there was room.
func (s *Session) tellLag(now time.Time) bool {
	a := s.core.asked
	if a == nil {
		a = s.core.want()
	}
	behind := time.Duration(0)
	if a != nil {
		if at, ok := s.inbox.arrived(a.to * audio.HopLength); ok {
			behind = now.Sub(at)
		}
	}
	late := behind >= lagLeast
	if late == s.lag.told && !(late && now.Sub(s.lag.at) >= lagAgain) {
		return true
	}
	s.lag = liveLag{now, late}
	return s.outbox.put(Event{Kind: Lag, Behind: behind, Heard: frameTime(s.core.heard())})
}

// end ends the session.
func (s *Session) end(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.outbox.events, s.outbox.taken = nil, 0
		s.endLocked(why)
	}
}

// endLocked ends the session, whose events remain. It is called with s.mu locked.
func (s *Session) endLocked(why error) {
	if s.ended != nil {
		return
	}
	s.ended = why
	if why == errSlow {
		s.outbox.events, s.outbox.taken = nil, 0
	}
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	if !s.working {
		s.free()
	}
	signal(s.outbox.ready)
	signal(s.room)
}

// free gives back all that the session has. It is called with s.mu locked, by the goroutine that works or where there is none.
func (s *Session) free() {
	s.speaker.release()
	s.stop()
	s.sound, s.mel, s.core = nil, audio.Mel{}, liveCore{}
	s.inbox = liveInbox{closed: true, written: s.inbox.written}
}

// over returns the error of a call after the session's end. It is called with s.ended set.
func (s *Session) over() error {
	if s.ended == io.EOF {
		return errOver
	}
	return s.ended
}

// errOver is the error of a call after Done.
var errOver = fmt.Errorf("%w: the session is over", ErrCancelled)
