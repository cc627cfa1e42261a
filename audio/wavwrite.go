package audio

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	goaudio "github.com/go-audio/audio"
	"github.com/go-audio/wav"
)

// WriteWAV writes samples, mono at SampleRate with full scale ±1, to w as a WAV file of 16-bit PCM, by go-audio/wav. Samples are rounded to
// the nearest step of 2^-15 and clipped to [-1, 1-2^-15]; DecodeFile of the result returns just those. A NaN or infinite sample is
// ErrNotFinite, and nothing is written.
func WriteWAV(w io.WriteSeeker, samples []float32) error {
	const (
		bits  = 16
		block = 1 << 14
	)
	if err := checkFinite(samples); err != nil {
		return err
	}
	e := wav.NewEncoder(w, SampleRate, bits, 1, tagPCM)
	buf := goaudio.IntBuffer{Format: &goaudio.Format{NumChannels: 1, SampleRate: SampleRate}, SourceBitDepth: bits}
	// Without samples the encoder still has to write its header.
	for first := true; first || len(samples) > 0; first = false {
		n := min(block, len(samples))
		buf.Data = buf.Data[:0]
		for _, v := range samples[:n] {
			buf.Data = append(buf.Data, int(step16(v)))
		}
		if err := e.Write(&buf); err != nil {
			return fmt.Errorf("audio: write WAV: %w", err)
		}
		samples = samples[n:]
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("audio: write WAV: %w", err)
	}
	return nil
}

// EncodeWAV returns the file that WriteWAV writes of samples.
func EncodeWAV(samples []float32) ([]byte, error) {
	if err := checkFinite(samples); err != nil {
		return nil, err
	}
	header := canonicalHeader(&wavHeader{channels: 1, rate: SampleRate, blockAlign: 2, coding: wavCoding{width: 2}})
	binary.LittleEndian.PutUint32(header[4:], uint32(len(header)-8+2*len(samples)))
	binary.LittleEndian.PutUint32(header[len(header)-4:], uint32(2*len(samples)))
	return append(header, EncodePCM(samples)...), nil
}

// EncodePCM returns samples as 16-bit integers, little-endian, rounded and clipped as WriteWAV has it.
func EncodePCM(samples []float32) []byte {
	data := make([]byte, 0, 2*len(samples))
	for _, v := range samples {
		data = binary.LittleEndian.AppendUint16(data, uint16(step16(v)))
	}
	return data
}

// step16 returns the nearest of the 2^16 steps of full scale.
func step16(v float32) int16 {
	step := math.RoundToEven(float64(v) * (math.MaxInt16 + 1))
	return int16(min(max(step, math.MinInt16), math.MaxInt16))
}

// checkFinite returns ErrNotFinite where a sample is none.
func checkFinite(samples []float32) error {
	for i, v := range samples {
		if v-v != 0 {
			return fmt.Errorf("%w: sample %d is %g", ErrNotFinite, i, v)
		}
	}
	return nil
}
