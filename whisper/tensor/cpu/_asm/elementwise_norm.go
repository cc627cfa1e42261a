package main

import (
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// norms generates layer normalisation and its gradient.
func norms(c *build.Context, s isa, t *tables) {
	moments(c, s, t)
	normalise(c, s, t)
	normSums(c, s, t)
	normBackward(c, s, t)
}

func moments(c *build.Context, s isa, t *tables) {
	const unroll = 4
	f := row(c, s, t, "moments", "(x []float32, eps float32) (mean, rstd float32)", []string{"x"},
		"\tmean = 1/n * Σ x[i]",
		"\trstd = 1 / sqrt(1/n * Σ (x[i]-mean)*(x[i]-mean) + eps)",
	)
	acc := f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			f.VADDPS(l.load("x"), acc[i], acc[i])
		}
	})
	sum, n := f.sum(acc), f.XMM()
	f.VXORPS(n, n, n)
	f.VCVTSI2SSQ(f.Load(f.Param("x").Len(), f.GP64()), n, n)
	f.VDIVSS(n, sum.AsX(), sum.AsX())
	f.result(sum, 0)
	mean := f.v()
	f.VBROADCASTSS(sum.AsX(), mean)

	acc = f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			d := l.load("x")
			f.VSUBPS(mean, d, d)
			l.clearRest(d)
			f.VFMADD231PS(d, d, acc[i])
		}
	})
	variance, one := f.sum(acc).AsX(), f.XMM()
	f.VDIVSS(n, variance, variance)
	f.VADDSS(f.Load(f.Param("eps"), f.XMM()), variance, variance)
	f.VSQRTSS(variance, variance, variance)
	f.VMOVSS(f.tables.vectors["one"], one)
	rstd := f.v()
	f.VDIVSS(variance, one, rstd.AsX())
	f.result(rstd, 1)
	f.end()
}

func normalise(c *build.Context, s isa, t *tables) {
	const unroll = 2
	f := row(c, s, t, "normalise", "(y, x, gamma, beta []float32, mean, rstd float32)", []string{"y", "x", "gamma", "beta"},
		"\tfor i := range y {",
		"\t\ty[i] = (x[i]-mean)*rstd*gamma[i] + beta[i]",
		"\t}",
	)
	mean, rstd := f.broadcast("mean"), f.broadcast("rstd")
	f.each(unroll, func(lanes []lane) {
		for _, l := range lanes {
			x := l.load("x")
			f.VSUBPS(mean, x, x)
			f.VMULPS(rstd, x, x)
			gamma := l.load("gamma")
			f.VFMADD213PS(l.load("beta"), gamma, x)
			l.store(x, "y")
		}
	})
	f.end()

	f = row(c, s, t, "normAffine", "(dgamma, dy, x []float32, mean, rstd float32)", []string{"dgamma", "dy", "x"},
		"\tfor i := range dgamma {",
		"\t\tdgamma[i] += dy[i] * ((x[i] - mean) * rstd)",
		"\t}",
	)
	mean, rstd = f.broadcast("mean"), f.broadcast("rstd")
	f.each(unroll, func(lanes []lane) {
		for _, l := range lanes {
			x := f.standard(l, mean, rstd)
			r := l.load("dgamma")
			f.VFMADD231PS(l.load("dy"), x, r)
			l.store(r, "dgamma")
		}
	})
	f.end()
}

// standard returns (x - mean) rstd.
func (f *rowFunction) standard(l lane, mean, rstd reg.VecVirtual) reg.VecVirtual {
	x := l.load("x")
	f.VSUBPS(mean, x, x)
	f.VMULPS(rstd, x, x)
	return x
}

func normSums(c *build.Context, s isa, t *tables) {
	const unroll = 2
	f := row(c, s, t, "normSums", "(dy, x, gamma []float32, mean, rstd float32) (sum, dot float32)", []string{"dy", "x", "gamma"},
		"\tfor i := range dy {",
		"\t\tg := dy[i] * gamma[i]",
		"\t\tsum += g",
		"\t\tdot += g * ((x[i] - mean) * rstd)",
		"\t}",
	)
	mean, rstd := f.broadcast("mean"), f.broadcast("rstd")
	sum, dot := f.zeros(unroll), f.zeros(unroll)
	f.each(unroll, func(lanes []lane) {
		for i, l := range lanes {
			x, g := f.standard(l, mean, rstd), l.load("dy")
			f.VMULPS(l.load("gamma"), g, g)
			f.VADDPS(g, sum[i], sum[i])
			f.VFMADD231PS(x, g, dot[i])
		}
	})
	f.result(f.sum(sum), 0)
	f.result(f.sum(dot), 1)
	f.end()
}

func normBackward(c *build.Context, s isa, t *tables) {
	const unroll = 2
	f := row(c, s, t, "normBackward", "(dx, dy, x, gamma []float32, mean, rstd, c0, c1 float32)", []string{"dx", "dy", "x", "gamma"},
		"\tfor i := range dx {",
		"\t\tdx[i] += rstd * (dy[i]*gamma[i] - c0 - (x[i]-mean)*rstd*c1)",
		"\t}",
	)
	mean, rstd := f.broadcast("mean"), f.broadcast("rstd")
	c0, c1 := f.broadcast("c0"), f.broadcast("c1")
	f.each(unroll, func(lanes []lane) {
		for _, l := range lanes {
			x, g := f.standard(l, mean, rstd), l.load("dy")
			f.VFMSUB132PS(l.load("gamma"), c0, g)
			f.VFNMADD231PS(c1, x, g)
			dx := l.load("dx")
			f.VFMADD231PS(rstd, g, dx)
			l.store(dx, "dx")
		}
	})
	f.end()
}
