package audio

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing/iotest"
)

// chunk is a RIFF chunk, padded to an even length.
func chunk(id string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(id), uint32(len(body)))
	b = append(b, body...)
	if len(body)%2 == 1 {
		b = append(b, 0)
	}
	return b
}

// riffFile is a RIFF/WAVE file of the chunks.
func riffFile(chunks ...[]byte) []byte {
	return chunk("RIFF", append([]byte("WAVE"), bytes.Join(chunks, nil)...))
}

// fmtBody is the body of a fmt chunk of 16 bytes.
func fmtBody(tag, channels, rate, bits int) []byte {
	le := binary.LittleEndian
	block := channels * ((bits + 7) / 8)
	b := le.AppendUint16(nil, uint16(tag))
	b = le.AppendUint16(b, uint16(channels))
	b = le.AppendUint32(b, uint32(rate))
	b = le.AppendUint32(b, uint32(rate*block))
	b = le.AppendUint16(b, uint16(block))
	return le.AppendUint16(b, uint16(bits))
}

// extensibleBody is the body of a fmt chunk of 40 bytes.
func extensibleBody(tag, channels, rate, bits, validBits int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(fmtBody(tagExtensible, channels, rate, bits), 22)
	b = le.AppendUint16(b, uint16(validBits))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint16(b, uint16(tag))
	return append(b, extensibleGUID...)
}

// encode stores the values, fractions of full scale, in the coding.
func encode(tag, bits int, values []float64) []byte {
	le := binary.LittleEndian
	var b []byte
	for _, v := range values {
		switch {
		case tag == tagFloat && bits == 32:
			b = le.AppendUint32(b, math.Float32bits(float32(v)))
		case tag == tagFloat:
			b = le.AppendUint64(b, math.Float64bits(v))
		case bits == 8:
			b = append(b, byte(int(math.Round(v*128))+128))
		case bits == 16:
			b = le.AppendUint16(b, uint16(int16(math.Round(v*(1<<15)))))
		case bits == 24:
			b = append(b, le.AppendUint32(nil, uint32(int32(math.Round(v*(1<<23)))))[:3]...)
		case bits == 32:
			b = le.AppendUint32(b, uint32(int32(math.Round(v*(1<<31)))))
		}
	}
	return b
}

func decodeBytes(b []byte) (PCM, error) { return Decode(bytes.NewReader(b), Limits{}) }

// readFailing reads b and then fails with err.
func readFailing(b []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(err))
}
