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

// ForwardAdd returns x plus the product with rows y (nRow, nIn). Where no tape records, the sum takes the place of x.
func (l *Linear) ForwardAdd(s *Step, x, y tensor.Mat) tensor.Mat {
	if s.Recording() {
		return s.Sum(x, l.Forward(s, y))
	}
	if s.Adapter == nil || !s.Adapter.LinearAdd(s, l, x, y) {
		s.LinearAddTo(x, y, &l.Weight, l.Bias, tensor.Scales{}, nil)
	}
	return x
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
type LayerNorm struct {
	Gamma, Beta tensor.Mat

	// Rounded lets the backend round the result to the format of the packed weights of those linears that alone read it.
	Rounded bool
}

// Forward returns the normalised rows of x (nRow, nState).
func (n *LayerNorm) Forward(s *Step, x tensor.Mat) tensor.Mat {
	return s.LayerNorm(x, n.Gamma, n.Beta, n.Rounded)
}

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

// ForwardAdd returns x plus the MLP of rows y (nRow, nState): see [Linear.ForwardAdd].
func (m *MLP) ForwardAdd(s *Step, x, y tensor.Mat) tensor.Mat {
	return m.FC2.ForwardAdd(s, x, m.FC1.ForwardGELU(s, y))
}
