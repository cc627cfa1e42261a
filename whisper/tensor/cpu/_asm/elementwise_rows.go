package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// arithmetic generates the loops of one operation for each element.
func arithmetic(c *build.Context, s isa, t *tables) {
	three := []string{"y", "a", "b"}
	loop(c, s, t, "add", "(y, a, b []float32)", three, nil, "y[i] = a[i] + b[i]", func(f *rowFunction, l lane) reg.VecVirtual {
		r := l.load("a")
		f.VADDPS(l.load("b"), r, r)
		return r
	})
	loop(c, s, t, "mul", "(y, a, b []float32)", three, nil, "y[i] = a[i] * b[i]", func(f *rowFunction, l lane) reg.VecVirtual {
		r := l.load("a")
		f.VMULPS(l.load("b"), r, r)
		return r
	})
	loop(c, s, t, "mulAdd", "(y, a, b []float32)", three, nil, "y[i] += a[i] * b[i]", func(f *rowFunction, l lane) reg.VecVirtual {
		r := l.load("y")
		f.VFMADD231PS(l.load("a"), l.load("b"), r)
		return r
	})
	loop(c, s, t, "digits", "(y, a, b, c []float32, low float32)", []string{"y", "a", "b", "c"}, []string{"low"},
		"y[i] = (a[i] - c[i]) + (b[i] - c[i])*low", func(f *rowFunction, l lane) reg.VecVirtual {
			r, b, c := l.load("a"), l.load("b"), l.load("c")
			f.VSUBPS(c, r, r)
			f.VSUBPS(c, b, b)
			f.VFMADD231PS(f.keep["low"], b, r)
			return r
		})
	two := []string{"y", "x"}
	loop(c, s, t, "shift", "(y, x []float32, c, d float32)", two, []string{"c", "d"}, "y[i] = (x[i] - c) - d", func(f *rowFunction, l lane) reg.VecVirtual {
		r := l.load("x")
		f.VSUBPS(f.keep["c"], r, r)
		f.VSUBPS(f.keep["d"], r, r)
		return r
	})
	loop(c, s, t, "scale", "(y, x []float32, c float32)", two, []string{"c"}, "y[i] = c * x[i]", func(f *rowFunction, l lane) reg.VecVirtual {
		r := l.load("x")
		f.VMULPS(f.keep["c"], r, r)
		return r
	})
	loop(c, s, t, "softmaxBackward", "(dx, y, dy []float32, d, scale float32)", []string{"dx", "y", "dy"}, []string{"d", "scale"},
		"dx[i] = scale * y[i] * (dy[i] - d)", func(f *rowFunction, l lane) reg.VecVirtual {
			y, r := l.load("y"), l.load("dy")
			f.VSUBPS(f.keep["d"], r, r)
			f.VMULPS(f.keep["scale"], y, y)
			f.VMULPS(y, r, r)
			return r
		})
}

// loop generates a function that sets each element of its first slice to what compute returns, which
// finds the scalars among the constants in registers.
func loop(c *build.Context, s isa, t *tables, name, signature string, slices, scalars []string, statement string, compute func(f *rowFunction, l lane) reg.VecVirtual) {
	const unroll = 4
	y := slices[0]
	f := row(c, s, t, name, signature, slices, "\tfor i := range "+y+" {", "\t\t"+statement, "\t}")
	for _, name := range scalars {
		f.keep[name] = f.broadcast(name)
	}
	f.each(unroll, func(lanes []lane) {
		r := make([]reg.VecVirtual, len(lanes))
		for i, l := range lanes {
			r[i] = compute(f, l)
		}
		for i, l := range lanes {
			l.store(r[i], y)
		}
	})
	f.end()
}

// reductions generates max, absMax and dot.
func reductions(c *build.Context, s isa, t *tables) {
	const unroll = 4
	f := row(c, s, t, "max", "(x []float32) float32", []string{"x"},
		"\tm := -Inf",
		"\tfor i := range x {",
		"\t\tm = max(m, x[i])",
		"\t}",
		"\treturn m",
	)
	f.hold([]string{"infinity"})
	acc := f.fresh(unroll)
	for _, r := range acc {
		f.VMOVAPS(f.keep["infinity"], r)
	}
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			x := l.load("x")
			l.setRest(x, f.keep["infinity"])
			f.VMAXPS(x, acc[i], acc[i])
		}
	})
	f.result(f.fold(acc, func(a, b, to operand.Op) { f.VMAXPS(a, b, to) }), 0)
	f.end()

	f = row(c, s, t, "absMaxTo", "(y, x []float32)", []string{"y", "x"},
		"\tfor i := range y {",
		"\t\ty[i] = max(y[i], |x[i]|) // NaN is the greatest",
		"\t}",
	)
	f.hold([]string{"magnitude"})
	f.eachBlock([]int{1}, func(lanes []lane) {
		x := lanes[0].load("x")
		f.VANDPS(f.keep["magnitude"], x, x)
		f.VPMAXUD(lanes[0].load("y"), x, x)
		lanes[0].store(x, "y")
	})
	f.end()

	f = row(c, s, t, "absMax", "(x []float32) float32", []string{"x"},
		"\tm := 0",
		"\tfor i := range x {",
		"\t\tm = max(m, |x[i]|) // NaN is the greatest",
		"\t}",
		"\treturn m",
	)
	f.hold([]string{"magnitude"})
	acc = f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			x := l.load("x")
			f.VANDPS(f.keep["magnitude"], x, x)
			f.VPMAXUD(x, acc[i], acc[i])
		}
	})
	f.result(f.fold(acc, func(a, b, to operand.Op) { f.VPMAXUD(a, b, to) }), 0)
	f.end()

	f = row(c, s, t, "dot", "(a, b []float32) float32", []string{"a", "b"},
		"\tsum := 0",
		"\tfor i := range a {",
		"\t\tsum += a[i] * b[i]",
		"\t}",
		"\treturn sum",
	)
	acc = f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			f.VFMADD231PS(l.load("a"), l.load("b"), acc[i])
		}
	})
	f.result(f.sum(acc), 0)
	f.end()
}

// combine generates the sums of rows with weights: blocks of columns stay in registers while the
// rows pass.
func combine(c *build.Context, s isa, t *tables) {
	f := row(c, s, t, "combine", "(y, p, v []float32, stride int)", []string{"y", "p", "v"},
		"\tfor c := range y {",
		"\t\tsum := 0",
		"\t\tfor j := range p {",
		"\t\t\tsum = fma(p[j], v[j*stride+c], sum)",
		"\t\t}",
		"\t\ty[c] = sum",
		"\t}",
	)
	stride := f.Load(f.Param("stride"), f.GP64())
	f.SHLQ(operand.U8(2), stride)
	loop := 0
	f.eachBlock([]int{256 / s.bytes, 128 / s.bytes, 1}, func(lanes []lane) {
		acc := f.zeros(len(lanes))
		v, p, n := f.GP64(), f.GP64(), f.Load(f.Param("p").Len(), f.GP64())
		loop++
		next, done := fmt.Sprintf("row%d", loop), fmt.Sprintf("rowsDone%d", loop)
		f.LEAQ(operand.Mem{Base: f.base["v"], Index: f.index, Scale: 1}, v)
		f.MOVQ(f.base["p"], p)
		f.TESTQ(n, n)
		f.JEQ(operand.LabelRef(done))
		f.Label(next)
		weight := f.v()
		f.VBROADCASTSS(at(p, 0), weight)
		for i, l := range lanes {
			if l.masked {
				f.VFMADD231PS(l.loadFrom(at(v, l.offset)), weight, acc[i])
				continue
			}
			f.VFMADD231PS(at(v, l.offset), weight, acc[i])
		}
		f.ADDQ(stride, v)
		f.ADDQ(operand.U8(4), p)
		f.DECQ(n)
		f.JNE(operand.LabelRef(next))
		f.Label(done)
		for i, l := range lanes {
			l.store(acc[i], "y")
		}
	})
	f.end()
}

// dots generates the products of one row with many, each a chain over the columns in order: the
// lanes of a vector are eight rows, which are transposed on the way. Two vectors are under way at
// a time, since each addition waits for the one before.
func dots(c *build.Context) {
	c.Function("dotsAVX2")
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func(s *float32, n int, q *float32, size int, k *float32, stride int)")
	c.Pragma("noescape")
	c.Doc(
		"dotsAVX2 computes, for n and size multiples of 8,",
		"",
		"\tfor j := range n {",
		"\t\tsum := 0",
		"\t\tfor c := range size {",
		"\t\t\tsum = fma(q[c], k[j*stride+c], sum)",
		"\t\t}",
		"\t\ts[j] = sum",
		"\t}",
	)
	load := func(name string) reg.GPVirtual {
		r := c.GP64()
		c.Load(c.Param(name), r)
		return r
	}
	s, n, q, size, k, stride := load("s"), load("n"), load("q"), load("size"), load("k"), load("stride")
	c.SHLQ(operand.U8(2), stride)
	last := c.GP64()
	c.LEAQ(operand.Mem{Base: q, Index: size, Scale: 4}, last)
	for _, vectors := range []int{2, 1} {
		loop, done := fmt.Sprintf("rows%d", 8*vectors), fmt.Sprintf("done%d", 8*vectors)
		c.SUBQ(operand.U8(8*vectors), n)
		c.JLT(operand.LabelRef(done))
		c.Label(loop)
		dotBlock(c, vectors, s, q, last, k, stride)
		c.ADDQ(operand.U8(32*vectors), s)
		for range vectors {
			c.LEAQ(operand.Mem{Base: k, Index: stride, Scale: 8}, k)
		}
		c.SUBQ(operand.U8(8*vectors), n)
		c.JGE(operand.LabelRef(loop))
		c.Label(done)
		c.ADDQ(operand.U8(8*vectors), n)
	}
	c.VZEROUPPER()
	c.RET()
}

// dotBlock generates the products of the row q:last with the rows of k that fill some vectors.
func dotBlock(c *build.Context, vectors int, s, q, last, k, stride reg.GPVirtual) {
	sums := make([]reg.VecVirtual, vectors)
	for i := range sums {
		sums[i] = c.YMM()
		c.VXORPS(sums[i], sums[i], sums[i])
	}
	loop := fmt.Sprintf("columns%d", 8*vectors)
	column, weight, p := c.GP64(), c.GP64(), c.GP64()
	c.MOVQ(k, column)
	c.MOVQ(q, weight)
	c.Label(loop)
	c.MOVQ(column, p)
	for _, sum := range sums {
		in := [8]reg.VecVirtual{}
		for i := range in {
			in[i] = c.YMM()
			c.VMOVUPS(at(p, 0), in[i])
			c.ADDQ(stride, p)
		}
		for i, v := range exchange(c, in) {
			b := c.YMM()
			c.VBROADCASTSS(at(weight, 4*i), b)
			c.VFMADD231PS(v, b, sum)
		}
	}
	c.ADDQ(operand.U8(32), column)
	c.ADDQ(operand.U8(32), weight)
	c.CMPQ(weight, last)
	c.JLT(operand.LabelRef(loop))
	for i, sum := range sums {
		c.VMOVUPS(sum, at(s, 32*i))
	}
}
