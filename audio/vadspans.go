package audio

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Span is a stretch of a recording: samples Start to End-1, at SampleRate.
type Span struct{ Start, End int }

// Len is the number of samples of the span.
func (s Span) Len() int { return s.End - s.Start }

// Seconds is the places of the span in seconds.
func (s Span) Seconds() (start, end float64) {
	return float64(s.Start) / SampleRate, float64(s.End) / SampleRate
}

// SpeechOptions says how probabilities become spans of speech. The fields and their defaults are those of get_speech_timestamps of Silero
// VAD. The zero value is of no use: begin with DefaultSpeechOptions.
type SpeechOptions struct {
	// Threshold is the probability from which on a frame is speech. The default value is 0.5.
	Threshold float32
	// NegThreshold is the probability below which speech may end. The default value is 0, which stands for Threshold - 0.15, at
	// least 0.01.
	NegThreshold float32
	// MinSpeech is the shortest speech: what does not last longer is dropped. The default value is 250 ms.
	MinSpeech time.Duration
	// MaxSpeech is the longest span, padding included: speech that would last longer is cut in its longest silence of more than
	// MinSilenceAtMaxSpeech, or where there is none, at the limit. The default value is 0: no limit.
	MaxSpeech time.Duration
	// MinSilence is how long silence must last to end speech. The default value is 100 ms.
	MinSilence time.Duration
	// SpeechPad is added to both ends of a span, or half of the silence between two spans where that is less. The default value is 30 ms.
	SpeechPad time.Duration
	// MinSilenceAtMaxSpeech is the shortest silence that MaxSpeech cuts in. The default value is 98 ms.
	MinSilenceAtMaxSpeech time.Duration
}

// DefaultSpeechOptions are the defaults of Silero VAD.
func DefaultSpeechOptions() SpeechOptions {
	return SpeechOptions{
		Threshold:             0.5,
		MinSpeech:             250 * time.Millisecond,
		MinSilence:            100 * time.Millisecond,
		SpeechPad:             30 * time.Millisecond,
		MinSilenceAtMaxSpeech: 98 * time.Millisecond,
	}
}

// ErrSpeechOptions: SpeechOptions that contradict themselves.
var ErrSpeechOptions = errors.New("audio: speech options")

// Check returns an error that wraps ErrSpeechOptions unless the options make sense. Options that do not are no danger: they find nonsense.
func (o SpeechOptions) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrSpeechOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case !(o.Threshold > 0 && o.Threshold <= 1):
		return wrong("threshold %g is not in (0, 1]", o.Threshold)
	case !(o.NegThreshold >= 0 && o.NegThreshold <= o.Threshold):
		return wrong("negative threshold %g is not in [0, threshold %g]", o.NegThreshold, o.Threshold)
	case min(o.MinSpeech, o.MaxSpeech, o.MinSilence, o.SpeechPad, o.MinSilenceAtMaxSpeech) < 0:
		return wrong("a duration is negative")
	case o.MaxSpeech > 0 && o.MaxSpeech <= o.MinSpeech+2*o.SpeechPad:
		return wrong("a longest speech of %v leaves no room for the shortest, %v, and its padding", o.MaxSpeech, o.MinSpeech)
	}
	return nil
}

// SpeechEvent is a place where speech starts or ends.
type SpeechEvent struct {
	Start bool
	At    int // sample
}

// SpeechSpans is the spans of speech that the probabilities of frames of frameSamples samples each tell of a recording of nSamples, in
// order. They may touch.
func SpeechSpans(probs []float32, frameSamples, nSamples int, o SpeechOptions) []Span {
	c := newSpeechCutter(frameSamples, o)
	events := c.close(c.push(nil, probs), nSamples)
	spans := make([]Span, 0, len(events)/2)
	for i := 0; i < len(events); i += 2 {
		spans = append(spans, Span{events[i].At, events[i+1].At})
	}
	return spans
}

// none is a place that there is none of.
const none = -1

// speechCutter is the loop of get_speech_timestamps of Silero VAD (silero_vad/utils_vad.py), a frame at a time. It tells a span in two
// parts, each as soon as no later frame can change it.
type speechCutter struct {
	frame                 int // samples, as all lengths and places here
	threshold             float32
	negThreshold          float32
	minSpeech, maxSpeech  int
	minSilence, cutInside int
	pad                   int

	at      int  // where the next frame begins
	speech  bool // in speech, since start
	start   int
	told    bool // the start of the speech is told: it will not be dropped
	quiet   int  // where the silence began that may end the speech, or none
	longest Span // the longest silence in the speech that it may be cut in, empty where there is none
	ended   int  // the end of the speech before, without padding, as long as it is not told, otherwise none
}

func newSpeechCutter(frameSamples int, o SpeechOptions) *speechCutter {
	c := &speechCutter{
		frame:        frameSamples,
		threshold:    o.Threshold,
		negThreshold: o.NegThreshold,
		minSpeech:    samplesOf(o.MinSpeech),
		maxSpeech:    math.MaxInt,
		minSilence:   samplesOf(o.MinSilence),
		cutInside:    samplesOf(o.MinSilenceAtMaxSpeech),
		pad:          samplesOf(o.SpeechPad),
		quiet:        none,
		ended:        none,
	}
	if o.NegThreshold == 0 {
		c.negThreshold = max(o.Threshold-0.15, 0.01)
	}
	if o.MaxSpeech > 0 {
		c.maxSpeech = samplesOf(o.MaxSpeech) - frameSamples - 2*c.pad
	}
	return c
}

// samplesOf is the number of samples in a duration.
func samplesOf(d time.Duration) int {
	return int(d.Microseconds() * SampleRate / time.Second.Microseconds())
}

// push appends what frames of the given probabilities make known.
func (c *speechCutter) push(events []SpeechEvent, probs []float32) []SpeechEvent {
	for _, p := range probs {
		events = c.step(events, p)
		switch {
		case c.speech && !c.told:
			if c.quiet == none && c.at-c.start >= c.minSpeech {
				events = c.tellStart(events)
			} else {
				events = c.tellEnd(events, c.start)
			}
		case !c.speech:
			events = c.tellEnd(events, c.at)
		}
		c.at += c.frame
	}
	return events
}

// step is the body of upstream's loop over frames.
func (c *speechCutter) step(events []SpeechEvent, p float32) []SpeechEvent {
	if p >= c.threshold && c.quiet != none {
		if silence := (Span{c.quiet, c.at}); silence.Len() > max(c.cutInside, c.longest.Len()) {
			c.longest = silence
		}
		c.quiet = none
	}
	if p >= c.threshold && !c.speech {
		c.begin(c.at)
		return events
	}
	if c.speech && c.at-c.start > c.maxSpeech {
		if c.longest.Len() == 0 {
			return c.end(events, c.at)
		}
		rest := c.longest.End
		events = c.end(events, c.longest.Start)
		c.begin(rest)
	}
	if p < c.negThreshold && c.speech {
		if c.quiet == none {
			c.quiet = c.at
		}
		if c.at-c.quiet >= c.minSilence {
			if c.quiet-c.start > c.minSpeech {
				events = c.end(events, c.quiet)
			}
			c.speech = false
		}
	}
	return events
}

func (c *speechCutter) begin(at int) {
	c.speech, c.told, c.start, c.quiet, c.longest = true, false, at, none, Span{}
}

// end ends the speech at a place, without padding.
func (c *speechCutter) end(events []SpeechEvent, at int) []SpeechEvent {
	events = c.tellStart(events)
	c.speech, c.ended = false, at
	return events
}

// close appends what is left of a recording of nSamples.
func (c *speechCutter) close(events []SpeechEvent, nSamples int) []SpeechEvent {
	if c.speech && nSamples-c.start > c.minSpeech {
		events = c.end(events, nSamples)
	}
	if c.ended != none {
		events = append(events, SpeechEvent{At: min(c.ended+c.pad, nSamples)})
	}
	return events
}

// tellStart tells the start of the speech, and the end of the one before. They share the silence between them where it is short.
func (c *speechCutter) tellStart(events []SpeechEvent) []SpeechEvent {
	if c.told {
		return events
	}
	c.told = true
	events = c.tellEnd(events, c.start)
	pad := min(c.pad, c.start)
	if c.ended != none {
		pad = (c.start - c.ended) / 2
		events = append(events, SpeechEvent{At: c.ended + pad})
		c.ended = none
	}
	return append(events, SpeechEvent{Start: true, At: c.start - pad})
}

// tellEnd tells the end of the speech before, if its padding is sure to end before that of the next, which begins at next or later.
func (c *speechCutter) tellEnd(events []SpeechEvent, next int) []SpeechEvent {
	if c.ended == none || next-c.ended < 2*c.pad {
		return events
	}
	end := c.ended + c.pad
	c.ended = none
	return append(events, SpeechEvent{At: end})
}
