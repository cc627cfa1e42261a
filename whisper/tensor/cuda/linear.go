//go:build cuda && linux

package cuda

import (
	"fmt"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// packed is a weight (nOut, nIn) on the device, in rows of float32, bfloat16 or float16.
type packed struct {
	held
	nOut, nIn int
	dtype     tensor.DType
	results   bool // may be left in dtype: see RoundResults
}

// Shape returns the shape of the weight.
func (p *packed) Shape() (nOut, nIn int) { return p.nOut, p.nIn }

// DType returns the number format of the weight.
func (p *packed) DType() tensor.DType { return p.dtype }

// Pack copies a weight in host memory to the device. The error wraps [ErrFormat] for a format other than float32, bfloat16 and float16,
// and [tensor.ErrMemory] where there is no room. Finite numbers that float16 has not become its greatest, ±65504.
func (b *Backend) Pack(w tensor.Mat, dtype tensor.DType) (tensor.Packed, error) {
	if dtype != tensor.F32 && !isNarrow(dtype) {
		return nil, fmt.Errorf("%w: pack (%d, %d) as %v: this device has products of f32, bf16 and f16", ErrFormat, w.Rows, w.Cols, dtype)
	}
	p, err := b.newPacked(w.Rows, w.Cols, dtype)
	if err != nil {
		return nil, fmt.Errorf("pack (%d, %d) as %v: %w", w.Rows, w.Cols, dtype, err)
	}
	data := bytesOf(hostNumbers("weight", w))
	if isNarrow(dtype) {
		data = bytesOf(rounded(w.Data, dtype))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if isNarrow(dtype) {
		b.narrows = dtype
	}
	if err := b.fill(&p.held, 0, data); err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// hostNumbers returns the numbers of what is packed, which are in host memory.
func hostNumbers(what string, m tensor.Mat) []float32 {
	if len(m.Data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("cuda: %s (%d, %d) without numbers in host memory to be packed", what, m.Rows, m.Cols))
	}
	return m.Data
}

// newPacked returns memory for a weight.
func (b *Backend) newPacked(nOut, nIn int, dtype tensor.DType) (*packed, error) {
	p := &packed{nOut: nOut, nIn: nIn, dtype: dtype}
	return p, b.hold(&p.held, typeOf(dtype).Bytes()*nOut*nIn)
}

// product appends y = x wᵀ for x that may be scaled: s.In[row] ∘ x; or with add y += it, or where left is not nowhere it is there, in its format.
// !ok where there was no room. Where bias is not nil it may be added, and is then the zero Mat.
func (b *Backend) product(y, x tensor.Mat, left narrowRows, p *packed, s tensor.Scales, add bool, bias *tensor.Mat) (ok bool) {
	if y.Rows*y.Cols == 0 {
		return true
	}
	if x.Cols == 0 {
		if !add {
			b.zero(y)
		}
		return true
	}
	from := address(x)
	switch scaled := !s.In.IsZero(); {
	case scaled && isNarrow(p.dtype):
		b.copied = copied{}
		if from, ok = b.room(&b.narrow, 2*x.Rows*x.Cols); ok {
			b.finish(finished{copy: narrowRows{from, p.dtype}, x: x, scale: s.In, row: s.Row})
		}
	case scaled:
		b.copied = copied{}
		if from, ok = b.room(&b.narrow, 4*x.Rows*x.Cols); ok {
			b.finish(finished{y: tensor.Mat{Rows: x.Rows, Cols: x.Cols, Dev: uintptr(from)}, x: x, scale: s.In, row: s.Row})
		}
	case isNarrow(p.dtype):
		from, ok = b.narrowed(x, p.dtype)
	default:
		b.widen(x)
		ok = true
	}
	if !ok {
		return false
	}
	g := driver.Gemm{M: x.Rows, N: p.nOut, K: p.nIn, A: from, B: p.at, C: address(y), In: typeOf(p.dtype), Out: driver.F32, TransB: true, Alpha: 1}
	switch {
	case left.at != 0:
		g.C, g.Out = left.at, typeOf(left.dtype)
	case add:
		b.widen(y)
		g.Beta = 1
		b.wrote(y)
	default:
		b.wrote(y)
	}
	if bias != nil && isNarrow(p.dtype) && b.list.Biased(driver.Biased{
		M: g.M, N: g.N, K: g.K, A: g.A, B: g.B, C: g.C, Bias: address(*bias), In: g.In, Beta: g.Beta}) {
		*bias = tensor.Mat{}
		return true
	}
	b.list.Gemm(g)
	return true
}

// Linear computes y = x wᵀ + bias.
func (b *Backend) Linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	b.linear(&linearCall{y: y, x: x, w: w.(*packed), bias: bias})
}

// LinearGELU computes y = GELU(x wᵀ + bias).
func (b *Backend) LinearGELU(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	b.linear(&linearCall{y: y, x: x, w: w.(*packed), bias: bias, gelu: true})
}

// ScaledLinear computes y[i] = out[row[i]] ∘ ((in[row[i]] ∘ x[i]) wᵀ) + bias, and with gelu GELU of that.
func (b *Backend) ScaledLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, gelu bool) {
	b.linear(&linearCall{y: y, x: x, w: w.(*packed), bias: bias, scales: s, gelu: gelu})
}

// LowRankLinear computes ScaledLinear, or Linear where s is the zero Scales, with low[i] added to row i before GELU.
func (b *Backend) LowRankLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu bool) {
	b.linear(&linearCall{y: y, x: x, w: w.(*packed), bias: bias, scales: s, low: low, gelu: gelu})
}

// LinearAdd adds to y what LowRankLinear computes.
func (b *Backend) LinearAdd(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank) {
	b.linear(&linearCall{y: y, x: x, w: w.(*packed), bias: bias, scales: s, low: low, add: true})
}

func (b *Backend) linear(c *linearCall) {
	b.mu.Lock()
	defer b.end()
	if b.few(c) || c.y.Rows*c.y.Cols == 0 {
		return
	}
	if b.leaves(c) {
		c.left = b.leave(c.y, c.w.dtype)
	}
	b.many(c)
}

// leaves reports whether the result of a linear is left in the format of its weight.
func (b *Backend) leaves(c *linearCall) bool {
	return !c.add && c.w.results && c.y.Rows >= manyRows && c.x.Cols > 0
}

// many appends a linear by a product of cuBLAS and what is to be done to that.
func (b *Backend) many(c *linearCall) {
	f := finished{y: c.y, x: c.y, scale: c.scales.Out, row: c.scales.Row, bias: c.bias, gelu: c.gelu}
	left := c.left.at != 0
	switch {
	case c.add && (!f.scale.IsZero() || c.low != nil): // apart, for what is done to it before it is added
		at, ok := b.room(&b.products, 4*c.y.Rows*c.y.Cols)
		if !ok {
			return
		}
		f.x.Dev, f.add = uintptr(at), true
		b.widen(c.y)
		b.wrote(c.y)
	case left:
		f.y, f.copy = tensor.Mat{}, c.left
	}
	var early *tensor.Mat // the bias, where nothing else is left to be done
	if !f.bias.IsZero() && f.scale.IsZero() && c.low == nil && !f.gelu && !left && c.x.Rows >= manyRows {
		early = &f.bias
	}
	if !b.product(f.x, c.x, c.left, c.w, c.scales, c.add && !f.add, early) {
		return
	}
	if c.low != nil {
		b.addLowRank(f, c.x, c.low)
		return
	}
	if f.scale.IsZero() && f.bias.IsZero() && !f.gelu && !f.add {
		return
	}
	if f.gelu && !left {
		f.copy = b.copyRoom(c.y)
	}
	b.finish(f)
}

// MatMul computes c = op(a) op(b), or c += op(a) op(b), in float32.
func (b *Backend) MatMul(c, a, d tensor.Mat, t tensor.Transpose, accumulate bool) {
	b.begin()
	defer b.end()
	if g, ok := b.gemm(c, a, d, t, accumulate); ok {
		b.list.Gemm(g)
	}
}

// gemm describes a product of float32; !ok where nothing is left to do.
func (b *Backend) gemm(c, a, d tensor.Mat, t tensor.Transpose, accumulate bool) (g driver.Gemm, ok bool) {
	b.wrote(c)
	inner := a.Cols
	if t&tensor.TransA != 0 {
		inner = a.Rows
	}
	if c.Rows*c.Cols == 0 {
		return g, false
	}
	if inner == 0 {
		if !accumulate {
			b.zero(c)
		}
		return g, false
	}
	g = driver.Gemm{M: c.Rows, N: c.Cols, K: inner, A: address(a), B: address(d), C: address(c), In: driver.F32, Out: driver.F32,
		TransA: t&tensor.TransA != 0, TransB: t&tensor.TransB != 0, Alpha: 1}
	if accumulate {
		g.Beta = 1
	}
	return g, true
}
