package audio

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	goaudio "github.com/go-audio/audio"
	"github.com/go-audio/wav"
)

// wavCoding is how a WAV file stores one sample.
type wavCoding struct {
	name   string
	width  int // bytes
	decode func(h *wavHeader, data io.Reader, s *sink) error
}

// wavCodingOf is the coding named by a format tag, with bits significant of width bytes a sample. ErrFormat says what is not read.
func wavCodingOf(tag uint16, bits, width int) (wavCoding, error) {
	switch {
	case tag == tagPCM && bits >= 1 && width <= 4:
		return wavCoding{fmt.Sprintf("%d-bit PCM", bits), width, decodeIntegers}, nil
	case tag == tagFloat && bits == 32 && width == 4:
		return wavCoding{"32-bit float", width, decodeFloat32}, nil
	case tag == tagFloat && bits == 64 && width == 8:
		return wavCoding{"64-bit float", width, decodeFloat64}, nil
	case tag == tagMuLaw && bits == 8 && width == 1:
		return wavCoding{"µ-law", width, decodeTable(&muLaw)}, nil
	case tag == tagALaw && bits == 8 && width == 1:
		return wavCoding{"A-law", width, decodeTable(&aLaw)}, nil
	case tag == tagPCM || tag == tagFloat || tag == tagMuLaw || tag == tagALaw:
		return wavCoding{}, fmt.Errorf("%w: WAV coding %#04x with %d bits in %d bytes a sample", ErrFormat, tag, bits, width)
	}
	name, ok := foreignCodings[tag]
	if !ok {
		name = "unknown"
	}
	return wavCoding{}, fmt.Errorf("%w: WAV coding %#04x (%s); PCM, float, µ-law and A-law are read", ErrFormat, tag, name)
}

// foreignCodings names codings of RFC 2361 that are not read.
var foreignCodings = map[uint16]string{
	0x0002: "Microsoft ADPCM",
	0x0011: "IMA ADPCM",
	0x0031: "GSM 6.10",
	0x0040: "G.721 ADPCM",
	0x0045: "G.726 ADPCM",
	0x0050: "MPEG",
	0x0055: "MP3",
	0x00ff: "AAC",
	0x0161: "WMA",
	0x2000: "AC-3",
}

// wavBlockBytes is about how many bytes are decoded at a time, at least one sample frame.
const wavBlockBytes = 1 << 15

// decodeIntegers decodes PCM of 1 to 4 bytes by go-audio/wav's Decoder. The decoder is shown the canonical header of the file that the
// checked header describes; its PCM chunk then reads from data.
func decodeIntegers(h *wavHeader, data io.Reader, s *sink) error {
	width := h.coding.width
	d := wav.NewDecoder(bytes.NewReader(canonicalHeader(h)))
	if err := d.FwdToPCM(); err != nil || d.PCMChunk == nil {
		return fmt.Errorf("%w: WAV header: %v", ErrFormat, err)
	}
	d.PCMChunk.R = data

	bias, scale := 0, float32(math.Ldexp(1, 1-8*width))
	if width == 1 {
		bias = 1 << 7 // eight bits are stored unsigned, all others signed
	}
	block := goaudio.IntBuffer{Data: make([]int, s.wavBlockSize(h.blockAlign)/h.blockAlign*h.channels)}
	samples := make([]float32, len(block.Data))
	for {
		n, err := d.PCMBuffer(&block)
		if err != nil {
			return fmt.Errorf("%w: WAV samples: %v", ErrFormat, err)
		}
		if n == 0 {
			return nil
		}
		for i, v := range block.Data[:n] {
			samples[i] = float32(v-bias) * scale
		}
		if err := s.add(samples[:n]); err != nil {
			return err
		}
	}
}

// canonicalHeader is the 44 bytes before the samples of a plain PCM file.
func canonicalHeader(h *wavHeader) []byte {
	le := binary.LittleEndian
	b := append([]byte("RIFF"), 0, 0, 0, 0)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16)
	b = le.AppendUint16(b, tagPCM)
	b = le.AppendUint16(b, uint16(h.channels))
	b = le.AppendUint32(b, uint32(h.rate))
	b = le.AppendUint32(b, uint32(h.rate*h.blockAlign))
	b = le.AppendUint16(b, uint16(h.blockAlign))
	b = le.AppendUint16(b, uint16(8*h.coding.width))
	b = append(b, "data"...)
	return le.AppendUint32(b, 0)
}

// decodeBlocks decodes samples of h.coding.width bytes with convert, which takes the bytes of len(dst) samples.
func decodeBlocks(h *wavHeader, data io.Reader, s *sink, convert func(dst []float32, src []byte)) error {
	src := make([]byte, s.wavBlockSize(h.blockAlign))
	samples := make([]float32, len(src)/h.coding.width)
	for {
		n, err := data.Read(src)
		if err == io.EOF {
			return nil
		}
		block := samples[:n/h.coding.width]
		convert(block, src[:n])
		if err := s.add(block); err != nil {
			return err
		}
	}
}

func decodeFloat32(h *wavHeader, data io.Reader, s *sink) error {
	return decodeBlocks(h, data, s, func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	})
}

// decodeFloat64 rounds to float32; a finite sample beyond its range becomes infinite, and so an error of the sink.
func decodeFloat64(h *wavHeader, data io.Reader, s *sink) error {
	return decodeBlocks(h, data, s, func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	})
}

// decodeTable decodes samples of one byte by looking them up.
func decodeTable(table *[256]float32) func(*wavHeader, io.Reader, *sink) error {
	return func(h *wavHeader, data io.Reader, s *sink) error {
		return decodeBlocks(h, data, s, func(dst []float32, src []byte) {
			for i, b := range src {
				dst[i] = table[b]
			}
		})
	}
}

// The logarithmic codings of telephony (ITU-T G.711): full scale is 2^15.
var (
	muLaw = expansion(expandMuLaw)
	aLaw  = expansion(expandALaw)
)

func expansion(expand func(byte) int) (table [256]float32) {
	for i := range table {
		table[i] = float32(expand(byte(i))) / (1 << 15)
	}
	return table
}

// expandMuLaw is the 14-bit value of a µ-law byte, times 4: sign, three bits of exponent, four of mantissa, all inverted.
func expandMuLaw(b byte) int {
	const bias = 33 << 2
	b = ^b
	magnitude := (int(b&0x0f)<<3+bias)<<(b>>4&7) - bias
	if b&0x80 != 0 {
		return -magnitude
	}
	return magnitude
}

// expandALaw is the 13-bit value of an A-law byte, times 8: sign (set: positive), exponent, mantissa, every other bit inverted.
func expandALaw(b byte) int {
	b ^= 0x55
	magnitude := int(b&0x0f)<<4 + 8
	if exponent := b >> 4 & 7; exponent > 0 {
		magnitude = (magnitude + 0x100) << (exponent - 1)
	}
	if b&0x80 != 0 {
		return magnitude
	}
	return -magnitude
}
