package flora

import (
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// alone applies one adapter to all rows by the operations that its equation is made of. It is what is
// trained, since each of them has its gradient, and what the strategies of a [Batch] are held to.
type alone struct{ adapter *Adapter }

// Alone returns what the linears of model m call to have adapter a, for all sequences of a step whatever
// their index. It reads the factors at each call. The model needs its plain weights where a has
// magnitudes. On a device the factors are to be placed there: see [Adapter.Place]. The error is [ErrBase].
func Alone(m *whisper.Model, a *Adapter) (whisper.Adapter, error) {
	if err := a.Check(m); err != nil {
		return nil, err
	}
	return alone{a}, nil
}

// Linear returns what [Factors] has, or GELU of it.
func (t alone) Linear(s *whisper.Step, l *whisper.Linear, x tensor.Mat, gelu bool) (y tensor.Mat, ok bool) {
	f := t.adapter.Sites[l.Site]
	if f == nil {
		return tensor.Mat{}, false
	}
	bias := l.Bias
	if !f.M.IsZero() {
		bias = tensor.Mat{} // it comes behind the magnitude
	}
	y = f.sum(s, l, x, bias)
	if !f.U.IsZero() {
		s.AddTo(&y, f.product(s, x))
	}
	if !f.M.IsZero() {
		y = s.Scale(y, f.magnitude(s, l), nil)
		if !l.Bias.IsZero() {
			s.AddBiasTo(&y, l.Bias)
		}
	}
	if !f.D.IsZero() {
		s.AddBiasTo(&y, f.D)
	}
	if gelu {
		y = s.GELU(y)
	}
	return y, true
}

// sum returns h x Wᵀ + Σ_k a_k ∘ ((b_k ∘ x) Wᵀ) + bias.
func (f *Factors) sum(s *whisper.Step, l *whisper.Linear, x, bias tensor.Mat) (y tensor.Mat) {
	if s.Recording() && f.mixes(l) {
		return s.Linear(x, &tensor.Weight{Mat: f.mixed(s, l)}, bias)
	}
	if f.scales() {
		y = f.term(s, l, x, bias, 0)
	} else {
		y = s.Linear(x, &l.Weight, bias)
	}
	for k := f.further(); k < f.terms(); k++ {
		s.AddTo(&y, f.term(s, l, x, tensor.Mat{}, k))
	}
	return y
}

// term returns a_k ∘ ((b_k ∘ x) Wᵀ) + bias.
func (f *Factors) term(s *whisper.Step, l *whisper.Linear, x, bias tensor.Mat, k int) tensor.Mat {
	if !f.A.IsZero() && !f.B.IsZero() {
		return s.ScaledLinear(x, &l.Weight, bias, tensor.Scales{In: f.B.Slice(k, k+1), Out: f.A.Slice(k, k+1)})
	}
	if f.A.IsZero() {
		return s.Linear(s.Scale(x, f.B.Slice(k, k+1), nil), &l.Weight, bias)
	}
	if f.OnBias {
		return s.Scale(s.Linear(x, &l.Weight, bias), f.A.Slice(k, k+1), nil)
	}
	y := s.Scale(s.Linear(x, &l.Weight, tensor.Mat{}), f.A.Slice(k, k+1), nil)
	if !bias.IsZero() {
		s.AddBiasTo(&y, bias)
	}
	return y
}

// product returns (x Vᵀ) Uᵀ.
func (f *Factors) product(s *whisper.Step, x tensor.Mat) tensor.Mat {
	return s.Linear(s.Linear(x, &tensor.Weight{Mat: f.V}, tensor.Mat{}), &tensor.Weight{Mat: f.U}, tensor.Mat{})
}

// magnitude returns c = m / ‖W + U V‖ (1, nOut). The norms have no gradient (Liu et al. 2024, §4.3).
func (f *Factors) magnitude(s *whisper.Step, l *whisper.Linear) tensor.Mat {
	norms := f.norms(l.Weight.Mat)
	scales := make([]float32, len(norms))
	for i, m := range f.M.Data {
		scales[i] = m / norms[i]
	}
	c := s.Upload(1, len(norms), scales)
	s.Record(&c, func() {
		dc := s.Host(s.Grad(c))
		s.HostGrad(f.M, func(dm tensor.Mat, fresh bool) {
			if fresh {
				clear(dm.Data)
			}
			for i, n := range norms {
				dm.Data[i] += dc.Data[i] / n
			}
		})
	}, f.M)
	return c
}

// LinearAdd adds Linear to y.
func (t alone) LinearAdd(s *whisper.Step, l *whisper.Linear, y, x tensor.Mat) (ok bool) {
	z, ok := t.Linear(s, l, x, false)
	if ok {
		s.AddTo(&y, z)
	}
	return ok
}
