//go:build cuda && linux

package flora_test

import (
	"errors"
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
	m := newGPUBenchModel(b, backend, 1)
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("base/%d", n), func(b *testing.B) { benchGPUStep(b, m, n, nil) })
	}
	for _, k := range []benchKind{{flora.FLoRA, 1}, {flora.LoRA, 1}, {flora.LoRA, 8}} {
		b.Run(fmt.Sprintf("%s-%d/64", k.kind, k.rank), func(b *testing.B) { benchGPUStep(b, m, 64, m.adapters(b, 32, k.kind, k.rank, flora.Options{})) })
	}
}

// BenchmarkGPUEncode measures the encoder of large-v3-turbo, in bfloat16 and random weights, on 8 windows, without adapters and under as many, by the
// strategies that are of use there: the wall time of a window, and what its kernels, products and copies take by the device's clock, each by itself.
func BenchmarkGPUEncode(b *testing.B) {
	backend := cudatest.Open(b)
	if cudatest.Fake() {
		b.Skip("SKIP: a GPU absent: its fake computes too slowly")
	}
	d, _ := whisper.Geometry("turbo")
	m := newGPUBenchModel(b, backend, d.NAudioLayer)
	b.Run("base", func(b *testing.B) { benchGPUEncode(b, m, nil) })
	for _, k := range []benchKind{{flora.FLoRA, 1}, {flora.LoRA, 8}} {
		for _, s := range []flora.Strategy{flora.Mix, flora.Merged} {
			p := flora.DefaultPolicy(m.Model)
			p.MergedBytes = 32 << 30
			b.Run(fmt.Sprintf("%s-%d/%s", k.kind, k.rank, s), func(b *testing.B) {
				benchGPUEncode(b, m, m.adapters(b, encodedTogether, k.kind, k.rank, flora.Options{Strategy: s, Policy: p}))
			})
		}
	}
}

const encodedTogether = 8

func benchGPUEncode(b *testing.B, m *benchModel, batch *flora.Batch) {
	mels := slices.Repeat([]audio.Mel{m.mel}, encodedTogether)
	step := &whisper.Step{Ops: m.ops}
	if batch != nil {
		step.Adapter = batch
		for i := range mels {
			step.AdapterOf = append(step.AdapterOf, int32(1+i))
		}
	}
	encode := func() {
		m.ops.Reset()
		if _, err := m.EncodeStates(step, mels); err != nil {
			b.Fatal(err)
		}
		if err := m.ops.Read(nil, tensor.Mat{}); err != nil {
			b.Fatal(err)
		}
	}
	for range 3 { // until it is replayed
		encode()
	}
	var wall []time.Duration
	for b.Loop() {
		begin := time.Now()
		encode()
		wall = append(wall, time.Since(begin))
	}
	slices.Sort(wall)
	b.ReportMetric(perWindow(wall[len(wall)/2], len(mels)), "ms/window")
	b.ReportMetric(perWindow(deviceTime(b, m.ops.Backend().(tensor.Profiler), encode), len(mels)), "device-ms/window")
	if batch != nil {
		batch.Trim()
	}
}

// deviceTime returns what f takes by the device's clock.
func deviceTime(b *testing.B, p tensor.Profiler, f func()) (sum time.Duration) {
	if err := p.Profile(true); err != nil {
		b.Fatal(err)
	}
	f()
	timings, err := p.Timings()
	if err := errors.Join(err, p.Profile(false)); err != nil {
		b.Fatal(err)
	}
	for _, t := range timings {
		sum += t.Time
	}
	return sum
}

// perWindow returns the milliseconds of each of n windows.
func perWindow(d time.Duration, n int) float64 { return 1e3 * d.Seconds() / float64(n) }

func newGPUBenchModel(b *testing.B, backend tensor.Backend, layers int) *benchModel {
	d, _ := whisper.Geometry("turbo")
	d.NAudioLayer = layers
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
