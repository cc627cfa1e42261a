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
		quantiseI16(c, s, t)
		split(c, s, t)
		return
	}
	toBF16(c, s, t)
	exp2SumBF16(c, s, t)
	interleave(c, s, t)
	quantiseU8(c, s, t)
	split(c, s, t)
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

// conversion generates one: body returns the code that stores a vector as size bytes at dst.
func conversion(c *build.Context, s isa, t *tables, name, parameters, element string, size int, body func(f *rowFunction, dst reg.Register) func(x reg.VecVirtual)) {
	f := row(c, s, t, name, "(dst []"+element+", x []float32"+parameters+")", []string{"x", "dst"},
		"\tfor i, v := range x {",
		"\t\tdst[i] = "+map[string]string{
			"toBF16":      "bfloat16(v) // to nearest even; what is below the normal numbers is zero",
			"quantiseU8":  "round(v*inverse) + 128 // to nearest even",
			"quantiseI16": "round(v*inverse) // to nearest even",
		}[name],
		"\t}",
	)
	dst := f.base["dst"]
	store := body(f, dst)
	f.eachBlock([]int{1}, func(lanes []lane) {
		store(lanes[0].load("x"))
		f.ADDQ(operand.U32(size), dst)
	})
	f.end()
}

func toBF16(c *build.Context, s isa, t *tables) {
	conversion(c, s, t, "toBF16", "", "uint16", 32, func(f *rowFunction, dst reg.Register) func(x reg.VecVirtual) {
		return func(x reg.VecVirtual) {
			half := f.YMM()
			convert(f.Context, "VCVTNEPS2BF16", x, half)
			f.VMOVUPS(half, at(dst, 0))
		}
	})
}

func quantiseU8(c *build.Context, s isa, t *tables) {
	conversion(c, s, t, "quantiseU8", ", inverse float32", "uint8", 16, func(f *rowFunction, dst reg.Register) func(x reg.VecVirtual) {
		inverse, offset, bits := f.broadcast("inverse"), f.v(), f.GP32()
		f.MOVL(operand.U32(128), bits)
		f.VPBROADCASTD(bits, offset)
		return func(x reg.VecVirtual) {
			f.VMULPS(inverse, x, x)
			f.VCVTPS2DQ(x, x)
			f.VPADDD(offset, x, x)
			f.VPMOVDB(x, at(dst, 0))
		}
	})
}

func quantiseI16(c *build.Context, s isa, t *tables) {
	conversion(c, s, t, "quantiseI16", ", inverse float32", "int16", 16, func(f *rowFunction, dst reg.Register) func(x reg.VecVirtual) {
		inverse := f.broadcast("inverse")
		return func(x reg.VecVirtual) {
			f.VMULPS(inverse, x, x)
			f.VCVTPS2DQ(x, x)
			high := f.XMM()
			f.VEXTRACTF128(operand.U8(1), x, high)
			f.VPACKSSDW(high, x.AsX(), high)
			f.VMOVUPS(high, at(dst, 0))
		}
	})
}

// split generates the rounding to two digits, the lower of which is of 1/254 of the upper: as
// quantiseU8 and quantiseI16 do to one.
func split(c *build.Context, s isa, t *tables) {
	name, element, offset, size := "splitU8", "uint8", " + 128", 16
	if s == avx2 {
		name, element, offset = "splitI16", "int16", ""
	}
	f := row(c, s, t, name, "(high, low []"+element+", x []float32, inverse, digit float32)", []string{"x", "high", "low"},
		"\tfor i, v := range x {",
		"\t\th := round(v*inverse)",
		"\t\thigh[i] = h"+offset,
		"\t\tlow[i] = round((v*inverse - h)*digit)"+offset,
		"\t}",
	)
	inverse, digit := f.broadcast("inverse"), f.broadcast("digit")
	var add reg.VecVirtual
	if s == avx512 {
		bits := f.GP32()
		add = f.v()
		f.MOVL(operand.U32(128), bits)
		f.VPBROADCASTD(bits, add)
	}
	store := func(v reg.VecVirtual, to string) {
		if s == avx512 {
			f.VPADDD(add, v, v)
			f.VPMOVDB(v, at(f.base[to], 0))
		} else {
			top := f.XMM()
			f.VEXTRACTF128(operand.U8(1), v, top)
			f.VPACKSSDW(top, v.AsX(), top)
			f.VMOVUPS(top, at(f.base[to], 0))
		}
		f.ADDQ(operand.U32(size), f.base[to])
	}
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
