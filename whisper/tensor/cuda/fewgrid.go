//go:build cuda && linux

package cuda

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// fewKernels are those of products of few rows of a format, by the rows of a block.
type fewKernels struct{ rows8, rows16, rows32, shrinkMany *driver.Kernel }

// fewOf returns the kernels of a format, nil where the device has none.
func (b *Backend) fewOf(dtype tensor.DType) *fewKernels {
	if k := ofFormat(dtype, &b.k.fewBF16, &b.k.fewF16); k != nil && k.rows8 != nil {
		return k
	}
	return nil
}

const (
	fewColumns  = 16   // of a block
	fewInner    = 1280 // terms of a block, about
	fewMaxParts = 4    // blocks that share a sum, at most
)

// fewGrid is how a launch divides products: see product.h.
type fewGrid struct {
	kernel *driver.Kernel
	rows   int // of a block
	parts  int // blocks that share a sum
}

// fewParts returns how many blocks share sums of so many terms. Nothing else may decide on it: a row has then the same bits, whatever
// stands beside it.
func fewParts(inner int) int { return min(max((inner+fewInner/2)/fewInner, 1), fewMaxParts) }

// grid chooses how products of so many rows and inner terms are divided.
func (k *fewKernels) grid(rows, inner int) fewGrid {
	parts := fewParts(inner)
	switch {
	case rows <= 8:
		return fewGrid{k.rows8, 8, parts}
	case rows <= 16:
		return fewGrid{k.rows16, 16, parts}
	}
	return fewGrid{k.rows32, 32, parts}
}

// fewProduct is one product of a launch. Its operand is narrow or, where it is scaled, will be.
type fewProduct struct {
	x, w, y, bias driver.Address
	in, out       driver.Address // scales
	low           lowArgs
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

// launchProducts appends it. Where there is no room, nothing is computed.
func (b *Backend) launchProducts(f *fewLaunch, g fewGrid) {
	var part, arrived driver.Address
	if g.parts > 1 {
		var ok bool
		tiles := f.n * blocks(f.cols, fewColumns) * blocks(f.rows, g.rows)
		if part, ok = b.room(&b.parts, 4*tiles*g.parts*g.rows*fewColumns); !ok {
			return
		}
		if arrived, ok = b.counters(tiles); !ok {
			return
		}
	}
	args := b.args[:0]
	for i := range f.products {
		p := &f.products[i]
		args = append(args, driver.Pointer(p.x), driver.Pointer(p.w), driver.Pointer(p.y), driver.Pointer(p.bias), driver.Pointer(p.out),
			driver.Pointer(p.low.z), driver.Pointer(p.low.entries), driver.Pointer(p.low.index), driver.Int32(p.low.most))
	}
	copy, copyFormat := f.copy.args()
	args = append(args, driver.Pointer(f.row), copy, copyFormat, driver.Pointer(part), driver.Pointer(arrived), driver.Int32(f.rows),
		driver.Int32(f.cols), driver.Int32(f.inner), driver.Int32(g.parts), truth(f.gelu), truth(f.add))
	b.args = args
	b.list.Launch(g.kernel, driver.Dim3{X: blocks(f.cols, fewColumns), Y: blocks(f.rows, g.rows), Z: f.n * g.parts},
		driver.Dim3{X: 256}, 0, args...)
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

// scaleFew appends the rounding of rows x, scaled for each of the products.
func (b *Backend) scaleFew(f *fewLaunch, x tensor.Mat, dtype tensor.DType) {
	p, n := &f.products, f.rows*f.inner/8
	b.launch(b.k.scaleFew, driver.Dim3{X: blocks(n, blockSize), Y: f.n}, driver.Pointer(p[0].x), driver.Pointer(p[1].x), driver.Pointer(p[2].x),
		driver.Pointer(p[0].in), driver.Pointer(p[1].in), driver.Pointer(p[2].in), pointer(x), driver.Pointer(f.row), format(dtype),
		driver.Int32(n), driver.Int32(f.inner/8))
}

// shrinkFew appends the products of low rank with rows x, of each of the products.
func (b *Backend) shrinkFew(f *fewLaunch, x tensor.Mat) {
	p, most := &f.products, 0
	for i := range f.n {
		most = max(most, p[i].low.most)
	}
	warps := min(most, 8)
	b.list.Launch(b.k.shrinkFew, driver.Dim3{X: f.rows, Y: blocks(most, warps), Z: f.n}, driver.Dim3{X: 32 * warps}, 0,
		driver.Pointer(p[0].low.z), driver.Pointer(p[1].low.z), driver.Pointer(p[2].low.z),
		driver.Pointer(p[0].low.entries), driver.Pointer(p[1].low.entries), driver.Pointer(p[2].low.entries),
		driver.Pointer(p[0].low.index), driver.Pointer(p[1].low.index), driver.Pointer(p[2].low.index),
		driver.Int32(p[0].low.most), driver.Int32(p[1].low.most), driver.Int32(p[2].low.most), pointer(x), driver.Int32(f.inner))
}
