package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposes generates the transposition of 8 rows in blocks of 8 columns: pairs, then quarters,
// then halves of the registers are exchanged.
func transposes(c *build.Context) {
	c.Function("transposeAVX2")
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func(dst *float32, ldDst int, src *float32, ldSrc, k int)")
	c.Pragma("noescape")
	c.Doc(
		"transposeAVX2 computes, for k a multiple of 8,",
		"",
		"\tfor i := range 8 {",
		"\t\tfor p := range k {",
		"\t\t\tdst[p*ldDst+i] = src[i*ldSrc+p]",
		"\t\t}",
		"\t}",
	)
	dst, ldDst := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("ldDst"), c.GP64())
	src, ldSrc := c.Load(c.Param("src"), c.GP64()), c.Load(c.Param("ldSrc"), c.GP64())
	k := c.Load(c.Param("k"), c.GP64())
	c.SHLQ(operand.U8(2), ldDst)
	c.SHLQ(operand.U8(2), ldSrc)

	c.Label("block")
	row := c.GP64()
	c.MOVQ(src, row)
	var in [8]reg.VecVirtual
	for i := range in {
		in[i] = c.YMM()
		c.VMOVUPS(at(row, 0), in[i])
		if i+1 < len(in) {
			c.ADDQ(ldSrc, row)
		}
	}
	for _, v := range exchange(c, in) {
		c.VMOVUPS(v, at(dst, 0))
		c.ADDQ(ldDst, dst)
	}
	c.ADDQ(operand.U8(32), src)
	c.SUBQ(operand.U8(8), k)
	c.JNE(operand.LabelRef("block"))
	c.VZEROUPPER()
	c.RET()
}

// exchange returns the columns of the 8x8 block whose rows are in.
func exchange(c *build.Context, in [8]reg.VecVirtual) [8]reg.VecVirtual {
	var pairs, quads, out [8]reg.VecVirtual
	for i := 0; i < 8; i += 2 {
		pairs[i], pairs[i+1] = c.YMM(), c.YMM()
		c.VUNPCKLPS(in[i+1], in[i], pairs[i])
		c.VUNPCKHPS(in[i+1], in[i], pairs[i+1])
	}
	const low, high = 0x44, 0xee
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			quads[i+2*j], quads[i+2*j+1] = c.YMM(), c.YMM()
			c.VSHUFPS(operand.U8(low), pairs[i+j+2], pairs[i+j], quads[i+2*j])
			c.VSHUFPS(operand.U8(high), pairs[i+j+2], pairs[i+j], quads[i+2*j+1])
		}
	}
	for i := range 4 {
		out[i], out[i+4] = c.YMM(), c.YMM()
		c.VPERM2F128(operand.U8(0x20), quads[i+4], quads[i], out[i])
		c.VPERM2F128(operand.U8(0x31), quads[i+4], quads[i], out[i+4])
	}
	return out
}
