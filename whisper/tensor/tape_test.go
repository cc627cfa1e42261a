package tensor_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// weighted returns loss (1, 1) = Σ y ∘ r as an operation of the caller's own, and its value in
// float64, with r fixed numbers of both signs.
func weighted(o *tensor.Ops, y tensor.Mat) (loss tensor.Mat, value float64) {
	r := random(newRNG(99), y.Rows, y.Cols)
	for i, v := range y.Data {
		value += float64(v) * float64(r.Data[i])
	}
	loss = o.Upload(1, 1, []float32{float32(value)})
	o.Record(&loss, func() {
		dy, scale := o.Grad(y), o.Grad(loss).Data[0]
		for i, v := range r.Data {
			dy.Data[i] += scale * v
		}
	}, y)
	return loss, value
}

// function is an expression of parameters; values are their initial values.
type function func(o *tensor.Ops, p []tensor.Mat) tensor.Mat

// gradientsOf returns the gradients of Σ f(p) ∘ r by the tape, where only those parameters that
// wanted says are differentiable, and the zero Mat for the others.
func gradientsOf(f function, values []tensor.Mat, wanted func(i int) bool) []tensor.Mat {
	p := slices.Clone(values)
	for i, v := range values {
		if wanted(i) {
			p[i] = tensor.NewParam(v.Rows, v.Cols, v.Data)
		}
	}
	o := newOps()
	o.StartTape()
	loss, _ := weighted(o, f(o, p))
	o.Backward(loss)
	g := make([]tensor.Mat, len(p))
	for i := range p {
		g[i] = p[i].Grad()
	}
	return g
}

// difference returns ∂ Σ f(p) ∘ r / ∂x by the five-point formula, whose error is of order h⁴.
func difference(o *tensor.Ops, f function, p []tensor.Mat, x *float32) float64 {
	const h = 0.02
	at := func(x0, d float32) float64 {
		*x = x0 + d
		o.Reset()
		_, value := weighted(o, f(o, p))
		*x = x0
		return value
	}
	x0 := *x
	return (8*(at(x0, h)-at(x0, -h)) - (at(x0, 2*h) - at(x0, -2*h))) / (12 * h)
}

// checkGradients compares the gradients of f by the tape with finite differences, for all
// parameters together, and for each alone with the others frozen.
func checkGradients(t *testing.T, f function, values ...tensor.Mat) {
	t.Helper()
	const tolerance = 3e-4
	o := newOps()
	together := gradientsOf(f, values, func(int) bool { return true })
	for i, v := range values {
		alone := gradientsOf(f, values, func(k int) bool { return k == i })
		for k, g := range alone {
			if (k == i) == g.IsZero() {
				t.Fatalf("parameter %d differentiable: gradient of parameter %d absent: %t", i, k, g.IsZero())
			}
		}
		for j := range v.Data {
			want := difference(o, f, values, &v.Data[j])
			for what, g := range map[string]tensor.Mat{"together": together[i], "alone": alone[i]} {
				if got := float64(g.Data[j]); !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
					t.Fatalf("%s: gradient of parameter %d at %d is %g, by differences %g", what, i, j, got, want)
				}
			}
		}
	}
}

// TestGradients checks each recorded operation by finite differences.
func TestGradients(t *testing.T) {
	rng := newRNG(10)
	mat := func(rows, cols int) tensor.Mat { return random(rng, rows, cols) }
	index := []int32{2, 0, 2, 1, 2}
	for _, c := range []struct {
		name   string
		f      function
		values []tensor.Mat
	}{
		{"Linear", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			return o.Linear(p[0], &tensor.Weight{Mat: p[1]}, p[2])
		}, []tensor.Mat{mat(5, 3), mat(4, 3), mat(1, 4)}},
		{"Linear without bias", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			return o.Linear(p[0], &tensor.Weight{Mat: p[1]}, tensor.Mat{})
		}, []tensor.Mat{mat(5, 3), mat(4, 3)}},
		{"Sum", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.Sum(p[0], p[1]) },
			[]tensor.Mat{mat(3, 4), mat(3, 4)}},
		{"Sum with itself", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.Sum(p[0], p[0]) },
			[]tensor.Mat{mat(3, 4)}},
		{"AddTo a result", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			y := o.Sum(p[0], p[1])
			o.AddTo(&y, p[2])
			o.AddTo(&y, p[2])
			return y
		}, []tensor.Mat{mat(3, 4), mat(3, 4), mat(3, 4)}},
		{"AddTo what is frozen", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			y := o.Upload(3, 4, make([]float32, 12))
			o.AddTo(&y, p[0])
			o.AddTo(&y, o.GELU(p[0]))
			return y
		}, []tensor.Mat{mat(3, 4)}},
		{"OuterSum", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.OuterSum(p[0], p[1]) },
			[]tensor.Mat{mat(3, 4), mat(3, 5)}},
		{"OuterSum with itself", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.OuterSum(p[0], p[0]) },
			[]tensor.Mat{mat(3, 4)}},
		{"Scale", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.Scale(p[0], p[1], nil) },
			[]tensor.Mat{mat(5, 3), mat(1, 3)}},
		{"Scale by index", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.Scale(p[0], p[1], index) },
			[]tensor.Mat{mat(5, 3), mat(4, 3)}},
		{"AddBias", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.AddBias(p[0], p[1]) },
			[]tensor.Mat{mat(5, 3), mat(1, 3)}},
		{"LayerNorm", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.LayerNorm(p[0], p[1], p[2], false) },
			[]tensor.Mat{mat(4, 6), mat(1, 6), mat(1, 6)}},
		{"GELU", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.GELU(p[0]) }, []tensor.Mat{mat(4, 6)}},
		{"Embed", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat { return o.Embed(p[0], index) }, []tensor.Mat{mat(4, 3)}},
		{"Slice", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			y := o.GELU(p[0])
			return o.Sum(o.Sum(y.Slice(0, 3), p[0].Slice(2, 5)), y.Slice(1, 5).Slice(0, 3))
		}, []tensor.Mat{mat(5, 3)}},
		{"Scope", func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
			return o.Scope(func() tensor.Mat { return o.Sum(o.GELU(p[0]), p[0]) })
		}, []tensor.Mat{mat(4, 3)}},
	} {
		t.Run(c.name, func(t *testing.T) { checkGradients(t, c.f, c.values...) })
	}
}

// TestAttentionGradients checks ragged sequences, one without queries and two with the same keys.
func TestAttentionGradients(t *testing.T) {
	const nCol, nHead = 6, 2
	rng := newRNG(11)
	q, k, v, shared := random(rng, 7, nCol), random(rng, 6, nCol), random(rng, 6, nCol), random(rng, 3, nCol)
	for _, causal := range []bool{false, true} {
		t.Run(fmt.Sprintf("causal %t", causal), func(t *testing.T) {
			checkGradients(t, func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
				kv := []tensor.KeyValue{
					{K: p[1].Slice(0, 4), V: p[2].Slice(0, 4)},
					{K: p[1].Slice(4, 5), V: p[2].Slice(4, 5)},
					{K: p[3], V: p[3]},
					{K: p[1].Slice(4, 6), V: p[2].Slice(4, 6)},
					{K: p[3], V: p[3]},
				}
				return o.Attention(p[0], tensor.NewSegments(2, 0, 3, 1, 1), kv, nHead, causal)
			}, q, k, v, shared)
		})
	}
}

func TestUnfoldGradients(t *testing.T) {
	seg := tensor.NewSegments(4, 0, 1, 5)
	for _, stride := range []int{1, 2} {
		for _, kernel := range []int{1, 3, 5} {
			t.Run(fmt.Sprintf("kernel %d, stride %d", kernel, stride), func(t *testing.T) {
				checkGradients(t, func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
					y, ySeg := o.Unfold(p[0], seg, kernel, stride)
					if want := tensor.NewSegments((4+stride-1)/stride, 0, 1, (5+stride-1)/stride); !slices.Equal(ySeg, want) {
						t.Fatalf("segments %v, want %v", ySeg, want)
					}
					return y
				}, random(newRNG(12), 10, 2))
			})
		}
	}
}

func TestCrossEntropyGradients(t *testing.T) {
	for _, smoothing := range []float32{0, 0.1} {
		t.Run(fmt.Sprintf("smoothing %g", smoothing), func(t *testing.T) {
			checkGradients(t, func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
				loss, _ := o.CrossEntropy(p[0], []int32{5, 0, 1, 2}, []float32{0.3, 0.5, 0, 0.2}, smoothing)
				return loss
			}, random(newRNG(13), 4, 6))
		})
	}
}

// TestGradientsOfAComposition checks a decoder of one block, small but with all that makes a tape
// err: a table that embeds and is the output layer, one weight in two linears, a residual stream
// that is added to in place, slices as keys, and rows that several sequences share.
func TestGradientsOfAComposition(t *testing.T) {
	const nVocab, nState, nHead = 7, 4, 2
	rng := newRNG(14)
	id, target := []int32{3, 1, 4, 1, 6}, []int32{1, 4, 1, 6, 2}
	lengths := tensor.NewSegments(3, 2)
	checkGradients(t, func(o *tensor.Ops, p []tensor.Mat) tensor.Mat {
		table, twice, gamma, beta, scale := p[0], &tensor.Weight{Mat: p[1]}, p[2], p[3], p[4]
		x := o.Embed(table, id)
		y := o.LayerNorm(x, gamma, beta, false)
		k := o.Scale(o.Linear(y, twice, beta), scale, []int32{0, 0, 0, 1, 1})
		kv := []tensor.KeyValue{{K: k.Slice(0, 3), V: y.Slice(0, 3)}, {K: k.Slice(3, 5), V: y.Slice(3, 5)}}
		x = o.Sum(x, o.Attention(y, lengths, kv, nHead, true))
		h := o.Linear(o.GELU(x), twice, tensor.Mat{})
		o.AddTo(&h, x)
		logits := o.Linear(o.LayerNorm(h, gamma, beta, false), &tensor.Weight{Mat: table}, tensor.Mat{})
		loss, _ := o.CrossEntropy(logits, target, []float32{0.2, 0.2, 0, 0.3, 0.1}, 0.1)
		return loss
	}, random(rng, nVocab, nState), random(rng, nState, nState), random(rng, 1, nState), random(rng, 1, nState),
		random(rng, 2, nState))
}

// TestFrozenRecordsNothing checks that operations on frozen matrices have no gradient, and that
// their backward functions are never kept.
func TestFrozenRecordsNothing(t *testing.T) {
	rng, o := newRNG(15), newOps()
	frozen, param := random(rng, 2, 3), tensor.NewParam(2, 3, random(rng, 2, 3).Data)
	o.StartTape()
	y := o.Sum(frozen, frozen)
	if y.Differentiable() || frozen.Differentiable() || !y.Grad().IsZero() {
		t.Error("a sum of frozen matrices has a gradient")
	}
	o.Record(&y, func() { t.Error("ran the backward of an operation on frozen matrices") }, frozen)
	requirePanic(t, "nothing differentiable", func() { o.Backward(y) })
	z := o.Sum(y, param)
	o.Backward(z)
	if !frozen.Grad().IsZero() || !o.Grad(y).IsZero() {
		t.Error("Backward gave a frozen matrix a gradient")
	}
	if want := []float32{1, 1, 1, 1, 1, 1}; !slices.Equal(param.Grad().Data, want) {
		t.Errorf("gradient %v, want %v", param.Grad().Data, want)
	}
}

func TestResetEndsTheTape(t *testing.T) {
	o := newOps()
	p := tensor.NewParam(1, 2, []float32{3, 4})
	if y := o.Sum(p, p); y.Differentiable() {
		t.Error("recorded before StartTape")
	}
	o.StartTape()
	o.Backward(o.Sum(p, p))
	o.Reset()
	if want := []float32{2, 2}; !slices.Equal(p.Grad().Data, want) {
		t.Fatalf("gradient %v after Reset, want %v", p.Grad().Data, want)
	}
	if y := o.Sum(p, p); y.Differentiable() {
		t.Error("recorded after Reset")
	}
	o.StartTape()
	o.Backward(o.GELU(o.Scale(p, tensor.Zeros(1, 2), nil)))
	if want := []float32{2, 2}; !slices.Equal(p.Grad().Data, want) {
		t.Errorf("gradient %v after a step of gradient zero, want %v: did the first tape run again?", p.Grad().Data, want)
	}
	o.Reset()
	o.StartTape()
	o.Backward(o.Sum(p, p))
	if want := []float32{4, 4}; !slices.Equal(p.Grad().Data, want) {
		t.Errorf("gradient %v of two steps, want %v", p.Grad().Data, want)
	}
	p.ZeroGrad()
	if want := []float32{0, 0}; !slices.Equal(p.Grad().Data, want) {
		t.Errorf("gradient %v after ZeroGrad", p.Grad().Data)
	}
}

// TestGradientsStartAtZero checks that the gradients of a step do not see what an earlier step
// left in the arena.
func TestGradientsStartAtZero(t *testing.T) {
	o, p := newOps(), tensor.NewParam(2, 3, []float32{1, 2, 3, -1, -2, -3})
	run := func() []float32 {
		p.ZeroGrad()
		o.Reset()
		o.StartTape()
		y := o.GELU(p)
		o.Backward(o.Sum(y.Slice(0, 1), y.Slice(1, 2)))
		return slices.Clone(p.Grad().Data)
	}
	first, bytes := run(), o.Bytes()
	o.Reset()
	dirt := o.New(1000, 1)
	for i := range dirt.Data {
		dirt.Data[i] = float32(math.NaN())
	}
	if again := run(); !slices.Equal(first, again) {
		t.Errorf("gradient %v at first, then %v", first, again)
	}
	if o.Bytes() != bytes {
		t.Errorf("the arena grew from %d to %d bytes over equal training steps", bytes, o.Bytes())
	}
}

// inference is a backend without kernels for gradients.
type inference struct{ tensor.Backend }

func TestTapeNeedsGradients(t *testing.T) {
	o := tensor.NewOps(inference{ref.New()})
	requirePanic(t, "has no gradients", o.StartTape)
}
