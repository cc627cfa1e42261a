package train

import (
	"math/rand/v2"
	"testing"
	"time"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// gemmRate returns the operations a second of a large product on the backend: the best of a few.
func gemmRate(b tensor.Backend) float64 {
	const m, n, k = 2048, 1024, 1024
	rng := rand.New(rand.NewPCG(1, 1))
	c, x, y := tensor.Zeros(m, n), randomMat(rng, m, k), randomMat(rng, n, k)
	best := 0.0
	for range 8 {
		start := time.Now()
		b.MatMul(c, x, y, tensor.TransB, false)
		best = max(best, 2*m*n*k/time.Since(start).Seconds())
	}
	return best
}

// BenchmarkStep is one update of a model of the embedded one's geometry on 40 utterances of 2 s.
// gemm% is its rate over that of a large product of float32.
func BenchmarkStep(b *testing.B) {
	for _, precision := range []string{PrecisionF32, PrecisionBF16} {
		b.Run(precision, func(b *testing.B) { benchmarkStep(b, precision) })
	}
}

func benchmarkStep(b *testing.B, precision string) {
	const nUtterance, seconds, nToken = 40, 2, 20
	o := DefaultOptions(Full)
	o.Backend, o.Precision = newBackend(b), precision
	backend, err := o.choosePrecision()
	if err != nil {
		b.Skipf("SKIP: %v", err)
	}
	tokenizer := newTokenizer(b)
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: 500, NAudioState: 192, NAudioHead: 6, NAudioLayer: 6,
		NVocab: 1800, NTextCtx: 64, NTextState: 192, NTextHead: 6, NTextLayer: 2, Unpadded: true,
	})
	m.Tokenizer = tokenizer
	Initialize(m, 1)
	rng := rand.New(rand.NewPCG(2, 2))
	var examples []*example
	for range nUtterance {
		x := &example{seconds: seconds}
		frames := int(seconds * audio.FramesPerSec)
		x.mel = audio.Mel{NMels: 80, Frames: frames, Data: randomMat(rng, frames, 80).Data}
		for range nToken {
			x.push(int32(rng.IntN(1200)), int32(rng.IntN(1200)), 1)
			x.text = append(x.text, int32(rng.IntN(1200)))
		}
		examples = append(examples, x)
	}
	const nText = 1280
	n := &network{ops: tensor.NewOps(backend), model: m, ctcWeight: o.CTCWeight}
	params := NewFull(m).Params()
	n.head = newCTCHead(nText, m.Dims.NAudioState, 1)
	t := &trainer{options: o, network: n, optimizer: newAdamW(append(params, n.head.params()...), &o)}
	x := pack(examples)
	packed := []*batch{x}
	tokens, text := x.weights()
	step := func() {
		if _, err := t.gradient(packed, tokens, text); err != nil {
			b.Fatal(err)
		}
		t.optimizer.step(1e-4, t.optimizer.norm())
	}
	step() // the arena grows
	rate := gemmRate(o.Backend)
	work := products(m.Dims, x, nText, true)
	for b.Loop() {
		step()
	}
	each := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(nUtterance/each, "examples/s")
	b.ReportMetric(work/each/1e9, "GFLOP/s")
	b.ReportMetric(rate/1e9, "gemm-GFLOP/s")
	b.ReportMetric(100*work/each/rate, "gemm%")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOptimizer is one update of 4.5 million parameters.
func BenchmarkOptimizer(b *testing.B) {
	var params []NamedParam
	for range 30 {
		params = append(params, NamedParam{Name: "w", Mat: tensor.NewParam(150, 1000, make([]float32, 150000)), Decay: true})
	}
	o := DefaultOptions(Full)
	a := newAdamW(params, &o)
	for b.Loop() {
		a.step(1e-4, a.norm())
		a.zeroGrad()
	}
}

// BenchmarkExample is the preparation of an utterance of 2 s.
func BenchmarkExample(b *testing.B) {
	m := newModel(b, 80, 16, 1)
	data, err := openDataset(drawing(1, 1, Source{Path: writeTones(b, 26, "en")}), func(string) bool { return true })
	if err != nil {
		b.Fatal(err)
	}
	k := &maker{dims: m.Dims, data: data, clips: newClips(1 << 30), augment: DefaultAugment(), seed: 1, target: targeter{tokenizer: m.Tokenizer}}
	var seconds float64
	for at := data.start(); b.Loop(); {
		x, err := k.make(data.draw(&at))
		if err != nil {
			b.Fatal(err)
		}
		seconds += x.seconds
	}
	b.ReportMetric(seconds/b.Elapsed().Seconds(), "s-audio/s")
}

// BenchmarkAdapterStep is the gradient of adapters whose terms are trained as one weight.
func BenchmarkAdapterStep(b *testing.B) {
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: 500, NAudioState: 384, NAudioHead: 6, NAudioLayer: 4,
		NVocab: 1800, NTextCtx: 64, NTextState: 384, NTextHead: 6, NTextLayer: 4, Unpadded: true,
	})
	m.Tokenizer = newTokenizer(b)
	Initialize(m, 1)
	_, trainable, err := NewAdapter(m, AdapterOptions{Kind: flora.HiRA, Rank: 4, Target: flora.All, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	var examples []*example
	for range 8 {
		x := &example{seconds: 5, mel: audio.Mel{NMels: 80, Frames: 500, Data: randomMat(rng, 500, 80).Data}}
		for range 20 {
			x.push(int32(rng.IntN(1200)), int32(rng.IntN(1200)), 1)
		}
		examples = append(examples, x)
	}
	x := pack(examples)
	n := &network{ops: tensor.NewOps(newBackend(b)), model: m, adapter: trainable.Adapter()}
	o := DefaultOptions(Full)
	t := &trainer{options: o, network: n, optimizer: newAdamW(trainable.Params(), &o)}
	tokens, text := x.weights()
	for b.Loop() {
		if _, err := t.gradient([]*batch{x}, tokens, text); err != nil {
			b.Fatal(err)
		}
	}
}
