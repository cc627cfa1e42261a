package audio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// PCM is decoded audio.
type PCM struct {
	// Samples are mono (the mean of the channels) at SampleRate, full scale ±1; floating-point sources may go beyond.
	Samples []float32
	// Source tells what the samples were made from.
	Source Source
}

// Source describes audio as it was stored.
type Source struct {
	Format   string        // container and coding, such as "WAV, 16-bit PCM"
	Rate     int           // Hz
	Channels int           //
	Duration time.Duration // sample frames / Rate
}

// Duration is the length of Samples. It differs from Source.Duration by less than one sample at SampleRate.
func (p PCM) Duration() time.Duration { return samplesDuration(int64(len(p.Samples)), SampleRate) }

// Limits bounds what one input may cost. They are enforced while decoding, not by what a header says. In every field zero means the
// default value.
type Limits struct {
	// MaxDuration is the longest audio accepted; beyond it Decode fails with ErrTooLong. One hour decodes to 230 MB. The default
	// value is 4 h.
	MaxDuration time.Duration
	// MaxBytes is the number of bytes read from the input at most; beyond it Decode fails with ErrTooLarge. The default value is
	// 4 GiB.
	MaxBytes int64
}

const (
	defaultMaxDuration = 4 * time.Hour
	defaultMaxBytes    = 4 << 30
)

func (l Limits) withDefaults() Limits {
	if l.MaxDuration == 0 {
		l.MaxDuration = defaultMaxDuration
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = defaultMaxBytes
	}
	return l
}

// The rates of sources that Decode accepts, in Hz. Beyond MaxSourceRate there is no speech equipment, and a lying header would
// buy a costly resampler.
const (
	MinSourceRate = 100
	MaxSourceRate = 768000
)

// Decode reads one sound file from r to its end and returns it as 16 kHz mono. The container is told by content: WAV and FLAC.
//
// Errors: ErrEmpty (no bytes, or no samples), ErrFormat (not audio, or of a kind that is not read, or malformed), ErrTruncated (fewer
// samples than the header promises), ErrNotFinite, ErrTooLong, ErrTooLarge, or r's own error, wrapped. After an error the PCM is zero.
func Decode(r io.Reader, limits Limits) (PCM, error) {
	limits = limits.withDefaults()
	br := bufio.NewReaderSize(&cappedReader{r: r, left: limits.MaxBytes, max: limits.MaxBytes}, sniffLength)
	kind, err := sniff(br)
	if err != nil {
		return PCM{}, err
	}
	s := &sink{maxDuration: limits.MaxDuration}
	switch kind {
	case kindWAV:
		err = decodeWAV(br, s)
	case kindFLAC:
		err = decodeFLAC(br, s)
	}
	if err != nil {
		return PCM{}, err
	}
	return s.finish()
}

// DecodeFile is Decode of the file at path under the default Limits. Its errors name the file; besides those of Decode they
// are os.Open's (fs.ErrNotExist, fs.ErrPermission), and ErrFormat for a directory.
func DecodeFile(path string) (PCM, error) {
	f, err := os.Open(path)
	if err != nil {
		return PCM{}, fmt.Errorf("audio: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return PCM{}, fmt.Errorf("audio: %w", err)
	}
	if info.IsDir() {
		return PCM{}, fmt.Errorf("%s: %w: a directory", path, ErrFormat)
	}
	pcm, err := Decode(f, Limits{})
	if err != nil {
		return PCM{}, fmt.Errorf("%s: %w", path, err)
	}
	return pcm, nil
}

// cappedReader reads at most max bytes of r, of which left are left, and then fails with ErrTooLarge unless r ends there.
type cappedReader struct {
	r         io.Reader
	left, max int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.left > 0 {
		p = p[:min(int64(len(p)), c.left)]
	} else {
		p = p[:min(len(p), 1)]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.max)
	}
	c.left -= int64(n)
	return n, err
}

// sink turns the interleaved samples of a source into mono at SampleRate, block by block, and enforces the duration limit.
type sink struct {
	source      Source
	maxDuration time.Duration

	frames    int64 // sample frames so far
	maxFrames int64
	resampler *Resampler // nil at SampleRate
	mono      []float32
	samples   []float32
}

// open says what will be added. It must be called once, before add.
func (s *sink) open(format string, rate, channels int) error {
	if rate < MinSourceRate || rate > MaxSourceRate {
		return fmt.Errorf("%w: %s at %d Hz; rates from %d to %d Hz are read", ErrFormat, format, rate, MinSourceRate, MaxSourceRate)
	}
	if channels < 1 {
		return fmt.Errorf("%w: %s of %d channels", ErrFormat, format, channels)
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
	if s.resampler == nil {
		s.samples = append(s.samples, mono...)
	} else {
		s.samples = s.resampler.Append(s.samples, mono)
	}
	return nil
}

// finish returns all that was added.
func (s *sink) finish() (PCM, error) {
	if s.frames == 0 {
		return PCM{}, fmt.Errorf("%w: %s without samples", ErrEmpty, s.source.Format)
	}
	if s.resampler != nil {
		s.samples = s.resampler.Flush(s.samples)
	}
	s.source.Duration = samplesDuration(s.frames, s.source.Rate)
	return PCM{Samples: s.samples, Source: s.source}, nil
}

// samplesDuration is n/rate seconds.
func samplesDuration(n int64, rate int) time.Duration {
	return time.Duration(n/int64(rate))*time.Second + time.Duration(n%int64(rate))*time.Second/time.Duration(rate)
}

// promised is ErrTruncated with the counts that the header promises and the input holds.
func promised(promise, held int64, unit string) error {
	return fmt.Errorf("%w: header promises %d %s, file holds %d", ErrTruncated, promise, unit, held)
}

// isEOF tells the end of the input from a failure to read it.
func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
