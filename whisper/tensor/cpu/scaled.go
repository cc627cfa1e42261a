package cpu

import "glossa/whisper/tensor"

// ScaledLinear computes y[i] = out[row[i]] ∘ ((in[row[i]] ∘ x[i]) wᵀ) + bias, or its GELU: a row is
// scaled as it is converted for the kernel, and the product as soon as a task has done its part, in
// its cache.
func (b *Backend) ScaledLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, gelu bool) {
	b.multiplyLinear(y, x, w.(*weight), bias, s, nil, gelu)
}

// operand returns row i of x, scaled, and balanced as the columns of the weight are.
func (p *linear) operand(w *worker, i int) []float32 {
	x := p.x.Row(i)
	if !p.scale.In.IsZero() {
		x = w.scaled(x, p.scale.In.Row(p.scale.RowOf(i)))
	}
	if p.w.inverse != nil {
		x = w.scaled(x, p.w.inverse)
	}
	return x
}

// scaled returns x ∘ s until the next call, of which x may be the last result.
func (w *worker) scaled(x, s []float32) []float32 {
	y := w.floats(scratchRows, len(x))
	w.kernels.mul(y, x, s)
	return y
}

// finish computes what follows the product of rows i0:i1 and columns j0:j1. A bias comes after the
// scales.
func (p *linear) finish(w *worker, i0, i1, j0, j1 int) {
	scaled := !p.scale.Out.IsZero()
	if !scaled && p.low == nil && !p.gelu {
		return
	}
	for i := i0; i < i1; i++ {
		row := p.y.Row(i)[j0:j1]
		if scaled {
			w.kernels.mul(row, row, p.scale.Out.Row(p.scale.RowOf(i))[j0:j1])
			if len(p.lateBias) > 0 {
				w.kernels.add(row, row, p.lateBias[j0:j1])
			}
		}
		if p.low != nil {
			p.expand(w, row, i, j0, j1)
		}
		if p.gelu {
			w.kernels.gelu(row, row)
		}
	}
}
