package audio

import (
	"bufio"
	"context"
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

// Decode reads one sound file from r to its end and returns it as 16 kHz mono. The container and the codec are told by content; the
// comment of the package lists them. What needs ffmpeg takes a temporary copy of the input on disk.
//
// Memory stays below that of the samples held at 16 kHz, 4 bytes each, and as much again for the moment in which they are joined, and
// 16 MiB; input that is refused as too long or too large never gets to the joining.
//
// Errors: ErrEmpty (no bytes, or no samples), ErrFormat (not audio, or of a kind that is not read, or malformed), ErrTruncated (fewer
// samples than the header promises), ErrNotFinite, ErrTooLong, ErrTooLarge, ErrNoFFmpeg, or r's own error, wrapped. After an error the
// PCM is zero.
func Decode(r io.Reader, limits Limits) (PCM, error) {
	return DecodeContext(context.Background(), r, limits)
}

// DecodeContext is Decode until ctx is done. Then it fails with ctx's error, wrapped, and has killed the program that it ran.
func DecodeContext(ctx context.Context, r io.Reader, limits Limits) (PCM, error) {
	limits = limits.withDefaults()
	br := bufio.NewReaderSize(&cappedReader{ctx: ctx, r: r, left: limits.MaxBytes, max: limits.MaxBytes}, sniffLength)
	found, err := sniff(br)
	if err != nil {
		return PCM{}, err
	}
	s := &sink{maxDuration: limits.MaxDuration}
	switch found.kind {
	case kindWAV:
		err = decodeWAV(br, s)
	case kindFLAC:
		err = decodeFLAC(br, s)
	case kindMP3:
		err = decodeMP3(br, s)
	case kindOgg:
		err = decodeOgg(br, s)
	case kindMatroska:
		err = decodeMatroska(br, s)
	case kindFFmpeg:
		err = decodeFFmpeg(ctx, br, found, limits, s)
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

// cappedReader reads at most max bytes of r, of which left are left, and then fails with ErrTooLarge unless r ends there. It fails once
// ctx is done.
type cappedReader struct {
	ctx       context.Context
	r         io.Reader
	left, max int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
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

// samplesDuration is n/rate seconds.
func samplesDuration(n int64, rate int) time.Duration {
	return time.Duration(n/int64(rate))*time.Second + time.Duration(n%int64(rate))*time.Second/time.Duration(rate)
}

// promised is ErrTruncated with the counts that the header promises and the input holds.
func promised(promise, held int64, unit string) error {
	return fmt.Errorf("%w: header promises %d %s, file holds %d", ErrTruncated, promise, unit, held)
}

// guarded is decode(), or ErrFormat where a codec library panics: its input is hostile, and its code not ours.
func guarded(codec string, decode func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %s: %v", ErrFormat, codec, fault)
		}
	}()
	return decode()
}

// losses counts the packets of a stream that its codec took and refused. A refused one is heard as silence, as players do it, since a
// recording need not be lost for a flipped bit.
type losses struct {
	taken, refused int
	first          error
}

func (l *losses) count(err error) {
	if err == nil {
		l.taken++
		return
	}
	if l.refused++; l.first == nil {
		l.first = err
	}
}

// err is the first refusal where more packets were refused than taken.
func (l *losses) err() error {
	if l.refused > l.taken {
		return fmt.Errorf("%w: %d of %d packets are damaged, the first: %w", ErrFormat, l.refused, l.refused+l.taken, l.first)
	}
	return nil
}

// isEOF tells the end of the input from a failure to read it.
func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
