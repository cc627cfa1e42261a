package asr

import (
	"fmt"
	"time"

	"glossa/audio"
	"glossa/whisper"
)

// Bounds of what a session may be asked for.
const (
	minEndpointing = 100 * time.Millisecond
	maxEndpointing = 30 * time.Second
	minStep        = 50 * time.Millisecond
	minMaxBuffer   = 2 * time.Second
)

// withDefaults returns the options with the values that zeros stand for, for a model with so long a window.
func (o ListenOptions) withDefaults(window time.Duration) ListenOptions {
	if o.Policy == "" {
		o.Policy = LocalAgreement
	}
	set(&o.Endpointing, 600*time.Millisecond)
	set(&o.Step, 300*time.Millisecond)
	set(&o.MaxQueued, time.Minute)
	set(&o.MaxBuffer, min(20*time.Second, window-time.Second, o.MaxQueued/2))
	return o
}

// coreOptions checks options, sets those that have default values and returns what a core goes by. The errors are ErrInvalid and
// ErrNotFound.
func (s *Session) coreOptions(o *ListenOptions) (liveOptions, error) {
	invalid := func(format string, args ...any) (liveOptions, error) {
		return liveOptions{}, fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
	}
	m := s.model
	window := time.Duration(m.Dims.WindowFrames()) * 10 * time.Millisecond
	*o = o.withDefaults(window)
	switch {
	case o.Policy != LocalAgreement && o.Policy != AlignAtt:
		return invalid("policy %q is neither %q nor %q", o.Policy, LocalAgreement, AlignAtt)
	case o.Endpointing < minEndpointing || o.Endpointing > maxEndpointing:
		return invalid("endpointing %v is not in %v to %v", o.Endpointing, minEndpointing, maxEndpointing)
	case o.Step < minStep:
		return invalid("step %v is less than %v", o.Step, minStep)
	case o.MaxBuffer > window || o.MaxBuffer < min(minMaxBuffer, window/2):
		return invalid("buffer of %v: a window has %v", o.MaxBuffer, window)
	case o.MaxQueued < 2*o.Step || o.MaxQueued < 2*o.MaxBuffer:
		return invalid("queue of %v for a buffer of %v: twice as much is needed", o.MaxQueued, o.MaxBuffer)
	}
	q := o.template()
	q.Mel = func() (audio.Mel, error) { return audio.Mel{}, ErrInternal }
	if err := s.check(q); err != nil {
		return liveOptions{}, err
	}
	c := liveOptions{
		template: q, policy: o.Policy, prompt: asSpoken(m, o.Prompt), conditioned: !o.Unconditioned && !m.Dims.Unpadded, partials: !o.NoPartials, words: o.Words,
		step: frameAt(o.Step.Seconds()), maxBuffer: frameAt(o.MaxBuffer.Seconds()), silence: o.Endpointing,
	}
	switch code, _ := whisper.LanguageCode(o.Language); {
	case !m.Tokenizer.Multilingual():
		c.language = "en"
	case o.Language != "" && o.Language != Auto:
		c.language = code
	}
	return c, nil
}
