package asr

import (
	"testing"

	"glossa/audio"
)

// BenchmarkSoundFingerprint tells how many seconds of sound are identified in a second, which a request with checkpoints pays.
func BenchmarkSoundFingerprint(b *testing.B) {
	const seconds = 600
	pcm := make([]float32, seconds*audio.SampleRate)
	for i := range pcm {
		pcm[i] = float32(i % 1000)
	}
	for b.Loop() {
		soundFingerprint(pcm, nil)
	}
	b.ReportMetric(seconds*float64(b.N)/b.Elapsed().Seconds(), "RTFx")
}

// BenchmarkCheckpoints is a recording of four windows, by a small model, with checkpoints and without.
func BenchmarkCheckpoints(b *testing.B) {
	e := newEngine(b, true, Options{})
	for name, told := range map[string]func(Checkpoint){"without": nil, "with": func(Checkpoint) {}} {
		q := chirp(400, 7, Request{Language: "cs", Checkpoint: told})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Transcribe(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
