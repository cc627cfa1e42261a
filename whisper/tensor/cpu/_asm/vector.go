package main

import (
	"go/token"
	"go/types"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is a vector width: what the generators of both instruction sets differ in.
type isa struct {
	name  string
	bytes int // of a vector
	mr    int // rows of the tile of a matrix product; it is two vectors wide
}

var (
	avx2   = isa{"AVX2", 32, 6}
	avx512 = isa{"AVX512", 64, 12}

	// avxVNNI is AVX2 with products of bytes, on processors without AVX-512.
	avxVNNI = isa{"AVXVNNI", 32, 6}
)

// vector returns a fresh vector register.
func (s isa) vector(c *build.Context) reg.VecVirtual {
	if s.bytes == 64 {
		return c.ZMM()
	}
	return c.YMM()
}

// zero sets v to zeros.
func (s isa) zero(c *build.Context, v reg.VecVirtual) {
	c.VXORPS(v, v, v)
}

// at returns the address base + offset.
func at(base reg.Register, offset int) operand.Mem { return operand.Mem{Base: base, Disp: offset} }

// indexed returns the address base + scale*index.
func indexed(base, index reg.Register, scale int) operand.Mem {
	if scale == 0 {
		return at(base, 0)
	}
	return operand.Mem{Base: base, Index: index, Scale: uint8(scale)}
}

// structArgument returns the signature func(name *typeName) for a struct of package cpu.
func structArgument(name, typeName string) *gotypes.Signature {
	named := types.NewNamed(types.NewTypeName(token.NoPos, nil, typeName, nil), types.NewStruct(nil, nil), nil)
	param := types.NewParam(token.NoPos, nil, name, types.NewPointer(named))
	return gotypes.NewSignature(nil, types.NewSignatureType(nil, nil, nil, types.NewTuple(param), nil, false))
}
