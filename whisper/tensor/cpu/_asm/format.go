package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// panelFormat is the number format of the weights that a panel kernel multiplies by, for one
// instruction set. A step of the kernel takes terms terms of the inner dimension; a holds those of
// a row in aBytes, b those of a column in bBytes.
type panelFormat struct {
	isa
	format         string // of the names in package cpu
	terms          int
	aBytes, bBytes int
	integer        bool // accumulators are of int32, to be scaled
	products       int  // of the peak kernel's instruction, for its comment

	// outer adds one step of a tile.
	outer func(t *tile)

	// multiply adds the products of the lanes of a and b to acc. sum is free for its use.
	multiply func(c *build.Context, b, a, acc, sum reg.VecVirtual)
}

func (f panelFormat) suffix() string { return f.format + f.name }

// panelFormats are the kernels of matrix products. All formats of an instruction set have the same
// tile.
var panelFormats = []panelFormat{
	{isa: avx2, terms: 1, aBytes: 4, bBytes: 4, products: 8, outer: (*tile).outerLanes, multiply: multiplyF32},
	{isa: avx512, terms: 1, aBytes: 4, bBytes: 4, products: 16, outer: (*tile).outerLanes, multiply: multiplyF32},

	// Without a product of bfloat16 they are widened, and the activations are of float32.
	{isa: avx2, format: "BF16", terms: 2, aBytes: 8, bBytes: 4, products: 8, outer: (*tile).outerWidened, multiply: multiplyF32},
	{isa: avx512, format: "BF16", terms: 2, aBytes: 4, bBytes: 4, products: 32, outer: (*tile).outerLanes, multiply: multiplyBF16},

	// Without a product of bytes they are widened to 16 bits, as the activations are.
	{isa: avx2, format: "I8", terms: 2, aBytes: 4, bBytes: 2, products: 16, integer: true, outer: (*tile).outerLanes, multiply: multiplyI16},
	{isa: avxVNNI, format: "I8", terms: 4, aBytes: 4, bBytes: 4, products: 32, integer: true, outer: (*tile).outerLanes, multiply: multiplyI8VEX},
	{isa: avx512, format: "I8", terms: 4, aBytes: 4, bBytes: 4, products: 64, integer: true, outer: (*tile).outerLanes, multiply: multiplyI8},
}

func multiplyF32(c *build.Context, b, a, acc, _ reg.VecVirtual) { c.VFMADD231PS(b, a, acc) }

func multiplyBF16(c *build.Context, b, a, acc, _ reg.VecVirtual) {
	multiplyAdd(c, "VDPBF16PS", b, a, acc)
}

// multiplyI8 takes a as unsigned bytes.
func multiplyI8(c *build.Context, b, a, acc, _ reg.VecVirtual) {
	multiplyAdd(c, "VPDPBUSD", b, a, acc)
}

// multiplyI8VEX is multiplyI8 in the encoding of AVX-VNNI.
func multiplyI8VEX(c *build.Context, b, a, acc, _ reg.VecVirtual) {
	multiplyAdd(c, "VPDPBUSD_VEX", b, a, acc)
}

func multiplyI16(c *build.Context, b, a, acc, sum reg.VecVirtual) {
	c.VPMADDWD(b, a, sum)
	c.VPADDD(sum, acc, acc)
}
