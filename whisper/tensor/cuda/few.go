//go:build cuda && linux

package cuda

import (
	"slices"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

const (
	fewRows  = 128      // the most rows of a product by the kernels of product.h
	fewTerms = 32       // what their sums are divided into
	fewCols  = 16 << 10 // the most columns: those of vocabularies are cuBLAS's
)

// waitingProducts are linears of few rows of one operand, such as queries, keys and values, which wait for another one: all that the backend
// is called for, but such a linear, appends them first. There are none where n is 0.
type waitingProducts struct {
	fewLaunch
	k     *fewKernels
	x     tensor.Mat
	dtype tensor.DType
	bytes int // of rows times factors of low rank

	scaled bool    // the operand, by
	rowOf  []int32 // rows of scales
}

// few takes a linear of few rows, for one launch with what else has the same operand; !done where it is none for the kernels.
func (b *Backend) few(c *linearCall) (done bool) {
	k := b.fewOf(c.w.dtype)
	if k == nil || c.x.Rows > fewRows || c.w.nOut > fewCols || c.w.nIn%fewTerms != 0 || c.y.Rows*c.y.Cols*c.w.nIn == 0 ||
		!aligned(uintptr(c.w.at), c.x.Dev, c.scales.In.Dev) {
		b.flush()
		return false
	}
	b.widen(c.x)
	if c.add {
		b.widen(c.y)
	}
	low := &b.index.low
	if low.list(c.low); len(low.entries) == 0 {
		low.most = 0
	}
	if !b.joins(c, k, low.most) {
		b.flush()
		if !b.startFew(c, k, low.most) {
			return true
		}
	}
	f := &b.waiting
	p := &f.products[f.n]
	*p = fewProduct{w: c.w.at, y: address(c.y), bias: address(c.bias), in: address(c.scales.In), out: address(c.scales.Out)}
	p.x = f.products[0].x
	switch {
	case f.n == 0 && !f.scaled:
		var ok bool
		if p.x, ok = b.narrowed(c.x, f.dtype); !ok {
			return true
		}
		if p.x%16 != 0 { // a part of what was rounded as something else
			return false
		}
	case f.scaled:
		p.x = b.narrow.at + driver.Address(2*f.n*f.rows*f.inner)
	}
	if len(low.entries) > 0 {
		p.low = lowArgs{entries: stage(b, low.entries), index: stage(b, low.row), most: low.most}
		if low.most > 0 {
			p.low.z = b.ranks.at + driver.Address(f.bytes)
			f.bytes += rankBytes(f.rows, low.most)
		}
	}
	f.n++
	b.wrote(c.y)
	if f.gelu, f.add = c.gelu, c.add; c.gelu {
		f.copy = b.copyBeside(c.y)
	}
	if c.gelu || c.add {
		b.flush()
	}
	return true
}

// rankBytes returns the memory of rows times factors of low rank.
func rankBytes(rows, most int) int { return (4*rows*most + 15) &^ 15 }

// joins reports whether a linear can be computed with those that wait.
func (b *Backend) joins(c *linearCall, k *fewKernels, most int) bool {
	f := &b.waiting
	if f.n == 0 || f.n == len(f.products) || f.k != k || c.gelu || c.add ||
		f.x.Dev != c.x.Dev || f.rows != c.x.Rows || f.inner != c.w.nIn || f.cols != c.w.nOut ||
		f.scaled == c.scales.In.IsZero() || f.scaled && !slices.Equal(f.rowOf, c.scales.Row) || f.bytes+rankBytes(f.rows, most) > b.ranks.bytes {
		return false
	}
	size := driver.Address(4 * f.rows * f.cols)
	for _, p := range f.products[:f.n] {
		if y := address(c.y); y < p.y+size && p.y < y+size {
			return false
		}
	}
	return true
}

// startFew begins to wait with a linear; !ok where there is no room for what three of them need.
func (b *Backend) startFew(c *linearCall, k *fewKernels, most int) (ok bool) {
	f := &b.waiting
	*f = waitingProducts{k: k, x: c.x, dtype: c.w.dtype, scaled: !c.scales.In.IsZero(), rowOf: f.rowOf[:0],
		fewLaunch: fewLaunch{rows: c.x.Rows, cols: c.w.nOut, inner: c.w.nIn}}
	b.list.Hold()
	if _, ok = b.room(&b.ranks, len(f.products)*rankBytes(f.rows, most)); !ok || !f.scaled {
		return ok
	}
	f.rowOf = append(f.rowOf, c.scales.Row...)
	f.row = stage(b, c.scales.Row)
	b.copied = copied{}
	_, ok = b.room(&b.narrow, len(f.products)*2*f.rows*f.inner)
	return ok
}

// flush appends the linears that wait. It is called before anything else is appended, or run.
func (b *Backend) flush() {
	f := &b.waiting
	if f.n == 0 {
		return
	}
	if f.scaled {
		b.scaleFew(&f.fewLaunch, f.x, f.dtype)
	}
	if f.bytes > 0 {
		b.shrinkFew(&f.fewLaunch, f.x)
	}
	b.launchProducts(&f.fewLaunch, f.k.grid(f.rows, f.inner))
	f.n = 0
}

// copyBeside is copyRoom for a kernel that reads the buffer of narrow rows: another takes its place.
func (b *Backend) copyBeside(y tensor.Mat) narrowRows {
	b.narrow, b.beside, b.swapped = b.beside, b.narrow, !b.swapped
	return b.copyRoom(y)
}

// linearCall is a linear and all that belongs to it: y = gelu(out[row[i]] ∘ ((in[row[i]] ∘ x) wᵀ) + bias + low[i]), or y += that.
type linearCall struct {
	y, x   tensor.Mat
	w      *packed
	bias   tensor.Mat
	scales tensor.Scales
	low    []*tensor.LowRank
	gelu   bool
	add    bool
	left   narrowRows // where all of it is left in 16 bits alone: see leave
}
