package flora_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestDoRAGradientsHoldTheNorms compares the gradients of DoRA's products with differences of
//
//	y = m/n ∘ (W + U V) x + bias
//
// in which n = ‖W + U V‖ stays what it was (Liu et al. 2024, §4.3, eq. 11).
func TestDoRAGradientsHoldTheNorms(t *testing.T) {
	b := ref.New()
	m := goldentest.Tiny(t, b, 9)
	rng := rand.New(rand.NewPCG(3, 3))
	a, err := flora.New(m, "dora", flora.DoRA, 2, flora.All, rng)
	if err != nil {
		t.Fatal(err)
	}
	l := m.Linears()[0]
	f := a.Sites[l.Site]
	for _, p := range []tensor.Mat{f.U, f.V, f.M} {
		for i := range p.Data {
			p.Data[i] += float32(0.3 * rng.NormFloat64())
		}
	}
	alone, err := flora.Alone(m, a)
	if err != nil {
		t.Fatal(err)
	}
	random := func(rows, cols int) tensor.Mat {
		x := tensor.Zeros(rows, cols)
		for i := range x.Data {
			x.Data[i] = float32(rng.NormFloat64())
		}
		return x
	}
	x, g := random(3, l.Weight.Cols), random(1, l.Weight.Rows)
	o := tensor.NewOps(b)
	o.StartTape()
	y, _ := alone.Linear(&whisper.Step{Ops: o}, l, x, false)
	o.Backward(o.Scale(y, g, nil))

	norms := rowNorms(l.Weight.Mat, f)
	loss := func() float64 { return doraLoss(l, f, x, g, norms) }
	for name, p := range map[string]tensor.Mat{"U": f.U, "V": f.V} {
		for i := range p.Data {
			const step = 0.125 // the loss is linear in each element
			before := p.Data[i]
			p.Data[i] = before + step
			above := loss()
			p.Data[i] = before - step
			want := (above - loss()) / (2 * step)
			p.Data[i] = before
			if got := float64(p.Grad().Data[i]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
				t.Fatalf("gradient of %s, element %d, is %v, by differences %v", name, i, got, want)
			}
		}
	}
}

// adaptedRow returns row i of W + U V.
func adaptedRow(w tensor.Mat, f *flora.Factors, i int) []float64 {
	row := make([]float64, w.Cols)
	for j, v := range w.Row(i) {
		row[j] = float64(v)
		for k, u := range f.U.Row(i) {
			row[j] += float64(u) * float64(f.V.Row(k)[j])
		}
	}
	return row
}

func rowNorms(w tensor.Mat, f *flora.Factors) []float64 {
	norms := make([]float64, w.Rows)
	for i := range norms {
		for _, v := range adaptedRow(w, f, i) {
			norms[i] += v * v
		}
		norms[i] = math.Sqrt(norms[i])
	}
	return norms
}

// doraLoss returns the sum of g ∘ y over the rows of x.
func doraLoss(l *whisper.Linear, f *flora.Factors, x, g tensor.Mat, norms []float64) (loss float64) {
	for i, n := range norms {
		w := adaptedRow(l.Weight.Mat, f, i)
		for t := range x.Rows {
			var y float64
			for j, v := range x.Row(t) {
				y += w[j] * float64(v)
			}
			y *= float64(f.M.Data[i]) / n
			if !l.Bias.IsZero() {
				y += float64(l.Bias.Data[i])
			}
			loss += float64(g.Data[i]) * y
		}
	}
	return loss
}
