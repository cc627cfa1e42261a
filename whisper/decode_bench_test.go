package whisper_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// BenchmarkDecode decodes windows of 10 s with a decoder of the size of whisper-tiny: tokens/s are
// those of the results, whatever was searched for them.
func BenchmarkDecode(b *testing.B) {
	const nWindow, sampleLen, frames = 4, 24, 1000
	backend, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	tok, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, 1)
	if err != nil {
		b.Fatal(err)
	}
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: 1500, NAudioState: 384, NAudioHead: 6, NAudioLayer: 1,
		NVocab: 51865, NTextCtx: 448, NTextState: 384, NTextHead: 6, NTextLayer: 4, Unpadded: true,
	})
	m.Tokenizer = tok
	train.Initialize(m, 1)
	if err := m.Pack(backend, tensor.F32); err != nil {
		b.Fatal(err)
	}
	o := tensor.NewOps(backend)
	rng := rand.New(rand.NewPCG(1, 1))
	var mels []audio.Mel
	for range nWindow {
		mels = append(mels, goldentest.RandomMel(rng, frames))
	}
	cross, err := m.Encode(o, nil, mels, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, options := range map[string]whisper.DecodeOptions{
		"greedy": {}, "beam5": {BeamSize: 5}, "best-of-5": {BestOf: 5, Temperature: 0.5},
	} {
		options.Language, options.WithoutTimestamps, options.SampleLen = "en", true, sampleLen
		options.Suppress = []int32{tok.EOT()}
		us := make([]whisper.Utterance, nWindow)
		for i := range us {
			us[i] = whisper.Utterance{Cross: cross[i], Options: options}
		}
		b.Run(name, func(b *testing.B) {
			tokens := 0
			for b.Loop() {
				decoded, err := m.Decode(context.Background(), o, nil, us)
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range decoded {
					tokens += len(d.Tokens)
				}
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
