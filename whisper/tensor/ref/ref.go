// Package ref is the reference backend: each method is its equation written as the obvious loops,
// serial, accumulating in float64 and rounding to float32 once. It is the yardstick that
// tensortest holds every other backend to, so it is never optimised.
package ref

import (
	"errors"
	"fmt"
	"math"

	"glossa/whisper/tensor"
)

// ErrDType is wrapped by the error of [Backend.Pack] for a number format other than F32.
var ErrDType = errors.New("ref: no kernel for the number format")

// Backend is the reference. It has no state, so any number of goroutines may use it.
type Backend struct{ tensor.PlainChooser }

var (
	_ tensor.Backend   = (*Backend)(nil)
	_ tensor.Gradients = (*Backend)(nil)
	_ tensor.Chooser   = (*Backend)(nil)
)

// New returns the reference backend.
func New() *Backend { return &Backend{} }

// Name returns "ref".
func (*Backend) Name() string { return "ref" }

// packed is a plain copy of a weight (nOut, nIn).
type packed struct{ w tensor.Mat }

func (p packed) Shape() (nOut, nIn int) { return p.w.Rows, p.w.Cols }

func (p packed) DType() tensor.DType { return tensor.F32 }

// Pack copies w. It returns an error that wraps [ErrDType] where dtype is not F32.
func (*Backend) Pack(w tensor.Mat, dtype tensor.DType) (tensor.Packed, error) {
	if dtype != tensor.F32 {
		return nil, fmt.Errorf("%w: pack (%d, %d) as %v", ErrDType, w.Rows, w.Cols, dtype)
	}
	c := tensor.Zeros(w.Rows, w.Cols)
	copy(c.Data, w.Data)
	return packed{c}, nil
}

// Linear computes y[i][j] = Σ_k x[i][k] w[j][k], rounded, + bias[j].
func (b *Backend) Linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	b.MatMul(y, x, w.(packed).w, tensor.TransB, false)
	if !bias.IsZero() {
		b.AddBias(y, y, bias)
	}
}

// MatMul computes c[i][j] = Σ_l op(a)[i][l] op(b)[l][j], on top of c[i][j] with accumulate.
func (*Backend) MatMul(c, a, b tensor.Mat, t tensor.Transpose, accumulate bool) {
	inner := a.Cols
	if t&tensor.TransA != 0 {
		inner = a.Rows
	}
	for i := range c.Rows {
		for j := range c.Cols {
			var sum float64
			if accumulate {
				sum = float64(c.Row(i)[j])
			}
			for l := range inner {
				sum += at(a, i, l, t&tensor.TransA != 0) * at(b, l, j, t&tensor.TransB != 0)
			}
			c.Row(i)[j] = float32(sum)
		}
	}
}

// at returns op(m)[i][j]: m[j][i] where transposed.
func at(m tensor.Mat, i, j int, transposed bool) float64 {
	if transposed {
		i, j = j, i
	}
	return float64(m.Data[i*m.Cols+j])
}

// Add computes y = a + b.
func (*Backend) Add(y, a, b tensor.Mat) {
	for i := range y.Data {
		y.Data[i] = a.Data[i] + b.Data[i]
	}
}

// Scale computes y[i] = x[i] ∘ s[row[i]].
func (*Backend) Scale(y, x, s tensor.Mat, row []int32) {
	for i := range x.Rows {
		scale := s.Row(index(row, i))
		for j, v := range x.Row(i) {
			y.Row(i)[j] = v * scale[j]
		}
	}
}

// index returns row[i], where a nil row stands for zeros.
func index(row []int32, i int) int {
	if row == nil {
		return 0
	}
	return int(row[i])
}

// AddBias computes y[i] = x[i] + bias.
func (*Backend) AddBias(y, x, bias tensor.Mat) {
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			y.Row(i)[j] = v + bias.Data[j]
		}
	}
}

// GELU computes y = x Φ(x), with Φ(x) = erfc(-x/√2) / 2 (Hendrycks & Gimpel 2016).
func (*Backend) GELU(y, x tensor.Mat) {
	for i, v := range x.Data {
		y.Data[i] = float32(float64(v) * normal(float64(v)))
	}
}

// normal returns Φ(x), the normal distribution function.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// Embed computes y[i] = table[id[i]].
func (*Backend) Embed(y, table tensor.Mat, id []int32) {
	for i, t := range id {
		copy(y.Row(i), table.Row(int(t)))
	}
}

// Unfold copies input row t*stride - (kernel-1)/2 + j of each sequence, or zeros where the
// sequence has none, to columns j*nChannel … of its output row t.
func (*Backend) Unfold(y, x tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	for s := range xSeg.Len() {
		xFrom, xTo := xSeg.Range(s)
		yFrom, yTo := ySeg.Range(s)
		for t := range yTo - yFrom {
			for j := range kernel {
				tap := y.Row(yFrom + t)[j*x.Cols : (j+1)*x.Cols]
				if u := xFrom + t*stride - (kernel-1)/2 + j; u >= xFrom && u < xTo {
					copy(tap, x.Row(u))
				} else {
					clear(tap)
				}
			}
		}
	}
}
