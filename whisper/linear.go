package whisper

import (
	"math"

	"glossa/whisper/tensor"
)

// Linear is y = x Wᵀ + b, the one seam at which adapters enter.
type Linear struct {
	Site   Site
	Weight tensor.Weight // (nOut, nIn)
	Bias   tensor.Mat    // (1, nOut), or the zero Mat: keys have no bias
}

// Forward returns the product with rows x (nRow, nIn), each sequence under its adapter.
func (l *Linear) Forward(s *Step, x tensor.Mat) tensor.Mat {
	if s.Adapter != nil {
		if y, ok := s.Adapter.Linear(s, l, x, false); ok {
			return y
		}
	}
	return s.Linear(x, &l.Weight, l.Bias)
}

// ForwardGELU returns GELU of the product with rows x.
func (l *Linear) ForwardGELU(s *Step, x tensor.Mat) tensor.Mat {
	if s.Adapter != nil {
		if y, ok := s.Adapter.Linear(s, l, x, true); ok {
			return y
		}
	}
	return s.LinearGELU(x, &l.Weight, l.Bias)
}

// LayerNorm normalises each row (Ba et al. 2016).
type LayerNorm struct{ Gamma, Beta tensor.Mat }

// Forward returns the normalised rows of x (nRow, nState).
func (n *LayerNorm) Forward(s *Step, x tensor.Mat) tensor.Mat { return s.LayerNorm(x, n.Gamma, n.Beta) }

// ranges returns how large the columns of normalised rows are: the root mean squares of rows whose
// normal numbers, before gamma and beta, are of mean 0 and variance 1.
func (n *LayerNorm) ranges() []float32 {
	r := make([]float32, n.Gamma.Cols)
	for i := range r {
		r[i] = float32(math.Hypot(float64(n.Gamma.Data[i]), float64(n.Beta.Data[i])))
	}
	return r
}

// MLP is fc2(GELU(fc1(x))).
type MLP struct{ FC1, FC2 Linear }

// Forward returns the MLP of rows x (nRow, nState).
func (m *MLP) Forward(s *Step, x tensor.Mat) tensor.Mat {
	return m.FC2.Forward(s, m.FC1.ForwardGELU(s, x))
}
