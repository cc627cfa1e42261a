package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestGuideGradientIsTheFiniteDifference checks the gradients of queries and keys of two heads of a layer that looks for the
// given token and one of a layer that looks for the next, over utterances of which one has no path.
func TestGuideGradientIsTheFiniteDifference(t *testing.T) {
	const nHead, nState, scale = 2, 6, 0.5
	rng := rand.New(rand.NewPCG(3, 3))
	tokens, frames := tensor.NewSegments(4, 2, 3), tensor.NewSegments(5, 2, 7)
	spans := [][2]int32{{}, {0, 2}, {1, 3}, {-1, -1}, {0, 1}, {}, {0, 1}, {}, {1, 2}}
	paths := make([]ctcPath, 3)
	for _, i := range []int{0, 2} {
		from, to := frames.Range(i)
		paths[i] = ctc(tensor.NewOps(ref.New()).LogSoftmax(randomMat(rng, to-from, 5)), []int32{1, 3, 2})
	}
	const nLayer = 2
	var queries, keys [nLayer]tensor.Mat
	for l := range nLayer {
		queries[l] = tensor.NewParam(tokens.Rows(), nState, randomMat(rng, tokens.Rows(), nState).Data)
		keys[l] = tensor.NewParam(frames.Rows(), nState, randomMat(rng, frames.Rows(), nState).Data)
	}
	o := tensor.NewOps(ref.New())
	loss := func() (tensor.Mat, float64) {
		g := &guide{heads: [][2]int{{0, 0}, {0, 1}, {1, 1}}, nHead: nHead, given: 1}
		for l := range nLayer {
			var kv []tensor.KeyValue
			for i := range paths {
				kv = append(kv, tensor.KeyValue{K: keys[l].Slice(frames.Range(i))})
			}
			g.watch(l, queries[l], kv)
		}
		l, _ := g.loss(o, tokens, spans, paths, scale)
		return l, float64(l.Data[0])
	}
	o.StartTape()
	l, _ := loss()
	o.Backward(l)
	for layer := range nLayer {
		for name, m := range map[string]tensor.Mat{"query": queries[layer], "key": keys[layer]} {
			gradient := append([]float32(nil), m.Grad().Data...)
			moved := false
			for i := range m.Data {
				const step = 1.0 / 64
				before := m.Data[i]
				m.Data[i] = before + step
				_, up := loss()
				m.Data[i] = before - step
				_, down := loss()
				m.Data[i] = before
				want := (up - down) / (2 * step)
				if math.Abs(float64(gradient[i])-want) > 2e-3 {
					t.Errorf("%s of layer %d: gradient %d is %v, by differences %v", name, layer, i, gradient[i], want)
				}
				moved = moved || gradient[i] != 0
			}
			if !moved {
				t.Errorf("%s of layer %d has no gradient", name, layer)
			}
		}
	}
}

// TestGuideTargetsAreWhereCTCHears checks the weights of a row that spells two units.
func TestGuideTargetsAreWhereCTCHears(t *testing.T) {
	p := ctcPath{label: []int32{9, 1, 9, 2, 9}, posterior: []float32{
		0.5, 0.5, 0, 0, 0,
		0, 0.5, 0.5, 0, 0,
		0, 0, 0, 1, 0,
	}}
	for i, want := range []float32{0.25, 0.25, 0.5} {
		if got := p.heard(0, 2, 3)[i]; got != want {
			t.Errorf("frame %d: %v, want %v", i, got, want)
		}
	}
	if p.heard(1, 1, 3) != nil || p.heard(-1, -1, 3) != nil {
		t.Error("no units are heard somewhere")
	}
}
