//go:build cuda && linux

package flora_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/cudatest"
)

// BenchmarkGPUStep measures a step of decoding by the decoder of large-v3-turbo, in bfloat16 and random weights, without adapters, and by turns
// with 32 of a kind. The encoder has one layer: its states are of no interest.
func BenchmarkGPUStep(b *testing.B) {
	backend := cudatest.Open(b)
	if cudatest.Fake() {
		b.Skip("SKIP: a GPU absent: its fake computes too slowly")
	}
	m := newGPUBenchModel(b, backend)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("base/%d", n), func(b *testing.B) { benchGPUStep(b, m, n, nil) })
	}
	for _, k := range []benchKind{{flora.FLoRA, 1}, {flora.LoRA, 1}, {flora.LoRA, 8}} {
		b.Run(fmt.Sprintf("%s-%d/64", k.kind, k.rank), func(b *testing.B) { benchGPUStep(b, m, 64, m.adapters(b, 32, k.kind, k.rank)) })
	}
}

func newGPUBenchModel(b *testing.B, backend tensor.Backend) *benchModel {
	d, _ := whisper.Geometry("turbo")
	d.NAudioLayer = 1
	m := &benchModel{Model: whisper.Outline(d), ops: tensor.NewOps(backend)}
	var err error
	if m.Tokenizer, err = whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, 1); err != nil {
		b.Fatal(err)
	}
	err = m.Fill(backend, tensor.BF16, func(p whisper.Param, data []float32) error {
		for i := range data {
			if strings.HasSuffix(p.Name, "norm.weight") {
				data[i] = 1
			} else {
				data[i] = float32(i*7919%2003-1001) / 1001 / 20
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	m.mel = audio.Mel{NMels: d.NMels, Frames: d.WindowFrames(), Data: make([]float32, d.NMels*d.WindowFrames())}
	return m
}

func benchGPUStep(b *testing.B, m *benchModel, n int, batch *flora.Batch) {
	cross, err := m.Encode(m.ops, nil, []audio.Mel{m.mel}, nil)
	if err != nil {
		b.Fatal(err)
	}
	own := make([]*whisper.CrossKV, n)
	for i := range own {
		own[i] = m.pool.Keep(m.ops, cross[0])
	}
	options := whisper.DecodeOptions{Language: "en", WithoutTimestamps: true, SampleLen: 100, Suppress: []int32{m.Tokenizer.EOT()}}
	decoders := []*whisper.Batch{m.NewBatch(m.ops, nil)}
	if batch != nil {
		decoders = append(decoders, m.NewBatch(m.ops, batch))
	}
	step := func(w *whisper.Batch) time.Duration {
		begin := time.Now()
		if _, err := w.Step(); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	var t times
	for b.Loop() {
		if decoders[0].Len() == 0 {
			for i, w := range decoders {
				for j, c := range own {
					if _, err := w.Add(whisper.Utterance{Cross: c, Adapter: int32(i * (1 + j%32)), Options: options}); err != nil {
						b.Fatal(err)
					}
				}
				step(w)
			}
		}
		t.base = append(t.base, step(decoders[0]))
		if batch != nil {
			t.adapted = append(t.adapted, step(decoders[1]))
		}
	}
	if batch == nil {
		t.adapted = t.base
	}
	t.report(b, "step")
	for _, c := range own {
		m.pool.Free(c)
	}
}
