package audio

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/pion/opus"
)

// Stream decodes sound that comes in pieces, as from a network, to samples at SampleRate, mono. What it has decoded
// of a piece, it has passed on before Write returns, but for what a codec or the resampler waits for.
//
// It serves one goroutine at a time. Close or Stop must be called, or a Stream of a file keeps a goroutine.
type Stream struct {
	sink  *sink
	write func(piece []byte) error
	end   func() error
	stop  func()
	err   error // the first, which stays
	over  bool
}

// newStream returns a stream without a codec. Samples go to emit, which may keep none of them, and whose error ends the
// stream. Sound beyond maxDuration is ErrTooLong; 0 is the default of Limits.
func newStream(maxDuration time.Duration, emit func(pcm []float32) error) *Stream {
	limits := Limits{MaxDuration: maxDuration}.withDefaults()
	return &Stream{sink: &sink{maxDuration: limits.MaxDuration, emit: emit}, stop: func() {}, end: func() error { return nil }}
}

// Write takes the next piece: for raw sound whole sample frames, of Opus one packet, of a file any of its bytes.
//
// Errors: ErrFormat, ErrTruncated (raw sound that ends within a sample frame), ErrNotFinite, ErrTooLong, or that of emit.
// Each but ErrTruncated of raw sound ends the stream.
func (s *Stream) Write(piece []byte) error {
	if s.err != nil {
		return s.err
	}
	if s.over {
		return fmt.Errorf("%w: sound behind the end of the stream", ErrFormat)
	}
	return s.write(piece)
}

// Close ends the sound: its last samples are passed on. A file that is cut off is no error, as of a recorder that was
// switched off.
func (s *Stream) Close() error {
	if s.over {
		return s.err
	}
	s.over = true
	defer s.stop()
	if s.err == nil {
		s.err = s.end()
	}
	if s.err == nil && s.sink.resampler != nil && s.sink.frames > 0 {
		s.err = s.sink.emit(s.sink.resampler.Flush(nil))
	}
	return s.err
}

// Stop frees what the stream has, without its last samples.
func (s *Stream) Stop() {
	s.over = true
	s.stop()
}

// Duration is the length of the sound so far, that of the source.
func (s *Stream) Duration() time.Duration {
	if s.sink.source.Rate == 0 {
		return 0
	}
	return samplesDuration(s.sink.frames, s.sink.source.Rate)
}

// Source tells what comes: the zero value before it is known.
func (s *Stream) Source() Source {
	source := s.sink.source
	source.Duration = s.Duration()
	return source
}

// The codings of raw sound, little endian.
const (
	RawS16   = "pcm_s16le"
	RawS32   = "pcm_s32le"
	RawF32   = "pcm_f32le"
	RawMuLaw = "mulaw" // ITU-T G.711
	RawALaw  = "alaw"  // ITU-T G.711
)

// rawWidths are the bytes of a sample.
var rawWidths = map[string]int{RawS16: 2, RawS32: 4, RawF32: 4, RawMuLaw: 1, RawALaw: 1}

// RawWidth returns the bytes of a sample of a raw coding, 0 where there is no such coding.
func RawWidth(coding string) int { return rawWidths[coding] }

// NewRawStream returns a stream of interleaved samples without a container. The error is ErrFormat.
func NewRawStream(coding string, rate, channels int, maxDuration time.Duration, emit func(pcm []float32) error) (*Stream, error) {
	width := rawWidths[coding]
	if width == 0 {
		return nil, fmt.Errorf("%w: raw sound of coding %q", ErrFormat, coding)
	}
	s := newStream(maxDuration, emit)
	if err := s.sink.open("raw "+coding, rate, channels); err != nil {
		return nil, err
	}
	var samples []float32
	s.write = func(piece []byte) error {
		if len(piece)%(width*channels) != 0 {
			return fmt.Errorf("%w: %d bytes of %s are no whole number of sample frames of %d bytes", ErrTruncated,
				len(piece), coding, width*channels)
		}
		if n := len(piece) / width; cap(samples) < n {
			samples = make([]float32, n)
		}
		samples = samples[:len(piece)/width]
		convertRaw(coding, samples, piece)
		s.err = s.sink.add(samples)
		return s.err
	}
	return s, nil
}

// convertRaw decodes the bytes of len(dst) samples.
func convertRaw(coding string, dst []float32, src []byte) {
	le := binary.LittleEndian
	for i := range dst {
		switch coding {
		case RawS16:
			dst[i] = float32(int16(le.Uint16(src[2*i:]))) / (1 << 15)
		case RawS32:
			dst[i] = float32(int32(le.Uint32(src[4*i:]))) / (1 << 31)
		case RawF32:
			dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
		case RawMuLaw:
			dst[i] = muLaw[src[i]]
		case RawALaw:
			dst[i] = aLaw[src[i]]
		}
	}
}

// maxDamagedOpus is how many more packets of a stream may be refused than taken before it is none of Opus.
const maxDamagedOpus = 16

// NewOpusStream returns a stream of Opus packets without a container (RFC 6716), of 1 or 2 channels. A damaged packet
// is heard as silence, as players do it; a stream of them is ErrFormat.
func NewOpusStream(channels int, maxDuration time.Duration, emit func(pcm []float32) error) (*Stream, error) {
	if channels != 1 && channels != 2 {
		return nil, fmt.Errorf("%w: Opus packets of %d channels; 1 and 2 are read", ErrFormat, channels)
	}
	s := newStream(maxDuration, emit)
	if err := s.sink.open("Opus packets", opusRate, channels); err != nil {
		return nil, err
	}
	d, err := opus.NewDecoderWithOutput(opusRate, channels)
	if err != nil {
		return nil, fmt.Errorf("audio: Opus: %w", err)
	}
	o := &opusStream{opusHead: opusHead{channels: channels, gain: 1}, sink: s.sink, d: d, pcm: make([]float32, maxOpusPacket*channels)}
	s.write = func(packet []byte) error {
		if s.err = o.packet(packet, -1); s.err == nil && o.lost.refused > o.lost.taken+maxDamagedOpus {
			s.err = o.lost.err()
		}
		return s.err
	}
	s.end = o.lost.err
	return s, nil
}
