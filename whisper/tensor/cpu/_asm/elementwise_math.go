package main

import (
	"math"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// constants of the kernels; exp… and tail… are those of vec_math.go in package cpu, where they are
// explained.
var constants = func() (list []struct {
	name string
	bits uint32
}) {
	const expHigh = 0x1.62e4p-1
	for _, k := range []struct {
		name  string
		value float64
	}{
		{"one", 1},
		{"infinity", math.Inf(-1)},
		{"log2e", math.Log2E},
		{"expHigh", expHigh},
		{"expLow", math.Ln2 - expHigh},
		{"expRound", 3<<22 + 127},
		{"expLeast", -88},
		{"exp2", 0.499992288913},
		{"exp3", 0.166671165513},
		{"exp4", 0.0418905450664},
		{"exp5", 0.0083124584471},
		{"minusHalf", -0.5},
		{"density", 1 / math.Sqrt(2*math.Pi)},
		{"tailScale", 0.28},
		{"tail0", 0.116803188493},
		{"tail1", 0.0658527259889},
		{"tail2", 0.272680866319},
		{"tail3", -0.241248959992},
		{"tail4", 0.3922342952},
		{"tail5", -0.106322067683},
		{"power0", 0.999925218564},
		{"power1", 0.695833540506},
		{"power2", 0.226067155393},
		{"power3", 0.0780245226644},
	} {
		list = append(list, struct {
			name string
			bits uint32
		}{k.name, math.Float32bits(float32(k.value))})
	}
	return append(list, struct {
		name string
		bits uint32
	}{"magnitude", math.MaxInt32})
}()

var (
	expMust   = []string{"expLeast"}
	expOthers = []string{"log2e", "expHigh", "expLow", "expRound", "exp2", "exp3", "exp4", "exp5", "one"}
)

// exp replaces each x by eˣ.
func (f *rowFunction) exp(xs []reg.VecVirtual) {
	n := len(xs)
	t, k, p := f.fresh(n), f.fresh(n), f.fresh(n)
	for i, x := range xs {
		f.VMAXPS(x, f.keep["expLeast"], x)
		f.VMOVAPS(f.constant("expRound"), t[i])
		f.VFMADD231PS(f.constant("log2e"), x, t[i])
	}
	for i := range xs {
		f.VSUBPS(f.constant("expRound"), t[i], k[i])
	}
	for i, x := range xs {
		f.VFNMADD231PS(f.constant("expHigh"), k[i], x)
	}
	for i, x := range xs {
		f.VFNMADD231PS(f.constant("expLow"), k[i], x)
	}
	for i := range xs {
		f.VMOVAPS(f.constant("exp5"), p[i])
	}
	for _, c := range []string{"exp4", "exp3", "exp2", "one", "one"} {
		for i, x := range xs {
			f.VFMADD213PS(f.constant(c), x, p[i])
		}
	}
	for i, x := range xs {
		f.VPSLLD(operand.U8(23), t[i], t[i])
		f.VMULPS(t[i], p[i], x)
	}
}

func (f *rowFunction) fresh(n int) []reg.VecVirtual {
	r := make([]reg.VecVirtual, n)
	for i := range r {
		r[i] = f.v()
	}
	return r
}

// exponentials generates the two halves of a softmax.
func exponentials(c *build.Context, s isa, t *tables) {
	const unroll = 2
	f := row(c, s, t, "expSum", "(y, x []float32, scale, shift float32) float32", []string{"y", "x"},
		"\tsum := 0",
		"\tfor i := range y {",
		"\t\ty[i] = exp(scale*x[i] - shift)",
		"\t\tsum += y[i]",
		"\t}",
		"\treturn sum",
	)
	f.hold(expMust, expOthers...)
	scale, shift, acc := f.broadcast("scale"), f.broadcast("shift"), f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		x := f.fresh(len(lanes))
		for i, l := range lanes {
			x[i] = l.load("x")
			f.VFMSUB213PS(shift, scale, x[i])
		}
		f.exp(x)
		for i, l := range lanes {
			l.store(x[i], "y")
			l.clearRest(x[i])
			f.VADDPS(x[i], acc[i], acc[i])
		}
	})
	f.result(f.sum(acc), 0)
	f.end()

	f = row(c, s, t, "sumExp", "(x []float32, shift float32) float32", []string{"x"},
		"\tsum := 0",
		"\tfor i := range x {",
		"\t\tsum += exp(x[i] - shift)",
		"\t}",
		"\treturn sum",
	)
	f.hold(expMust, expOthers...)
	shift, acc = f.broadcast("shift"), f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		x := f.fresh(len(lanes))
		for i, l := range lanes {
			x[i] = l.load("x")
			f.VSUBPS(shift, x[i], x[i])
		}
		f.exp(x)
		for i, l := range lanes {
			l.clearRest(x[i])
			f.VADDPS(x[i], acc[i], acc[i])
		}
	})
	f.result(f.sum(acc), 0)
	f.end()
}

// normal returns Φ(x) and exp(-x²/2) for each x.
func (f *rowFunction) normal(xs []reg.VecVirtual) (distribution, e []reg.VecVirtual) {
	n := len(xs)
	t, p := f.fresh(n), f.fresh(n)
	e = f.fresh(n)
	for i, x := range xs {
		f.VANDPS(f.constant("magnitude"), x, t[i])
		f.VMULPS(f.constant("minusHalf"), t[i], e[i])
		f.VMULPS(t[i], e[i], e[i])
		f.VFMADD213PS(f.constant("one"), f.keep["tailScale"], t[i])
		f.VDIVPS(t[i], f.keep["one"], t[i])
	}
	f.exp(e)
	for i := range xs {
		f.VMOVAPS(f.constant("tail5"), p[i])
	}
	for _, c := range []string{"tail4", "tail3", "tail2", "tail1", "tail0"} {
		for i := range xs {
			f.VFMADD213PS(f.constant(c), t[i], p[i])
		}
	}
	for i, x := range xs {
		f.VMULPS(e[i], t[i], t[i])
		f.VMULPS(t[i], p[i], p[i])
		f.VSUBPS(p[i], f.keep["one"], t[i])
		f.whereNegative(x, p[i], t[i])
	}
	return t, e
}

// whereNegative replaces the lanes of y by those of other where the sign of x is set.
func (f *rowFunction) whereNegative(x, other, y reg.VecVirtual) {
	if f.bytes != avx512.bytes {
		f.VBLENDVPS(x, other, y, y)
		return
	}
	k := f.K()
	f.VPMOVD2M(x, k)
	f.VBLENDMPS(other, y, k, y)
}

// gelus generates GELU and its gradient.
func gelus(c *build.Context, s isa, t *tables) {
	const unroll = 2
	must := append([]string{"one", "tailScale"}, expMust...)
	others := append([]string{
		"magnitude", "minusHalf", "density", "tail0", "tail1", "tail2", "tail3", "tail4", "tail5",
	}, expOthers[:len(expOthers)-1]...)

	f := row(c, s, t, "gelu", "(y, x []float32)", []string{"y", "x"},
		"\tfor i := range y {",
		"\t\ty[i] = x[i] * Φ(x[i])",
		"\t}",
	)
	f.hold(must, others...)
	f.each(unroll, func(lanes []lane) {
		x := f.fresh(len(lanes))
		for i, l := range lanes {
			x[i] = l.load("x")
		}
		p, _ := f.normal(x)
		for i, l := range lanes {
			f.VMULPS(x[i], p[i], p[i])
			l.store(p[i], "y")
		}
	})
	f.end()

	f = row(c, s, t, "geluBackward", "(dx, dy, x []float32)", []string{"dx", "dy", "x"},
		"\tfor i := range dx {",
		"\t\tdx[i] += dy[i] * (Φ(x[i]) + x[i]*φ(x[i]))",
		"\t}",
	)
	f.hold(must, others...)
	f.each(unroll, func(lanes []lane) {
		x := f.fresh(len(lanes))
		for i, l := range lanes {
			x[i] = l.load("x")
		}
		p, e := f.normal(x)
		for i, l := range lanes {
			f.VMULPS(f.constant("density"), e[i], e[i])
			f.VFMADD231PS(x[i], e[i], p[i])
			dx := l.load("dx")
			f.VFMADD231PS(l.load("dy"), p[i], dx)
			l.store(dx, "dx")
		}
	})
	f.end()
}
