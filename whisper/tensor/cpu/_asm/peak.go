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
	for _, f := range panelFormats {
		c.Function("peak" + f.suffix())
		c.Attributes(build.NOSPLIT)
		c.SignatureExpr("func(n int)")
		c.Doc(
			fmt.Sprintf("peak%s runs n times %d independent multiply-adds of %d products,", f.suffix(), peakChains, f.products),
			"",
			"\tacc[i] += x · x",
		)
		n := c.Load(c.Param("n"), c.GP64())
		x, sum := f.vector(c), f.vector(c)
		f.zero(c, x)
		var acc [peakChains]reg.VecVirtual
		for i := range acc {
			acc[i] = f.vector(c)
			f.zero(c, acc[i])
		}
		c.Label("loop")
		for i := range acc {
			f.multiply(c, x, x, acc[i], sum)
		}
		c.DECQ(n)
		c.JNE(operand.LabelRef("loop"))
		c.VZEROUPPER()
		c.RET()
	}
}
