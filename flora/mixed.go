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
	return n > 1 && !f.A.IsZero() && !f.B.IsZero() && !l.Weight.Mat.IsZero()
}

// mixed returns W' = W ∘ (h + Σ_k a_kᵀ b_k) (nOut, nIn).
func (f *Factors) mixed(s *whisper.Step, l *whisper.Linear) tensor.Mat {
	w := l.Weight.Mat
	each := make([]int32, w.Rows)
	for i := range each {
		each[i] = int32(i)
	}
	y := s.Scale(s.OuterSum(f.A, f.B), w, each)
	if f.Base {
		s.AddTo(&y, w)
	}
	return y
}
