package audio

import (
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
		bits      = 16
		fullScale = 1 << (bits - 1)
		block     = 1 << 14
	)
	for i, v := range samples {
		if v-v != 0 {
			return fmt.Errorf("%w: sample %d is %g", ErrNotFinite, i, v)
		}
	}
	e := wav.NewEncoder(w, SampleRate, bits, 1, tagPCM)
	buf := goaudio.IntBuffer{Format: &goaudio.Format{NumChannels: 1, SampleRate: SampleRate}, SourceBitDepth: bits}
	// Without samples the encoder still has to write its header.
	for first := true; first || len(samples) > 0; first = false {
		n := min(block, len(samples))
		buf.Data = buf.Data[:0]
		for _, v := range samples[:n] {
			step := math.RoundToEven(float64(v) * fullScale)
			buf.Data = append(buf.Data, int(min(max(step, -fullScale), fullScale-1)))
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
