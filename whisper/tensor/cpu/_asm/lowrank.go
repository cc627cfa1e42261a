package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// factorBlock is the number of columns in a block of the factors of adapters, see package cpu.
const factorBlock = 16

// factorRanks are the numbers of rows that factors are divided into.
var factorRanks = []int{8, 4, 2, 1}

// factor is the number format of the factors of adapters.
type factor struct {
	format string // of the names in package cpu
	bytes  int    // of a number
}

var factors = []factor{{"F32", 4}, {"BF16", 2}}

// lowRanks generates the products with the factors of adapters.
func lowRanks(c *build.Context) {
	for _, s := range []isa{avx2, avx512} {
		for _, e := range factors {
			shrink(c, s, e)
			expand(c, s, e)
		}
	}
}

// thin generates a function over the blocks of factors of some rank.
type thin struct {
	*rowFunction
	factor
	from, z, factors, blocks reg.Register // z has a number for each row of the factors
}

// newThin begins function name, whose operand or result over the blocks is called long.
func newThin(c *build.Context, s isa, e factor, name, signature, long, factors string, doc ...string) *thin {
	c.Function(name + e.format + s.name)
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func" + signature)
	c.Pragma("noescape")
	c.Doc(append([]string{name + e.format + s.name + " computes, for a rank of 8, 4, 2 or 1,", ""}, doc...)...)
	load := func(name string) reg.Register {
		r := c.GP64()
		c.Load(c.Param(name), r)
		return r
	}
	return &thin{&rowFunction{Context: c, isa: s}, e, load(long), load("z"), load(factors), load("blocks")}
}

// eachRank calls body with code for each rank.
func (t *thin) eachRank(body func(rank int)) {
	rank := t.GP64()
	t.Load(t.Param("rank"), rank)
	for _, r := range factorRanks[1:] {
		t.CMPQ(rank, operand.U8(r))
		t.JEQ(operand.LabelRef(fmt.Sprintf("rank%d", r)))
	}
	for i, r := range factorRanks {
		if i > 0 {
			t.Label(fmt.Sprintf("rank%d", r))
		}
		body(r)
		t.end()
	}
}

// vectors is the number of vectors in a block.
func (t *thin) vectors() int { return factorBlock / t.width() }

// load returns vector v of row k of a block.
func (t *thin) load(k, v int) reg.VecVirtual {
	m := at(t.factors, (k*factorBlock+v*t.width())*t.factor.bytes)
	r := t.v()
	if t.factor.bytes == 4 {
		t.VMOVUPS(m, r)
		return r
	}
	t.VPMOVZXWD(m, r)
	t.VPSLLD(operand.U8(16), r, r)
	return r
}

// next goes on to the next block, or to the code behind the loop.
func (t *thin) next(rank int) {
	t.ADDQ(operand.U32(4*factorBlock), t.from)
	t.ADDQ(operand.U32(rank*factorBlock*t.factor.bytes), t.factors)
	t.DECQ(t.blocks)
	t.JNE(operand.LabelRef(fmt.Sprintf("blocks%d", rank)))
}

func shrink(c *build.Context, s isa, e factor) {
	t := newThin(c, s, e, "shrink", "(z, x, v *float32, blocks, rank int)", "x", "v",
		"\tfor k := range rank {",
		"\t\tz[k] = 0",
		"\t\tfor b := range blocks {",
		"\t\t\tfor c := range 16 {",
		"\t\t\t\tz[k] += x[b, c] * v[b, k, c]",
		"\t\t\t}",
		"\t\t}",
		"\t}",
	)
	t.eachRank(func(rank int) {
		acc := t.zeros(rank)
		t.Label(fmt.Sprintf("blocks%d", rank))
		for v := range t.vectors() {
			x := t.v()
			t.VMOVUPS(at(t.from, v*t.isa.bytes), x)
			for k := range rank {
				t.VFMADD231PS(t.load(k, v), x, acc[k])
			}
		}
		t.next(rank)
		for k := range rank {
			t.VMOVSS(t.sum(acc[k:k+1]).AsX(), at(t.z, 4*k))
		}
	})
}

func expand(c *build.Context, s isa, e factor) {
	t := newThin(c, s, e, "expand", "(y, z, u *float32, blocks, rank int)", "y", "u",
		"\tfor b := range blocks {",
		"\t\tfor c := range 16 {",
		"\t\t\tfor k := range rank {",
		"\t\t\t\ty[b, c] = fma(z[k], u[b, k, c], y[b, c])",
		"\t\t\t}",
		"\t\t}",
		"\t}",
	)
	t.eachRank(func(rank int) {
		z := t.fresh(rank)
		for k := range z {
			t.VBROADCASTSS(at(t.z, 4*k), z[k])
		}
		t.Label(fmt.Sprintf("blocks%d", rank))
		for v := range t.vectors() {
			y := t.v()
			t.VMOVUPS(at(t.from, v*t.isa.bytes), y)
			for k := range rank {
				t.VFMADD231PS(t.load(k, v), z[k], y)
			}
			t.VMOVUPS(y, at(t.from, v*t.isa.bytes))
		}
		t.next(rank)
	})
}
