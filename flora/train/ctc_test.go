package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// collapse returns the text of a path: repetitions merged, then blanks removed (Graves et al. 2006, §3.1).
func collapse(path []int32, blank int32) []int32 {
	var text []int32
	for i, k := range path {
		if k != blank && (i == 0 || k != path[i-1]) {
			text = append(text, k)
		}
	}
	return text
}

// enumerated returns -log P(text) as the sum over all paths.
func enumerated(logProb tensor.Mat, text []int32) float64 {
	path := make([]int32, logProb.Rows)
	var total float64
	var visit func(t int, logP float64)
	visit = func(t int, logP float64) {
		if t == len(path) {
			if equal(collapse(path, int32(logProb.Cols-1)), text) {
				total += math.Exp(logP)
			}
			return
		}
		for k := range logProb.Cols {
			path[t] = int32(k)
			visit(t+1, logP+float64(logProb.Row(t)[k]))
		}
	}
	visit(0, 0)
	return -math.Log(total)
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func randomMat(rng *rand.Rand, rows, cols int) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
	}
	return m
}

func TestCTCIsTheSumOverAllPaths(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		frames int
		text   []int32
	}{
		{1, []int32{0}}, {3, []int32{1}}, {4, []int32{0, 1}}, {5, []int32{1, 1}}, {3, []int32{2, 2}}, {6, []int32{0, 0, 2}},
		{7, []int32{0, 1, 2}}, {4, []int32{0, 1, 0, 1}},
	} {
		o := tensor.NewOps(ref.New())
		logProb := o.LogSoftmax(randomMat(rng, c.frames, 4))
		got, want := ctc(logProb, c.text).loss, enumerated(logProb, c.text)
		if math.Abs(got-want) > 1e-5*(1+want) {
			t.Errorf("%d frames, text %v: loss %v, by enumeration %v", c.frames, c.text, got, want)
		}
	}
}

// TestCTCScaledIsLogarithmic compares the two ways to the lattice, also where probabilities are as small as
// those of a network that says blank and little else.
func TestCTCScaledIsLogarithmic(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	o := tensor.NewOps(ref.New())
	for _, c := range []struct {
		frames, tokens int
		blank          float32 // what its logit has more
		scaled         bool    // it is to succeed
	}{
		{1, 1, 0, true}, {40, 1, 0, true}, {40, 20, 0, true}, {100, 20, 10, true}, {300, 40, 20, true}, {60, 60, 30, false}, {400, 200, -30, true},
	} {
		logits := randomMat(rng, c.frames, 50)
		for i := range logits.Rows {
			logits.Row(i)[49] += c.blank
		}
		text := make([]int32, c.tokens)
		for i := range text {
			text[i] = int32(i * 7 % 49)
		}
		logProb := o.LogSoftmax(logits)
		got := ctc(logProb, text)
		want := ctcPath{label: got.label, posterior: make([]float32, len(got.posterior))}
		want.logarithmic(logProb)
		if again := want; again.scaled(logProb) != c.scaled {
			t.Errorf("%+v: scaled %v", c, !c.scaled)
		}
		want.logarithmic(logProb)
		if math.Abs(got.loss-want.loss) > 1e-6*(1+math.Abs(want.loss)) {
			t.Errorf("%+v: loss %v, by logarithms %v", c, got.loss, want.loss)
		}
		for i, p := range got.posterior {
			if math.Abs(float64(p-want.posterior[i])) > 1e-5 {
				t.Fatalf("%+v: posterior of state %d at frame %d is %v, by logarithms %v", c, i%len(got.label), i/len(got.label), p, want.posterior[i])
			}
		}
	}
}

func TestCTCFeasible(t *testing.T) {
	for _, c := range []struct {
		text   []int32
		frames int
		want   bool
	}{
		{nil, 5, false}, {[]int32{1}, 1, true}, {[]int32{1, 1}, 2, false}, {[]int32{1, 1}, 3, true}, {[]int32{1, 2}, 2, true}, {[]int32{1, 2}, 1, false},
	} {
		if got := feasible(c.text, c.frames); got != c.want {
			t.Errorf("feasible(%v, %d) = %v", c.text, c.frames, got)
		}
	}
}

func TestCTCGradientIsTheFiniteDifference(t *testing.T) {
	const nClass, scale = 5, 0.5
	rng := rand.New(rand.NewPCG(2, 2))
	seg := tensor.NewSegments(6, 1, 4)
	text := [][]int32{{1, 1, 3}, {0, 2}, {2}} // the second has too few frames
	data := randomMat(rng, seg.Rows(), nClass).Data
	o := tensor.NewOps(ref.New())
	loss := func(logits tensor.Mat) (tensor.Mat, float64) {
		l, sum, _ := ctcLoss(o, logits, seg, text, scale)
		return l, sum
	}

	logits := tensor.NewParam(seg.Rows(), nClass, data)
	o.StartTape()
	l, _ := loss(logits)
	o.Backward(l)
	gradient := append([]float32(nil), logits.Grad().Data...)
	for i := range data {
		const step = 1.0 / 64
		before := data[i]
		data[i] = before + step
		_, up := loss(logits)
		data[i] = before - step
		_, down := loss(logits)
		data[i] = before
		want := scale * (up - down) / (2 * step)
		if math.Abs(float64(gradient[i])-want) > 1e-3 {
			t.Errorf("gradient of logit (%d, %d) is %v, by differences %v", i/nClass, i%nClass, gradient[i], want)
		}
		if row := i / nClass; row == 6 && gradient[i] != 0 {
			t.Errorf("an infeasible text has the gradient %v", gradient[i])
		}
	}
}
