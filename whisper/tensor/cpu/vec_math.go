package cpu

import (
	"math"
)

// exp(x) = 2ⁿ exp(r) with n = round(x/log 2), and exp(r) = 1 + r + r² P(r), P of degree 3 with a
// relative error of 1.1e-7 in |r| ≤ log(2)/2 (Remez). log 2 is split so that n expHigh is exact.
const (
	expHigh = 0x1.62e4p-1
	expLow  = math.Ln2 - expHigh

	// expRound + n has n + 127, the exponent field of 2ⁿ, in its low bits.
	expRound = 3<<22 + 127

	// expLeast is where n = -127 and so the exponent field is that of zero.
	expLeast = -88

	exp2 = 0.499992288913
	exp3 = 0.166671165513
	exp4 = 0.0418905450664
	exp5 = 0.0083124584471
)

// exp returns eˣ for x ≤ 88, and zero below the normal numbers.
func exp(x float32) float32 {
	if x < expLeast {
		x = expLeast
	}
	t := x*math.Log2E + expRound
	n := t - expRound
	r := x - n*expHigh
	r -= n * float32(expLow)
	p := (((exp5*r+exp4)*r+exp3)*r + exp2) * r
	return (p*r + r + 1) * math.Float32frombits(math.Float32bits(t)<<23)
}

// The tail Φ(-a) = exp(-a²/2) t P(t) with t = 1/(1 + tailScale a), after Abramowitz & Stegun
// 7.1.26, with a P of degree 5 (Remez). The error of a Φ(-a) is below 1e-7 for all a ≥ 0, and
// that of Φ(-a) below 2e-7 of it for a ≤ 2.
const (
	tailScale = 0.28

	tail0 = 0.116803188493
	tail1 = 0.0658527259889
	tail2 = 0.272680866319
	tail3 = -0.241248959992
	tail4 = 0.3922342952
	tail5 = -0.106322067683
)

// normal returns the normal distribution function Φ(x), and exp(-x²/2).
func normal(x float32) (distribution, e float32) {
	a := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
	t := 1 / (tailScale*a + 1)
	e = exp(-0.5 * a * a)
	q := e * t * (((((tail5*t+tail4)*t+tail3)*t+tail2)*t+tail1)*t + tail0)
	if x < 0 {
		return q, e
	}
	return 1 - q, e
}

func geluGo(y, x []float32) {
	x = x[:len(y)]
	for i, v := range x {
		p, _ := normal(v)
		y[i] = v * p
	}
}

// invSqrt2Pi is the density φ of the normal distribution at zero.
const invSqrt2Pi = 0.39894228040143267793994605993438

func geluBackwardGo(dx, dy, x []float32) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		p, e := normal(v)
		dx[i] += dy[i] * (v*invSqrt2Pi*e + p)
	}
}

func maxGo(x []float32) float32 {
	m := float32(math.Inf(-1))
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// absMaxGo compares the bits, which are ordered as magnitudes are.
func absMaxGo(x []float32) float32 {
	var m uint32
	for _, v := range x {
		m = max(m, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(m)
}

func absMaxToGo(y, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] = math.Float32frombits(max(math.Float32bits(y[i]), math.Float32bits(x[i])&^(1<<31)))
	}
}

func digitsGo(y, a, b, c []float32, low float32) {
	a, b, c = a[:len(y)], b[:len(y)], c[:len(y)]
	for i := range y {
		y[i] = (a[i] - c[i]) + float32((b[i]-c[i])*low)
	}
}

func expSumGo(y, x []float32, scale, shift float32) float32 {
	y = y[:len(x)]
	var sum [4]float32
	for i, v := range x {
		e := exp(scale*v - shift)
		y[i] = e
		sum[i%4] += e
	}
	return (sum[0] + sum[1]) + (sum[2] + sum[3])
}

func sumExpGo(x []float32, shift float32) float32 {
	var sum [4]float32
	for i, v := range x {
		sum[i%4] += exp(v - shift)
	}
	return (sum[0] + sum[1]) + (sum[2] + sum[3])
}

func softmaxBackwardGo(dx, y, dy []float32, d, scale float32) {
	y, dy = y[:len(dx)], dy[:len(dx)]
	for i := range dx {
		dx[i] = scale * y[i] * (dy[i] - d)
	}
}

func momentsGo(x []float32, eps float32) (mean, rstd float32) {
	var sum [4]float32
	for i, v := range x {
		sum[i%4] += v
	}
	n := float32(len(x))
	mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / n
	sum = [4]float32{}
	for i, v := range x {
		sum[i%4] += (v - mean) * (v - mean)
	}
	variance := ((sum[0] + sum[1]) + (sum[2] + sum[3])) / n
	return mean, 1 / float32(math.Sqrt(float64(variance+eps)))
}

func normaliseGo(y, x, gamma, beta []float32, mean, rstd float32) {
	x, gamma, beta = x[:len(y)], gamma[:len(y)], beta[:len(y)]
	for i := range y {
		y[i] = (x[i]-mean)*rstd*gamma[i] + beta[i]
	}
}

func normSumsGo(dy, x, gamma []float32, mean, rstd float32) (sum, dot float32) {
	x, gamma = x[:len(dy)], gamma[:len(dy)]
	for i, d := range dy {
		g := d * gamma[i]
		sum += g
		dot += g * ((x[i] - mean) * rstd)
	}
	return sum, dot
}

func normBackwardGo(dx, dy, x, gamma []float32, mean, rstd, c0, c1 float32) {
	dy, x, gamma = dy[:len(dx)], x[:len(dx)], gamma[:len(dx)]
	for i := range dx {
		dx[i] += rstd * (dy[i]*gamma[i] - c0 - (x[i]-mean)*rstd*c1)
	}
}

func normAffineGo(dgamma, dy, x []float32, mean, rstd float32) {
	dy, x = dy[:len(dgamma)], x[:len(dgamma)]
	for i := range dgamma {
		dgamma[i] += dy[i] * ((x[i] - mean) * rstd)
	}
}
