package flora

import (
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// mixes reports whether the terms are to be trained as one weight: by themselves they take a product each,
// and two more in the backward pass; a mixed weight takes three whatever their number.
func (f *Factors) mixes(l *whisper.Linear) bool {
	n := f.terms()
	if f.Base {
		n++
	}
	return n > 1 && !f.A.IsZero() && !f.B.IsZero() && l.Weight.Data != nil
}

// mixBlock is the rows or columns of a weight that one task mixes.
const mixBlock = 32

// eachBlock calls do for the blocks of 0 … n-1, several at once.
func eachBlock(s *whisper.Step, n int, do func(from, to int)) {
	s.Chooser().Each((n+mixBlock-1)/mixBlock, func(i int) { do(i*mixBlock, min((i+1)*mixBlock, n)) })
}

// mixed returns W' = W ∘ (h + Σ_k a_kᵀ b_k) (nOut, nIn). Its gradient becomes those of the factors:
// with T = ∂W' ∘ W, ∂a_k = b_k Tᵀ and ∂b_k = a_k T.
func (f *Factors) mixed(s *whisper.Step, l *whisper.Linear) tensor.Mat {
	w := l.Weight.Mat
	y := s.New(w.Rows, w.Cols)
	h := float32(0)
	if f.Base {
		h = 1
	}
	eachBlock(s, w.Rows, func(from, to int) {
		for i := from; i < to; i++ {
			row := y.Row(i)
			for j := range row {
				row[j] = h
			}
			for k := range f.terms() {
				addScaled(row, f.A.Row(k)[i], f.B.Row(k))
			}
			for j, v := range w.Row(i) {
				row[j] *= v
			}
		}
	})
	s.Record(&y, func() { f.unmix(s, w, s.Grad(y)) }, f.A, f.B)
	return y
}

// unmix adds to the gradients of A and B what dw, that of the mixed weight, which it spoils, makes of them.
func (f *Factors) unmix(s *whisper.Step, w, dw tensor.Mat) {
	da, db := s.Grad(f.A), s.Grad(f.B)
	eachBlock(s, w.Rows, func(from, to int) {
		for i := from; i < to; i++ {
			t := dw.Row(i)
			for j, v := range w.Row(i) {
				t[j] *= v
			}
			for k := range f.terms() {
				da.Row(k)[i] += dot(t, f.B.Row(k))
			}
		}
	})
	eachBlock(s, w.Cols, func(from, to int) {
		for i := range w.Rows {
			for k := range f.terms() {
				addScaled(db.Row(k)[from:to], f.A.Row(k)[i], dw.Row(i)[from:to])
			}
		}
	})
}

// addScaled sets y to y + a x.
func addScaled(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for j := range y {
		y[j] += a * x[j]
	}
}

// dot returns x · y, in four sums, for the processor adds into them at once.
func dot(x, y []float32) float32 {
	var s0, s1, s2, s3 float32
	for ; len(x) >= 4 && len(y) >= 4; x, y = x[4:], y[4:] {
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
	}
	for j, v := range x {
		s0 += v * y[j]
	}
	return s0 + s1 + s2 + s3
}
