//go:build cuda && linux

package cuda

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

const (
	fewRows     = 128  // the most rows of a product by the kernels of product.h
	fewTerms    = 32   // what their sums are divided into
	fewInner    = 1280 // terms of a block, about
	fewMaxParts = 4    // blocks that share a sum, at most
	fewMaxCols  = 16 << 10
)

// fewKernels are those of products of few rows of a format, by the columns of a warp and the rows of a block.
type fewKernels struct{ k16x8, k16x16, k16x32, k32x32, k16x64, k32x64 *driver.Kernel }

// fewOf returns the kernels of a format, nil where the device has none.
func (b *Backend) fewOf(dtype tensor.DType) *fewKernels {
	k := &b.k.fewBF16
	switch dtype {
	case tensor.F32:
		return nil
	case tensor.F16:
		k = &b.k.fewF16
	}
	if k.k16x8 == nil {
		return nil
	}
	return k
}

// fewGrid is how a launch divides products: see product.h.
type fewGrid struct {
	kernel        *driver.Kernel
	columns, rows int // of a block
	sides         int // warps beside each other in it
	parts         int // blocks that share a sum
}

// fewParts returns how many blocks share sums of so many terms. Nothing else may decide on it: a row has then the same bits, whatever
// stands beside it.
func fewParts(inner int) int { return min(max((inner+fewInner/2)/fewInner, 1), fewMaxParts) }

// grid chooses how n products (rows, cols) of inner terms are divided: large blocks read the least, as long as there are enough of them.
func (k *fewKernels) grid(n, rows, cols, inner int) fewGrid {
	g := fewGrid{parts: fewParts(inner)}
	enough := func(columns, least int) bool { return n*g.parts*blocks(cols, columns)*blocks(rows, g.rows) >= least }
	one, two := k.k16x64, k.k32x64
	switch g.rows = 64; {
	case rows <= 8:
		g.rows, one, two = 8, k.k16x8, nil
	case rows <= 16:
		g.rows, one, two = 16, k.k16x16, nil
	case rows <= 32:
		g.rows, one, two = 32, k.k16x32, k.k32x32
	}
	switch {
	case two != nil && enough(64, fewBlocks):
		g.kernel, g.columns, g.sides = two, 64, 2
	case two != nil && enough(32, fewBlocks), two == nil && enough(32, 2*fewBlocks):
		g.kernel, g.columns, g.sides = one, 32, 2
	default:
		g.kernel, g.columns, g.sides = one, 16, 1
	}
	return g
}

// fewBlocks are enough to have the memory's rate.
const fewBlocks = 72

// fewProduct is one product of a launch.
type fewProduct struct {
	x, w, y, bias, scale driver.Address
	low                  lowArgs
}

// lowArgs are what kernels are told of products of low rank.
type lowArgs struct {
	z, entries, index driver.Address
	most              int
}

// fewLaunch is up to three products of as many rows, columns and terms, by one kernel.
type fewLaunch struct {
	products          [3]fewProduct
	n                 int
	rows, cols, inner int
	row               driver.Address // of scales
	copy              narrowRows
	gelu, add         bool
}

// launchProducts appends it; !ok where there was no room.
func (b *Backend) launchProducts(f *fewLaunch, g fewGrid) (ok bool) {
	var part, arrived driver.Address
	tiles := f.n * blocks(f.cols, g.columns) * blocks(f.rows, g.rows)
	if g.parts > 1 {
		if part, ok = b.room(&b.parts, 4*tiles*g.parts*g.rows*g.columns); !ok {
			return false
		}
		if arrived, ok = b.counters(tiles); !ok {
			return false
		}
	}
	args := b.args[:0]
	for i := range f.products {
		p := &f.products[i]
		args = append(args, driver.Pointer(p.x), driver.Pointer(p.w), driver.Pointer(p.y), driver.Pointer(p.bias), driver.Pointer(p.scale),
			driver.Pointer(p.low.z), driver.Pointer(p.low.entries), driver.Pointer(p.low.index), driver.Int32(p.low.most))
	}
	copy, copyFormat := f.copy.args()
	args = append(args, driver.Pointer(f.row), copy, copyFormat, driver.Pointer(part), driver.Pointer(arrived), driver.Int32(f.rows),
		driver.Int32(f.cols), driver.Int32(f.inner), driver.Int32(g.parts), truth(f.gelu), truth(f.add))
	b.args = args
	b.list.Launch(g.kernel, driver.Dim3{X: blocks(f.cols, g.columns), Y: blocks(f.rows, g.rows), Z: f.n * g.parts},
		driver.Dim3{X: 128 * g.sides}, 0, args...)
	return true
}

// counters returns n counters of blocks, which are 0 whenever no kernel runs.
func (b *Backend) counters(n int) (at driver.Address, ok bool) {
	had := b.arrived.bytes
	at, ok = b.room(&b.arrived, 4*n)
	if ok && b.arrived.bytes != had {
		b.list.Set(at, 0, b.arrived.bytes)
	}
	return at, ok
}

// few appends a linear of few rows by one kernel and what its operand needs; !done where it is none for that, and nothing was appended.
func (b *Backend) few(c linearCall) (done bool) {
	k := b.fewOf(c.w.dtype)
	if k == nil || c.x.Rows > fewRows || c.w.nIn%fewTerms != 0 || c.w.nIn == 0 || uintptr(c.w.at)%16 != 0 || c.w.nOut > fewMaxCols || c.y.Rows*c.y.Cols == 0 {
		return false
	}
	f := fewLaunch{n: 1, rows: c.x.Rows, cols: c.w.nOut, inner: c.w.nIn, gelu: c.gelu, add: c.add}
	p := &f.products[0]
	var ok bool
	if p.x, ok = b.fewOperand(&c); !ok {
		return true
	}
	if p.x%16 != 0 {
		return false
	}
	p.w, p.y, p.bias = c.w.at, address(c.y), address(c.bias)
	if !c.scales.In.IsZero() {
		p.scale, f.row = address(c.scales.Out), stage(b, c.scales.Row)
	}
	if p.low, ok = b.shrinkLow(c.x, c.low); !ok {
		return true
	}
	b.wrote(c.y)
	if c.gelu {
		f.copy = b.copyBeside(c.y)
	}
	b.launchProducts(&f, k.grid(f.n, f.rows, f.cols, f.inner))
	return true
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
}

// fewOperand returns the rows of an operand, scaled where it is, in the format of the weight.
func (b *Backend) fewOperand(c *linearCall) (at driver.Address, ok bool) {
	if c.scales.In.IsZero() {
		return b.narrowed(c.x, c.w.dtype)
	}
	b.copied = copied{}
	if at, ok = b.room(&b.narrow, 2*c.x.Rows*c.x.Cols); ok {
		b.finish(finished{copy: narrowRows{at, c.w.dtype}, x: c.x, scale: c.scales.In, row: c.scales.Row})
	}
	return at, ok
}

// copyBeside is copyRoom for a kernel that reads the buffer of narrow rows: another takes its place.
func (b *Backend) copyBeside(y tensor.Mat) narrowRows {
	b.narrow, b.beside = b.beside, b.narrow
	return b.copyRoom(y)
}

// shrinkLow appends z = x vᵀ of products of low rank, and returns what is to be told of them; !ok where there was no room.
func (b *Backend) shrinkLow(x tensor.Mat, low []*tensor.LowRank) (args lowArgs, ok bool) {
	if low == nil {
		return lowArgs{}, true
	}
	t := &b.index.low
	t.list(low)
	if len(t.entries) == 0 {
		return lowArgs{}, true
	}
	args.entries, args.index, args.most = stage(b, t.entries), stage(b, t.row), t.most
	if t.most == 0 {
		return args, true
	}
	if args.z, ok = b.room(&b.ranks, 4*x.Rows*t.most); !ok {
		return lowArgs{}, false
	}
	b.list.Launch(b.k.shrink, driver.Dim3{X: blocks(x.Rows, 4), Y: blocks(t.most, 8)}, driver.Dim3{X: 512}, 0, driver.Pointer(args.z),
		pointer(x), driver.Pointer(args.entries), driver.Pointer(args.index), driver.Int32(x.Rows), driver.Int32(x.Cols), driver.Int32(t.most))
	return args, true
}
