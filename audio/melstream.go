package audio

import (
	"fmt"
	"math"
	"slices"
)

// MelStream is the log-mel of a stream of samples, of which windows are looked at again and again while it grows: each frame's
// transform is computed once, when a window first needs it. Frame t begins at sample t·HopLength of the stream. A MelStream serves
// one goroutine; its Extractor may serve others.
type MelStream struct {
	extractor *Extractor
	first     int       // frame that is the first one kept
	pcm       []float32 // from sample first·HopLength on
	logs      []float32 // log10 powers of frames from first on, frame-major, those whose samples are all of the stream
	highest   []float32 // the maximum of each, NaN where a sample is not finite
	scratch   melScratch
}

// NewMelStream returns a stream without samples.
func NewMelStream(e *Extractor) *MelStream { return &MelStream{extractor: e} }

// Push appends samples, which it copies.
func (s *MelStream) Push(pcm []float32) { s.pcm = append(s.pcm, pcm...) }

// First is the first frame that is kept.
func (s *MelStream) First() int { return s.first }

// Frames is the number of whole hops that have come, those dropped included.
func (s *MelStream) Frames() int { return s.first + len(s.pcm)/HopLength }

// Drop forgets what is before a frame, which may be beyond the end: what comes before it is then not kept.
// Memory that is not needed any more is given back.
func (s *MelStream) Drop(before int) {
	n := min(before, s.Frames()) - s.first
	if n <= 0 {
		return
	}
	s.first += n
	s.pcm = shift(s.pcm, n*HopLength)
	known := min(n, len(s.highest))
	s.highest = shift(s.highest, known)
	s.logs = shift(s.logs, known*s.extractor.nMels)
}

// shift returns x without its first n values, in less memory where the rest would fit a quarter.
func shift(x []float32, n int) []float32 {
	rest := x[n:]
	switch {
	case len(rest) == 0 && cap(x) > 4*HopLength:
		return nil
	case len(rest) < cap(x)/4:
		return slices.Clone(rest)
	}
	return x[:copy(x, rest)]
}

// Samples are those of frames from…to-1. They share the stream's memory until it changes. It panics where they are not kept.
func (s *MelStream) Samples(from, to int) []float32 {
	s.check(from, to)
	return s.pcm[(from-s.first)*HopLength : (to-s.first)*HopLength]
}

// Level is the mean over filters of log10 power of a frame, for comparisons of loudness; -10 is silence. !ok where the frame has not
// been part of a window, or is not kept.
func (s *MelStream) Level(frame int) (level float32, ok bool) {
	i := frame - s.first
	if i < 0 || i >= len(s.highest) || math.IsInf(float64(s.highest[i]), 0) {
		return 0, false
	}
	for _, v := range s.logs[i*s.extractor.nMels:][:s.extractor.nMels] {
		level += v
	}
	return level / float32(s.extractor.nMels), true
}

// Window computes into dst, bit for bit, LogMelPadded of Samples(from, to): its edges are mirrored, and its own maximum sets the floor. It
// allocates only where dst.Data is too small. The errors are ErrEmpty and ErrNotFinite, after which dst's content is
// unspecified. It panics where the frames are not kept.
func (s *MelStream) Window(dst *Mel, from, to, padSamples int) error {
	s.check(from, to)
	if padSamples < 0 {
		panic(fmt.Sprintf("audio: MelStream.Window with %d samples of padding", padSamples))
	}
	pcm, nMels := s.Samples(from, to), s.extractor.nMels
	total := len(pcm) + padSamples
	frames := total / HopLength
	if frames == 0 {
		return fmt.Errorf("%w: log-mel of no samples", ErrEmpty)
	}
	s.compute(to)
	if cap(dst.Data) < frames*nMels {
		dst.Data = make([]float32, frames*nMels)
	}
	*dst = Mel{NMels: nMels, Frames: frames, Padding: frames - (to - from), Data: dst.Data[:frames*nMels]}
	peak := float32(math.Inf(-1))
	for t := range frames {
		row, at := dst.Frame(t), t*HopLength-reflectLength
		var highest float32
		if i := from + t - s.first; at >= 0 && at+NFFT <= len(pcm) {
			highest = s.highest[i]
			copy(row, s.logs[i*nMels:][:nMels])
			if highest != highest {
				return fmt.Errorf("%w: in frame %d", ErrNotFinite, t)
			}
		} else {
			var err error
			if highest, err = s.extractor.logFrame(&s.scratch, row, pcm, at, total); err != nil {
				return fmt.Errorf("%w: in frame %d", err, t)
			}
		}
		if highest > peak {
			peak = highest
		}
	}
	dst.scale(peak)
	return nil
}

// compute computes the frames before to whose samples have all come and are kept.
func (s *MelStream) compute(to int) {
	nMels := s.extractor.nMels
	for i := len(s.highest); i < to-s.first; i++ {
		at := i*HopLength - reflectLength
		if at+NFFT > len(s.pcm) {
			return
		}
		s.logs = append(s.logs, make([]float32, nMels)...)
		if at < 0 { // in a window from here on it would be an edge
			s.highest = append(s.highest, float32(math.Inf(-1)))
			continue
		}
		highest, err := s.extractor.logFrame(&s.scratch, s.logs[i*nMels:], s.pcm, at, len(s.pcm))
		if err != nil {
			highest = float32(math.NaN())
		}
		s.highest = append(s.highest, highest)
	}
}

func (s *MelStream) check(from, to int) {
	if from < s.first || to < from || to > s.Frames() {
		panic(fmt.Sprintf("audio: frames %d to %d of a stream that keeps %d to %d", from, to, s.first, s.Frames()))
	}
}
