package audio

import (
	"fmt"
	"time"
)

// sink turns the interleaved samples of a source into mono at SampleRate, block by block, and enforces the duration limit.
type sink struct {
	source      Source
	maxDuration time.Duration
	emit        func(pcm []float32) error // takes what is made, or nil: it is kept for finish
	wavBlock    int                       // bytes of WAV decoded at a time; 0: wavBlockBytes

	frames    int64 // sample frames so far
	maxFrames int64
	resampler *Resampler // nil at SampleRate
	mono      []float32
	resampled []float32
	pieces    pieces
}

// open says what will be added. It must be called before add; where one stream follows another, again for that, of the same rate and
// channels.
func (s *sink) open(format string, rate, channels int) error {
	if rate < MinSourceRate || rate > MaxSourceRate {
		return fmt.Errorf("%w: %s at %d Hz; rates from %d to %d Hz are read", ErrFormat, format, rate, MinSourceRate, MaxSourceRate)
	}
	if channels < 1 {
		return fmt.Errorf("%w: %s of %d channels", ErrFormat, format, channels)
	}
	if was := s.source; was.Rate != 0 {
		if was.Rate != rate || was.Channels != channels {
			return fmt.Errorf("%w: %s that changes from %d channels at %d Hz to %d at %d Hz", ErrFormat, format,
				was.Channels, was.Rate, channels, rate)
		}
		return nil
	}
	s.source = Source{Format: format, Rate: rate, Channels: channels}
	s.maxFrames = int64(s.maxDuration.Seconds() * float64(rate))
	if rate != SampleRate {
		s.resampler = NewResampler(rate)
	}
	return nil
}

// add takes whole interleaved sample frames.
func (s *sink) add(interleaved []float32) error {
	n := len(interleaved) / s.source.Channels
	if s.frames += int64(n); s.frames > s.maxFrames {
		return fmt.Errorf("%w: more than %v", ErrTooLong, s.maxDuration)
	}
	mono := interleaved
	if channels := s.source.Channels; channels > 1 {
		if cap(s.mono) < n {
			s.mono = make([]float32, n)
		}
		mono = s.mono[:n]
		scale := 1 / float32(channels)
		for i := range mono {
			sum := float32(0)
			for _, v := range interleaved[i*channels : (i+1)*channels] {
				sum += v
			}
			mono[i] = sum * scale
		}
	}
	// v - v is 0 for every finite v and NaN for the others.
	bad := float32(0)
	for _, v := range mono {
		bad += v - v
	}
	if bad != 0 {
		return fmt.Errorf("%w: within the first %d sample frames", ErrNotFinite, s.frames)
	}
	for len(mono) > 0 {
		block := mono[:min(len(mono), resampleBlock)]
		mono = mono[len(block):]
		if s.resampler != nil {
			s.resampled = s.resampler.Append(s.resampled[:0], block)
			block = s.resampled
		}
		if s.emit == nil {
			s.pieces.append(block)
		} else if err := s.emit(block); err != nil {
			return err
		}
	}
	return nil
}

// wavBlockSize is how many bytes of blockAlign each are decoded at a time, at least one of them.
func (s *sink) wavBlockSize(blockAlign int) int {
	size := wavBlockBytes
	if s.wavBlock != 0 {
		size = s.wavBlock
	}
	return max(size/blockAlign, 1) * blockAlign
}

// finish returns all that was added.
func (s *sink) finish() (PCM, error) {
	if s.frames == 0 {
		return PCM{}, fmt.Errorf("%w: %s without samples", ErrEmpty, s.source.Format)
	}
	if s.resampler != nil {
		s.pieces.append(s.resampler.Flush(nil))
	}
	s.source.Duration = samplesDuration(s.frames, s.source.Rate)
	return PCM{Samples: s.pieces.join(), Source: s.source}, nil
}

// pieces holds samples in slices that are never copied while it grows, so that growing costs no more memory than the samples.
type pieces struct {
	full [][]float32
	last []float32
}

// The capacity of the first piece, and of the largest; each is twice the one before.
const (
	firstPiece = 1 << 14
	maxPiece   = 1 << 20
)

func (p *pieces) append(samples []float32) {
	for len(samples) > 0 {
		if len(p.last) == cap(p.last) {
			size := firstPiece
			if p.last != nil {
				p.full = append(p.full, p.last)
				size = min(2*cap(p.last), maxPiece)
			}
			p.last = make([]float32, 0, size)
		}
		n := min(len(samples), cap(p.last)-len(p.last))
		p.last = append(p.last, samples[:n]...)
		samples = samples[n:]
	}
}

// join empties p and returns its samples.
func (p *pieces) join() []float32 {
	n := len(p.last)
	for _, piece := range p.full {
		n += len(piece)
	}
	samples := make([]float32, 0, n)
	for _, piece := range p.full {
		samples = append(samples, piece...)
	}
	samples = append(samples, p.last...)
	*p = pieces{}
	return samples
}
