package asr

import (
	"time"

	"glossa/audio"
)

// liveSound is the sound of a live session: speech is found in it, and its log-mel is computed as far as it is heard.
type liveSound struct {
	detector audio.Detector
	options  audio.SpeechOptions
	speech   *audio.SpeechStream
	base     int // sample at which speech begins
	samples  int // that have come
	mel      *audio.MelStream
	events   []audio.SpeechEvent
}

func newLiveSound(d audio.Detector, silence time.Duration, e *audio.Extractor) *liveSound {
	o := audio.DefaultSpeechOptions()
	o.MinSilence = silence
	return &liveSound{detector: d, options: o, speech: audio.NewSpeechStream(d, o), mel: audio.NewMelStream(e)}
}

// frames returns the number of whole frames that have come.
func (s *liveSound) frames() int { return s.samples / audio.HopLength }

// push adds samples, and tells the core of speech that they make known.
func (s *liveSound) push(c *liveCore, pcm []float32) {
	if c.silence != s.options.MinSilence {
		s.options.MinSilence = c.silence
		s.speech.SetMinSilence(c.silence)
	}
	s.samples += len(pcm)
	s.mel.Push(pcm)
	c.sound(s.frames())
	s.events = s.speech.Push(s.events[:0], pcm)
	s.tell(c)
}

// end tells of speech that is not known to have ended, and begins anew.
func (s *liveSound) end(c *liveCore) {
	s.events = s.speech.Close(s.events[:0])
	s.tell(c)
	s.speech, s.base = audio.NewSpeechStream(s.detector, s.options), s.samples
}

// tell tells the core of speech.
func (s *liveSound) tell(c *liveCore) {
	for _, e := range s.events {
		if frame := (s.base + e.At) / audio.HopLength; e.Start {
			c.speechStart(frame, s.mel.First())
		} else {
			c.speechEnd(frame)
		}
	}
}

// keep is how many frames are kept while nobody speaks: speech may have begun in them that is told later.
func (s *liveSound) keep() int {
	return preRoll + frameAt((s.options.MinSilence + s.options.MinSpeech + 300*time.Millisecond).Seconds())
}

// drop forgets what is not needed any more.
func (s *liveSound) drop(c *liveCore) {
	// A frame at a time would be moving memory all the time.
	if needed := c.needed(s.keep()); needed >= s.mel.First()+50 {
		s.mel.Drop(needed)
	}
}
