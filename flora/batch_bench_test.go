package flora_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// The claim that the benchmarks measure: nAdapted utterances under as many adapters, decoded side by
// side by a model of the geometry of "base", against the same utterances under none.
const (
	benchGeometry = "base"
	nAdapted      = 16
	benchTokens   = 64 // of a window
)

// benchKind are adapters of all linears.
type benchKind struct {
	kind flora.Kind
	rank int
}

// benchModel is a model of random weights.
type benchModel struct {
	*whisper.Model
	ops  *tensor.Ops
	mel  audio.Mel
	pool whisper.CrossPool
}

// newBenchModel returns a model of random weights of variance 1/nState, which are parts of the same
// random numbers.
func newBenchModel(b *testing.B, dtype tensor.DType) *benchModel {
	b.Helper()
	backend, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(backend.Close)
	d, _ := whisper.Geometry(benchGeometry)
	m := &benchModel{Model: whisper.Outline(d), ops: tensor.NewOps(backend)}
	if m.Tokenizer, err = whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, 1); err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	random := make([]float32, d.NVocab*d.NTextState)
	fillAround(random, rng, 0, float32(math.Sqrt(3/float64(d.NTextState))))
	const stride = 1 << 16
	for i, p := range m.Params() {
		n := p.Mat.Rows * p.Mat.Cols
		if strings.HasSuffix(p.Name, "norm.weight") {
			*p.Mat = tensor.Zeros(p.Mat.Rows, p.Mat.Cols)
			fillAround(p.Mat.Data, rng, 1, 0)
			continue
		}
		p.Mat.Data = random[i*stride%(len(random)-n+1):][:n]
	}
	m.mel = audio.Mel{NMels: d.NMels, Frames: d.WindowFrames(), Data: make([]float32, d.NMels*d.WindowFrames())}
	fillAround(m.mel.Data, rng, 0, 1)
	if err := m.Pack(backend, dtype); err != nil {
		b.Fatal(err)
	}
	return m
}

// fillAround sets x to random numbers in center-width … center+width.
func fillAround(x []float32, rng *rand.Rand, center, width float32) {
	for i := range x {
		x[i] = center + width*(2*rng.Float32()-1)
	}
}

// adapters returns a batch of n random adapters of all linears, by their default strategies.
func (m *benchModel) adapters(b *testing.B, n int, kind flora.Kind, rank int, o flora.Options) *flora.Batch {
	b.Helper()
	rng := rand.New(rand.NewPCG(2, 2))
	random := func(rows, cols int, center, width float32) tensor.Mat {
		x := tensor.Zeros(rows, cols)
		fillAround(x.Data, rng, center, width)
		return x
	}
	var as []*flora.Adapter
	for i := range n {
		a := &flora.Adapter{Name: fmt.Sprint(i), Kind: kind, Rank: rank, Sites: make(map[whisper.Site]*flora.Factors)}
		for _, l := range m.Linears() {
			nOut, nIn := l.Weight.Rows, l.Weight.Cols
			f := &flora.Factors{}
			switch kind {
			case flora.FLoRA, flora.HiRA:
				f.Base = kind == flora.HiRA
				f.A, f.B = random(rank, nOut, 1, 0.1), random(rank, nIn, 1, 0.1)
			case flora.DoRA:
				f.M = random(1, nOut, 1, 0.1)
				fallthrough
			default:
				f.Base = true
				f.U, f.V = random(nOut, rank, 0, 0.1), random(rank, nIn, 0, 0.1)
			}
			a.Sites[l.Site] = f
		}
		as = append(as, a)
	}
	batch, err := flora.NewBatchWith(m.Model, m.ops.Backend(), o, as...)
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

// eachBench runs f for every format of weights and kind of adapters.
func eachBench(b *testing.B, n int, kinds []benchKind, f func(b *testing.B, m *benchModel, batch *flora.Batch)) {
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.I8} {
		b.Run(dtype.String(), func(b *testing.B) {
			m := newBenchModel(b, dtype)
			for _, k := range kinds {
				b.Run(fmt.Sprintf("%s-%d", k.kind, k.rank), func(b *testing.B) { f(b, m, m.adapters(b, n, k.kind, k.rank, flora.Options{})) })
			}
		})
	}
}

// times are those of the base model and of adapters, taken by turns.
type times struct{ base, adapted []time.Duration }

// report reports medians in milliseconds for what, and the speed under adapters in parts of the
// base model's.
func (t *times) report(b *testing.B, what string) {
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2]) / float64(time.Millisecond)
	}
	base, adapted := median(t.base), median(t.adapted)
	b.ReportMetric(base, "base-ms/"+what)
	b.ReportMetric(adapted, "adapted-ms/"+what)
	b.ReportMetric(base/adapted, "speed")
}

// BenchmarkDecode takes a step of windows without adapters and a step of the same windows under an
// adapter each by turns, in batches that are fed a token of each window.
func BenchmarkDecode(b *testing.B) {
	eachBench(b, nAdapted, []benchKind{{flora.FLoRA, 1}, {flora.LoRA, 1}, {flora.LoRA, 8}}, func(b *testing.B, m *benchModel, batch *flora.Batch) {
		cross, err := m.Encode(m.ops, nil, []audio.Mel{m.mel}, nil)
		if err != nil {
			b.Fatal(err)
		}
		own := make([]*whisper.CrossKV, nAdapted)
		for i := range own {
			own[i] = m.pool.Keep(m.ops, cross[0])
		}
		options := whisper.DecodeOptions{
			Language: "en", WithoutTimestamps: true, SampleLen: benchTokens, Suppress: []int32{m.Tokenizer.EOT()},
		}
		step := func(w *whisper.Batch) time.Duration {
			begin := time.Now()
			if _, err := w.Step(); err != nil {
				b.Fatal(err)
			}
			return time.Since(begin)
		}
		add := func(w *whisper.Batch, adapted int32) {
			for i, c := range own {
				if _, err := w.Add(whisper.Utterance{Cross: c, Adapter: adapted * int32(1+i), Options: options}); err != nil {
					b.Fatal(err)
				}
			}
			step(w)
		}
		base, adapted := m.NewBatch(m.ops, nil), m.NewBatch(m.ops, batch)
		var t times
		for b.Loop() {
			if base.Len() == 0 {
				add(base, 0)
				add(adapted, 1)
			}
			t.base, t.adapted = append(t.base, step(base)), append(t.adapted, step(adapted))
		}
		t.report(b, "step")
		for _, c := range own {
			m.pool.Free(c)
		}
	})
}

// BenchmarkEncode encodes a window without an adapter and the same under one by turns, to its
// cross-attention keys and values.
func BenchmarkEncode(b *testing.B) {
	eachBench(b, 1, []benchKind{{flora.FLoRA, 8}, {flora.LoRA, 8}, {flora.HiRA, 8}, {flora.DoRA, 8}}, func(b *testing.B, m *benchModel, batch *flora.Batch) {
		encode := func(a whisper.Adapter, index int32) time.Duration {
			begin := time.Now()
			cross, err := m.EncodeInto(&m.pool, m.ops, a, []audio.Mel{m.mel}, []int32{index})
			if err != nil {
				b.Fatal(err)
			}
			m.pool.Free(cross[0])
			return time.Since(begin)
		}
		encode(batch, 1)
		var t times
		for b.Loop() {
			t.base, t.adapted = append(t.base, encode(nil, 0)), append(t.adapted, encode(batch, 1))
		}
		t.report(b, "window")
	})
}
