package audio

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"
)

// decodeFLAC decodes the native FLAC stream in r by mewkiz/flac, which checks the CRC of every FLAC frame. It ends at the number of
// samples that the header promises (a tag may follow), or at the end of r where the header leaves it open.
//
// Of the format, mewkiz/flac lacks 32-bit frames, which become ErrFormat; and it writes a line to the standard logger of package log for
// each frame at 24 or 176.4 kHz.
func decodeFLAC(r io.Reader, s *sink) error {
	p := &flacParser{in: failure{r: r}}
	if err := p.header(); err != nil {
		return err
	}
	info := p.stream.Info
	if err := s.open(fmt.Sprintf("FLAC, %d-bit", info.BitsPerSample), int(info.SampleRate), int(info.NChannels)); err != nil {
		return err
	}
	var samples []float32
	for info.NSamples == 0 || uint64(s.frames) < info.NSamples {
		f, err := p.frame()
		switch {
		case err == io.EOF && info.NSamples == 0:
			return nil
		case isEOF(err) && info.NSamples != 0:
			return promised(int64(info.NSamples), s.frames, "sample frames")
		case isEOF(err):
			return fmt.Errorf("%w: FLAC ends within the frame at sample %d", ErrTruncated, s.frames)
		case err != nil:
			return err
		}
		if samples, err = interleave(samples, f, info); err != nil {
			return err
		}
		if err := s.add(samples); err != nil {
			return err
		}
	}
	return nil
}

// flacParser calls mewkiz/flac. Input is hostile and the parser not ours: a panic in it becomes ErrFormat.
type flacParser struct {
	in     failure
	stream *flac.Stream
}

// header reads the stream up to its first frame.
func (p *flacParser) header() (err error) {
	defer p.classify(&err)
	p.stream, err = flac.New(&p.in)
	if isEOF(err) {
		return fmt.Errorf("%w: FLAC ends within its header", ErrTruncated)
	}
	return err
}

// frame reads the next frame. io.EOF is the end of the input where a frame may begin, io.ErrUnexpectedEOF an end elsewhere.
func (p *flacParser) frame() (f *frame.Frame, err error) {
	defer p.classify(&err)
	if f, err = p.stream.Next(); err != nil {
		return nil, err
	}
	if f.BitsPerSample == 0 {
		f.BitsPerSample = p.stream.Info.BitsPerSample
	}
	if err = f.Parse(); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return f, err
}

// classify turns *err, or the panic in progress, into an error of this package; ends of the input stay what they are.
func (p *flacParser) classify(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("%w: FLAC: %v", ErrFormat, fault)
		return
	}
	switch {
	case p.in.err != nil:
		*err = fmt.Errorf("audio: read FLAC: %w", p.in.err)
	case *err != nil && !isEOF(*err) && !errors.Is(*err, ErrTruncated):
		*err = fmt.Errorf("%w: FLAC: %w", ErrFormat, *err)
	}
}

// failure keeps the error with which a read of r failed, other than its end.
type failure struct {
	r   io.Reader
	err error
}

func (f *failure) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// interleave replaces samples by those of f, as fractions of full scale.
func interleave(samples []float32, f *frame.Frame, info *meta.StreamInfo) ([]float32, error) {
	channels, n := int(info.NChannels), int(f.BlockSize)
	if len(f.Subframes) != channels || f.BitsPerSample != info.BitsPerSample {
		return nil, fmt.Errorf("%w: FLAC frame of %d channels of %d bits in a stream of %d channels of %d bits",
			ErrFormat, len(f.Subframes), f.BitsPerSample, channels, info.BitsPerSample)
	}
	if cap(samples) < n*channels {
		samples = make([]float32, n*channels)
	}
	samples = samples[:n*channels]
	scale := float32(math.Ldexp(1, 1-int(info.BitsPerSample)))
	for c, sub := range f.Subframes {
		if len(sub.Samples) != n {
			return nil, fmt.Errorf("%w: FLAC subframe of %d samples, want %d", ErrFormat, len(sub.Samples), n)
		}
		for i, v := range sub.Samples {
			samples[i*channels+c] = float32(v) * scale
		}
	}
	return samples, nil
}
