package flora

import (
	"fmt"
	"math"
	"slices"

	"glossa/whisper/tensor"
)

// Factors adapt one linear of weight W (nOut, nIn) and bias: rows x (nRow, nIn) become
//
//	y = c ∘ (h x Wᵀ + Σ_k a_k ∘ ((b_k ∘ x) Wᵀ) + (x Vᵀ) Uᵀ) + bias + d
//
// that is, the weight is W' = diag(c) (h W + Σ_k diag(a_k) W diag(b_k) + U V). Factors that a kind does
// not have are the zero Mat.
type Factors struct {
	Base bool // h is 1, else 0

	// A (ρ, nOut) and B (ρ, nIn) have the scales of the terms, a_k and b_k their rows. One of the two
	// that is the zero Mat stands for ones.
	A, B tensor.Mat

	U, V tensor.Mat // (nOut, r), (r, nIn): the added product, its scale in U

	// OnBias: A, of one term, scales the bias too, as IA3 does.
	OnBias bool

	// M (1, nOut) is the magnitude m of DoRA: c is m / ‖W + U V‖, norms of rows. The zero Mat: c is 1.
	M tensor.Mat

	D tensor.Mat // (1, nOut): what is added to the bias
}

// namedFactor is one of the matrices of Factors.
type namedFactor struct {
	name string
	mat  *tensor.Mat
}

// parts returns the matrices in a fixed order, those that are not there included.
func (f *Factors) parts() []namedFactor {
	return []namedFactor{{"A", &f.A}, {"B", &f.B}, {"U", &f.U}, {"V", &f.V}, {"M", &f.M}, {"D", &f.D}}
}

// terms returns ρ.
func (f *Factors) terms() int { return max(f.A.Rows, f.B.Rows) }

// fit reports what does not fit a weight (nOut, nIn), or each other.
func (f *Factors) fit(nOut, nIn int) error {
	rank := max(f.U.Cols, f.V.Rows)
	for _, p := range []struct {
		name       string
		mat        tensor.Mat
		rows, cols int
	}{
		{"A", f.A, f.terms(), nOut}, {"B", f.B, f.terms(), nIn}, {"U", f.U, nOut, rank}, {"V", f.V, rank, nIn},
		{"M", f.M, 1, nOut}, {"D", f.D, 1, nOut},
	} {
		if !p.mat.IsZero() && (p.mat.Rows != p.rows || p.mat.Cols != p.cols) {
			return fmt.Errorf("%s is (%d, %d), want (%d, %d) for a linear (%d, %d)", p.name, p.mat.Rows, p.mat.Cols, p.rows, p.cols, nOut, nIn)
		}
	}
	return nil
}

// withBias returns factors that do the same to a linear of the given bias but leave the bias itself as it is:
// (a - 1) ∘ bias is in D.
func (f *Factors) withBias(bias tensor.Mat) *Factors {
	if !f.OnBias {
		return f
	}
	g := *f
	g.OnBias = false
	if bias.IsZero() {
		return &g
	}
	d := tensor.Zeros(1, bias.Cols)
	copy(d.Data, f.D.Data)
	for i, b := range bias.Data {
		d.Data[i] += (f.A.Data[i] - 1) * b
	}
	if slices.ContainsFunc(d.Data, func(v float32) bool { return v != 0 }) {
		g.D = d
	}
	return &g
}

// folded returns factors that do the same without a magnitude: c is the scales of a term, and taken
// into U. norms are those of the rows of W + U V.
func (f *Factors) folded(norms []float32) *Factors {
	c := tensor.Zeros(1, f.M.Cols)
	for i, m := range f.M.Data {
		c.Data[i] = m / norms[i]
	}
	g := &Factors{A: c, U: tensor.NewMat(f.U.Rows, f.U.Cols, slices.Clone(f.U.Data)), V: f.V, D: f.D}
	for i := range g.U.Rows {
		for k := range g.U.Cols {
			g.U.Row(i)[k] *= c.Data[i]
		}
	}
	return g
}

// norms returns ‖w_i + u_i V‖ for the rows w_i of W.
func (f *Factors) norms(w tensor.Mat) []float32 {
	norms := make([]float32, w.Rows)
	sum := make([]float32, w.Cols)
	for i := range norms {
		copy(sum, w.Row(i))
		for k, u := range f.U.Row(i) {
			for j, v := range f.V.Row(k) {
				sum[j] += u * v
			}
		}
		var square float64
		for _, v := range sum {
			square += float64(v) * float64(v)
		}
		norms[i] = float32(math.Sqrt(square))
	}
	return norms
}
