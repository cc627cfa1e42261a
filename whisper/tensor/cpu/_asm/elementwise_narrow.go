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
			low, high := f.bf16Lanes(l.load("a")), f.bf16Lanes(l.load("b"))
			f.VPSLLD(operand.U8(16), high, high)
			f.VPORD(low, high, high)
			l.store(high, "y")
		}
	})
	f.end()
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
	f.eachBlock([]int{1}, func(lanes []lane) {
		half := f.YMM()
		convert(f.Context, "VCVTNEPS2BF16", lanes[0].load("x"), half)
		f.VMOVUPS(half, at(f.base["dst"], 0))
		f.ADDQ(operand.U32(32), f.base["dst"])
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
