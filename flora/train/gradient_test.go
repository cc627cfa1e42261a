package train

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// smallBatch returns two utterances of noise with targets, one with timestamps.
func smallBatch(m *whisper.Model) *batch {
	rng := rand.New(rand.NewPCG(4, 4))
	var examples []*example
	for i, frames := range []int{18, 12} {
		g := targeter{tokenizer: m.Tokenizer, timestamps: float64(i)}
		mel := audio.Mel{NMels: m.Dims.NMels, Frames: frames, Data: make([]float32, frames*m.Dims.NMels)}
		for j := range mel.Data {
			mel.Data[j] = float32(rng.NormFloat64())
		}
		examples = append(examples, &example{target: g.transcript([]spoken{{[]string{"do re", "mi"}[i], 0.02, 0.1}}, "en", rng), mel: mel})
	}
	return pack(examples)
}

// checkGradients compares the gradient of each parameter of n along a random direction with the
// difference of the loss.
func checkGradients(t *testing.T, n *network, params []NamedParam, b *batch) {
	t.Helper()
	tokens, text := b.weights()
	value := func() float64 {
		_, s := n.forward(b, tokens, text, false)
		if n.head.weight.IsZero() {
			return s.entropy / tokens
		}
		return (1-n.ctcWeight)*s.entropy/tokens + n.ctcWeight*s.ctc/text
	}
	for _, p := range params {
		p.Mat.ZeroGrad()
	}
	loss, _ := n.forward(b, tokens, text, true)
	n.ops.Backward(loss)
	if got, want := float64(loss.Data[0]), value(); math.Abs(got-want) > 1e-5*want {
		t.Fatalf("the loss is %v, its parts make %v", got, want)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for _, p := range params {
		w, before := p.Mat.Data, append([]float32(nil), p.Mat.Data...)
		direction := make([]float64, len(w))
		var got, square float64
		for i, g := range p.Mat.Grad().Data {
			// Mostly along the gradient, so that the difference is not lost in rounding.
			direction[i] = float64(g) + 0.3*rng.NormFloat64()*math.Abs(float64(g))
			got += float64(g) * direction[i]
			square += direction[i] * direction[i]
		}
		if square == 0 {
			t.Errorf("%s has no gradient", p.Name)
			continue
		}
		step := 0.005 / math.Sqrt(square)
		at := func(distance float64) float64 {
			for i := range w {
				w[i] = before[i] + float32(distance*direction[i])
			}
			return value()
		}
		want := (at(step) - at(-step)) / (2 * step)
		copy(w, before)
		// A change of the loss by 1e-6 is rounding.
		if tolerance := 0.01*math.Abs(want) + 1e-6/step; math.Abs(got-want) > tolerance {
			t.Errorf("%s: along a direction the gradient is %v, by differences %v", p.Name, got, want)
		}
	}
}

func TestGradientsOfTheModelAreFiniteDifferences(t *testing.T) {
	m := newModel(t, 6, 12, 1)
	params := NewFull(m).Params()
	n := &network{ops: tensor.NewOps(ref.New()), model: m, ctcWeight: 0.3, smoothing: 0}
	n.head = newCTCHead(int(m.Tokenizer.EOT()), m.Dims.NAudioState, 1)
	checkGradients(t, n, append(params, n.head.params()...), smallBatch(m))
}

func TestGradientsOfAdaptersAreFiniteDifferences(t *testing.T) {
	for _, kind := range flora.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			m := newModel(t, 6, 12, 1)
			rng := rand.New(rand.NewPCG(6, 6))
			_, trainable, err := NewAdapter(m, AdapterOptions{Kind: kind, Rank: 2, Target: flora.All})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range trainable.Params() {
				for i := range p.Mat.Data {
					p.Mat.Data[i] += float32(0.1 * rng.NormFloat64())
				}
			}
			params := trainable.Params()
			if kind == flora.DoRA { // the norms that its products are divided by have no gradient
				params = slices.DeleteFunc(params, func(p NamedParam) bool { return !strings.HasSuffix(p.Name, ".M") })
			}
			n := &network{ops: tensor.NewOps(ref.New()), model: m, adapter: trainable.Adapter()}
			checkGradients(t, n, params, smallBatch(m))
		})
	}
}

// TestAlphaScalesTheStep holds that α moves U by as much as it would scale B.
func TestAlphaScalesTheStep(t *testing.T) {
	for _, c := range []struct {
		kind  flora.Kind
		alpha float64
		want  float64
	}{{flora.LoRA, 8, 2}, {flora.RSLoRA, 8, 4}, {flora.DoRA, 2, 0.5}, {flora.LoRA, 0, 1}} {
		_, trainable, err := NewAdapter(newModel(t, 6, 12, 1), AdapterOptions{Kind: c.kind, Rank: 4, Target: flora.All, Alpha: c.alpha})
		if err != nil {
			t.Fatal(err)
		}
		params := trainable.Params()
		before := make(map[string]float32)
		for _, p := range params {
			before[p.Name] = p.Mat.Data[0]
			p.Mat.Grad().Data[0] = 1
		}
		optimizer := newAdamW(params, &Options{Beta1: 0.9, Beta2: 0.98, ClipNorm: 1e9})
		optimizer.step(0.25, 1)
		for _, p := range params {
			want := 0.25
			if strings.HasSuffix(p.Name, ".U") {
				want *= c.want
			}
			if got := float64(before[p.Name] - p.Mat.Data[0]); math.Abs(got-want) > 1e-5 {
				t.Errorf("%s, α %v: %s moved by %v, want %v", c.kind, c.alpha, p.Name, got, want)
			}
		}
	}
	for _, o := range []AdapterOptions{{Kind: flora.FLoRA, Alpha: 1}, {Kind: flora.LoRA, Alpha: -1}} {
		o.Rank, o.Target = 1, flora.All
		if _, _, err := NewAdapter(newModel(t, 6, 12, 1), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s, α %v: %v, want ErrOptions", o.Kind, o.Alpha, err)
		}
	}
}
