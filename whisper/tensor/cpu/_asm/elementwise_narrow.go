package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// conversions generates what makes a row of activations the first factor of the panel kernels. They
// write whole vectors, the lanes past the row as those of zeros.
func conversions(c *build.Context, s isa, t *tables) {
	if s == avx2 {
		quantise(c, s, t, words)
		split(c, s, t, words)
	} else {
		toBF16(c, s, t)
		exp2SumBF16(c, s, t)
		interleave(c, s, t)
	}
	quantise(c, s, t, unsignedBytes)
	split(c, s, t, unsignedBytes)
}

// whole are the whole numbers of a kernel's first factor.
type whole struct {
	name, element, offset string
	bytes                 int
}

var (
	unsignedBytes = whole{"U8", "uint8", " + 128", 1}
	words         = whole{"I16", "int16", "", 2}
)

// storer returns the code that stores the lanes of a vector, of int32, where slice points, and moves it on.
func (e whole) storer(f *rowFunction) func(v reg.VecVirtual, slice string) {
	var offset reg.VecVirtual
	if e == unsignedBytes {
		bits := f.GP32()
		offset = f.v()
		f.MOVL(operand.U32(128), bits)
		f.VMOVD(bits, offset.AsX())
		f.VPBROADCASTD(offset.AsX(), offset)
	}
	return func(v reg.VecVirtual, slice string) {
		to := f.base[slice]
		if e == unsignedBytes {
			f.VPADDD(offset, v, v)
		}
		if f.bytes == avx512.bytes {
			f.VPMOVDB(v, at(to, 0))
		} else {
			high := f.XMM()
			f.VEXTRACTF128(operand.U8(1), v, high)
			f.VPACKSSDW(high, v.AsX(), high)
			if e == unsignedBytes {
				f.VPACKUSWB(high, high, high)
				f.VMOVQ(high, at(to, 0))
			} else {
				f.VMOVUPS(high, at(to, 0))
			}
		}
		f.ADDQ(operand.U32(f.width()*e.bytes), to)
	}
}

// exp2SumBF16 generates one half of a softmax whose result is rounded as toBF16 does, and need not be
// better than that: 2ˣ = 2ⁿ P(x - n) with n = ⌊x⌋ and P of degree 3 with a relative error of 7.5e-5
// (Remez), a twentieth of the rounding's.
func exp2SumBF16(c *build.Context, s isa, t *tables) {
	const unroll, floor = 4, 1
	f := row(c, s, t, "exp2SumBF16", "(y []uint16, x []float32, scale, shift float32) float32", []string{"x", "y"},
		"\tsum := 0",
		"\tfor i := range x {",
		"\t\te := exp2(scale*x[i] - shift)",
		"\t\ty[i] = bfloat16(e)",
		"\t\tsum += e",
		"\t}",
		"\treturn sum",
	)
	f.hold(nil, "power0", "power1", "power2", "power3")
	scale, shift, acc, dst := f.broadcast("scale"), f.broadcast("shift"), f.zeros(unroll), f.base["y"]
	f.each(unroll, func(lanes []lane) {
		x, rest, p := f.fresh(len(lanes)), f.fresh(len(lanes)), f.fresh(len(lanes))
		for i, l := range lanes {
			x[i] = l.load("x")
			f.VFMSUB213PS(shift, scale, x[i])
			f.VREDUCEPS(operand.U8(floor), x[i], rest[i])
			f.VMOVAPS(f.constant("power3"), p[i])
		}
		for _, power := range []string{"power2", "power1", "power0"} {
			for i := range lanes {
				f.VFMADD213PS(f.constant(power), rest[i], p[i])
			}
		}
		for i, l := range lanes {
			f.VSCALEFPS(x[i], p[i], p[i])
			l.clearRest(p[i])
			f.VADDPS(p[i], acc[i], acc[i])
			half := f.YMM()
			convert(f.Context, "VCVTNEPS2BF16", p[i], half)
			f.VMOVUPS(half, at(dst, 32*i))
		}
		f.ADDQ(operand.U32(32*len(lanes)), dst)
	})
	f.result(f.sum(acc), 0)
	f.end()
}

// interleave generates the layout of two rows that VDPBF16PS takes.
func interleave(c *build.Context, s isa, t *tables) {
	f := row(c, s, t, "interleave", "(y, a, b []float32)", []string{"y", "a", "b"},
		"\tfor i := range y {",
		"\t\ty[i] = bfloat16(a[i]) | bfloat16(b[i])<<16",
		"\t}",
	)
	f.each(2, func(lanes []lane) {
		for _, l := range lanes {
			l.prefetch("a")
			l.prefetch("b")
			low, high := f.bf16Lanes(l.load("a")), f.bf16Lanes(l.load("b"))
			f.VPSLLD(operand.U8(16), high, high)
			f.VPORD(low, high, high)
			l.store(high, "y")
		}
	})
	f.end()
}

// pairRows generates interleave of many pairs of rows, of the columns of one panel. Rows lie far apart, so
// that the processor does not fetch them by itself.
func pairRows(c *build.Context) {
	const ahead = 8 // pairs
	c.Function("pairRowsAVX512")
	c.Attributes(build.NOSPLIT)
	c.SignatureExpr("func(dst *float32, ldDst int, src *float32, ldSrc, n int)")
	c.Pragma("noescape")
	c.Doc(
		"pairRowsAVX512 computes, for n > 0,",
		"",
		"\tfor p := range n {",
		"\t\tfor i := range 32 {",
		"\t\t\tdst[p*ldDst+i] = bfloat16(src[2*p*ldSrc+i]) | bfloat16(src[(2*p+1)*ldSrc+i])<<16",
		"\t\t}",
		"\t}",
	)
	dst, ldDst := c.Load(c.Param("dst"), c.GP64()), c.Load(c.Param("ldDst"), c.GP64())
	src, ldSrc := c.Load(c.Param("src"), c.GP64()), c.Load(c.Param("ldSrc"), c.GP64())
	n, next, fetch := c.Load(c.Param("n"), c.GP64()), c.GP64(), c.GP64()
	c.SHLQ(operand.U8(2), ldDst)
	c.SHLQ(operand.U8(2), ldSrc)
	c.MOVQ(ldSrc, fetch)
	c.IMUL3Q(operand.U8(2*ahead), fetch, fetch)
	c.ADDQ(src, fetch)
	c.Label("pair")
	c.LEAQ(indexed(src, ldSrc, 1), next)
	for v := range nVec {
		c.PREFETCHT0(at(fetch, v*avx512.bytes))
		c.PREFETCHT0(operand.Mem{Base: fetch, Index: ldSrc, Scale: 1, Disp: v * avx512.bytes})
		words := [2]reg.VecVirtual{}
		for i, row := range []reg.Register{src, next} {
			half := c.YMM()
			words[i] = c.ZMM()
			c.VMOVUPS(at(row, v*avx512.bytes), words[i])
			convert(c, "VCVTNEPS2BF16", words[i], half)
			c.VPMOVZXWD(half, words[i])
		}
		c.VPSLLD(operand.U8(16), words[1], words[1])
		c.VPORD(words[0], words[1], words[1])
		c.VMOVUPS(words[1], at(dst, v*avx512.bytes))
	}
	c.ADDQ(ldDst, dst)
	c.LEAQ(indexed(src, ldSrc, 2), src)
	c.LEAQ(indexed(fetch, ldSrc, 2), fetch)
	c.DECQ(n)
	c.JNE(operand.LabelRef("pair"))
	c.VZEROUPPER()
	c.RET()
}

// bf16Lanes returns the lanes of x as bfloat16, in the lower half of each.
func (f *rowFunction) bf16Lanes(x reg.VecVirtual) reg.VecVirtual {
	half, wide := f.YMM(), f.ZMM()
	convert(f.Context, "VCVTNEPS2BF16", x, half)
	f.VPMOVZXWD(half, wide)
	return wide
}

// toBF16 generates the rounding to bfloat16.
func toBF16(c *build.Context, s isa, t *tables) {
	f := row(c, s, t, "toBF16", "(dst []uint16, x []float32)", []string{"x", "dst"},
		"\tfor i, v := range x {",
		"\t\tdst[i] = bfloat16(v) // to nearest even; what is below the normal numbers is zero",
		"\t}",
	)
	f.each(4, func(lanes []lane) {
		for i, l := range lanes {
			l.prefetch("x")
			half := f.YMM()
			convert(f.Context, "VCVTNEPS2BF16", l.load("x"), half)
			f.VMOVUPS(half, at(f.base["dst"], 32*i))
		}
		f.ADDQ(operand.U32(32*len(lanes)), f.base["dst"])
	})
	f.end()
}

// quantise generates the rounding to whole numbers.
func quantise(c *build.Context, s isa, t *tables, e whole) {
	f := row(c, s, t, "quantise"+e.name, "(dst []"+e.element+", x []float32, inverse float32)", []string{"x", "dst"},
		"\tfor i, v := range x {",
		"\t\tdst[i] = round(v*inverse)"+e.offset+" // to nearest even",
		"\t}",
	)
	inverse, store := f.broadcast("inverse"), e.storer(f)
	f.eachBlock([]int{1}, func(lanes []lane) {
		x := lanes[0].load("x")
		f.VMULPS(inverse, x, x)
		f.VCVTPS2DQ(x, x)
		store(x, "dst")
	})
	f.end()
}

// split generates the rounding to two digits, as quantise does to one.
func split(c *build.Context, s isa, t *tables, e whole) {
	f := row(c, s, t, "split"+e.name, "(high, low []"+e.element+", x []float32, inverse, digit float32)", []string{"x", "high", "low"},
		"\tfor i, v := range x {",
		"\t\th := round(v*inverse)",
		"\t\thigh[i] = h"+e.offset,
		"\t\tlow[i] = round((v*inverse - h)*digit)"+e.offset,
		"\t}",
	)
	inverse, digit, store := f.broadcast("inverse"), f.broadcast("digit"), e.storer(f)
	f.eachBlock([]int{1}, func(lanes []lane) {
		x, whole := lanes[0].load("x"), f.fresh(2)
		f.VMULPS(inverse, x, x)
		f.VCVTPS2DQ(x, whole[0])
		f.VCVTDQ2PS(whole[0], whole[1])
		f.VSUBPS(whole[1], x, x)
		f.VMULPS(digit, x, x)
		f.VCVTPS2DQ(x, x)
		store(whole[0], "high")
		store(x, "low")
	})
	f.end()
}
