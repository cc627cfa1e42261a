package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peakChains is the number of independent multiply-adds of a peak kernel: more than latency
// times ports of any processor.
const peakChains = 12

// peaks generates kernels that multiply and add in registers alone: what a matrix product's
// speed is a share of.
func peaks(c *build.Context) {
	for _, s := range []isa{avx2, avx512} {
		c.Function("peak" + s.name)
		c.Attributes(build.NOSPLIT)
		c.SignatureExpr("func(n int)")
		c.Doc(
			fmt.Sprintf("peak%s runs n times %d independent multiply-adds of %d lanes,", s.name, peakChains, s.bytes/4),
			"",
			"\tacc[i] = fma(x, x, acc[i])",
		)
		n := c.Load(c.Param("n"), c.GP64())
		x := s.vector(c)
		s.zero(c, x)
		var acc [peakChains]reg.VecVirtual
		for i := range acc {
			acc[i] = s.vector(c)
			s.zero(c, acc[i])
		}
		c.Label("loop")
		for i := range acc {
			c.VFMADD231PS(x, x, acc[i])
		}
		c.DECQ(n)
		c.JNE(operand.LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
}
