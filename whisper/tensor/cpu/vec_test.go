package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/whisper/tensor"
)

// rowLengths are around the vectors and unrolled loops of every instruction set.
var rowLengths = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 127, 130, 384, 1501}

// guardedRow returns n numbers of a normal distribution of the given deviation between guard bands,
// and a function that reports whether the bands are whole.
func guardedRow(r *rand.Rand, n int, deviation float64) (x []float32, whole func() bool) {
	const band = 17
	all := make([]float32, n+2*band)
	for i := range all {
		all[i] = guard
	}
	x = all[band : band+n : band+n]
	for i := range x {
		x[i] = float32(deviation * r.NormFloat64())
	}
	isGuard := func(v float32) bool { return v == guard }
	return x, func() bool {
		return !slices.ContainsFunc(all[:band], func(v float32) bool { return !isGuard(v) }) &&
			!slices.ContainsFunc(all[band+n:], func(v float32) bool { return !isGuard(v) })
	}
}

// eachRowTest runs f for the kernels of every instruction set and every length of a row.
func eachRowTest(t *testing.T, f func(t *testing.T, k *kernels, r *rand.Rand, n int)) {
	for _, k := range testedKernels(t) {
		t.Run(k.name, func(t *testing.T) {
			for _, n := range rowLengths {
				f(t, &k, rand.New(rand.NewPCG(uint64(n), 1)), n)
			}
		})
	}
}

// near fails unless got is want within abs + rel |want|.
func near(t *testing.T, what string, got float32, want, abs, rel float64) {
	t.Helper()
	if d := math.Abs(float64(got) - want); !(d <= abs+rel*math.Abs(want)) {
		t.Fatalf("%s = %v, want %v", what, got, want)
	}
}

func phi(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
func cdf(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func TestRowArithmetic(t *testing.T) {
	eachRowTest(t, func(t *testing.T, k *kernels, r *rand.Rand, n int) {
		a, wholeA := guardedRow(r, n, 1)
		b, wholeB := guardedRow(r, n, 1)
		y, wholeY := guardedRow(r, n, 1)
		old := slices.Clone(y)
		check := func(name string, want func(i int, a, b, old float64) float64) {
			t.Helper()
			for i := range y {
				near(t, fmt.Sprintf("%s of %d, element %d", name, n, i), y[i],
					want(i, float64(a[i]), float64(b[i]), float64(old[i])), 1e-6, 1e-6)
			}
			if !wholeA() || !wholeB() || !wholeY() {
				t.Fatalf("%s of %d writes outside", name, n)
			}
			copy(y, old)
		}
		k.add(y, a, b)
		check("add", func(_ int, a, b, _ float64) float64 { return a + b })
		k.mul(y, a, b)
		check("mul", func(_ int, a, b, _ float64) float64 { return a * b })
		k.mulAdd(y, a, b)
		check("mulAdd", func(_ int, a, b, old float64) float64 { return old + a*b })
		k.shift(y, a, 0.5, 0.25)
		check("shift", func(_ int, a, _, _ float64) float64 { return a - 0.75 })
		k.rowKernels.scale(y, a, 3)
		check("scale", func(_ int, a, _, _ float64) float64 { return 3 * a })
		k.softmaxBackward(y, a, b, 0.5, 0.125)
		check("softmaxBackward", func(_ int, a, b, _ float64) float64 { return 0.125 * a * (b - 0.5) })
		k.gelu(y, a)
		check("gelu", func(_ int, a, _, _ float64) float64 { return a * cdf(a) })
		k.geluBackward(y, b, a)
		check("geluBackward", func(_ int, a, b, old float64) float64 { return old + b*(cdf(a)+a*phi(a)) })
		k.normalise(y, a, b, old, 0.5, 2)
		check("normalise", func(_ int, a, b, old float64) float64 { return (a-0.5)*2*b + old })
		k.normAffine(y, b, a, 0.5, 2)
		check("normAffine", func(_ int, a, b, old float64) float64 { return old + b*(a-0.5)*2 })
		g := slices.Clone(old)
		k.normBackward(y, a, b, g, 0.5, 2, 0.25, 0.125)
		check("normBackward", func(_ int, a, b, old float64) float64 {
			return old + 2*(a*old-0.25-(b-0.5)*2*0.125)
		})
	})
}

func TestRowReductions(t *testing.T) {
	eachRowTest(t, func(t *testing.T, k *kernels, r *rand.Rand, n int) {
		a, wholeA := guardedRow(r, n, 1)
		b, wholeB := guardedRow(r, n, 1)
		y, wholeY := guardedRow(r, n, 1)
		greatest := math.Inf(-1)
		var dot, sum, expSum, sumExp, square, weighted float64
		for i := range a {
			v, w := float64(a[i]), float64(b[i])
			greatest = max(greatest, v)
			dot += v * w
			sum += v
			expSum += math.Exp(0.5*v - 2)
			sumExp += math.Exp(v - 3)
			weighted += v * w * (float64(y[i]) - 0.5) * 2
		}
		what := func(name string) string { return fmt.Sprintf("%s of %d", name, n) }
		abs := 1e-6 * math.Sqrt(float64(n)) * 4
		near(t, what("max"), k.max(a), greatest, 0, 0)
		near(t, what("dot"), k.dot(a, b), dot, abs, 0)
		near(t, what("sumExp"), k.sumExp(a, 3), sumExp, 0, 1e-6)
		s, d := k.normSums(a, y, b, 0.5, 2)
		near(t, what("normSums 0"), s, dot, abs, 0)
		near(t, what("normSums 1"), d, weighted, 4*abs, 0)
		near(t, what("expSum"), k.expSum(y, a, 0.5, 2), expSum, 0, 1e-6)
		for i := range y {
			near(t, what("exp"), y[i], math.Exp(0.5*float64(a[i])-2), 0, 1e-6)
		}
		mean := sum / float64(n)
		for _, v := range a {
			square += (float64(v) - mean) * (float64(v) - mean)
		}
		m, rstd := k.moments(a, 1e-5)
		near(t, what("mean"), m, mean, 1e-6, 0)
		near(t, what("rstd"), rstd, 1/math.Sqrt(square/float64(n)+1e-5), 0, 1e-5)
		if !wholeA() || !wholeB() || !wholeY() {
			t.Fatalf("a reduction of %d writes outside", n)
		}
	})
}

// TestProductsOfRows compares dots and combine with the matrix product, bit by bit.
func TestProductsOfRows(t *testing.T) {
	for _, k := range available() {
		w := &worker{kernels: &k}
		for _, size := range []int{8, 24, 32, 40, 64, 80, 128} {
			for _, n := range []int{8, 9, 15, 16, 17, 31, 32, 100} {
				r := rand.New(rand.NewPCG(uint64(n), uint64(size)))
				stride := size + 5
				q, _ := guardedRow(r, size, 1)
				m, _ := guardedRow(r, n*stride, 1)
				s, wholeS := guardedRow(r, n, 1)
				y, wholeY := guardedRow(r, size, 1)
				k.dots(s, q, m, stride)
				k.combine(y, s, m, stride)
				wantS, wantY := make([]float32, n), make([]float32, size)
				w.gemm(w.kernels.format(tensor.F32), 1, n, size, q, size, false, m, stride, true, wantS, n, false)
				w.gemm(w.kernels.format(tensor.F32), 1, size, n, s, n, false, m, stride, false, wantY, size, false)
				if !slices.Equal(s, wantS) || !slices.Equal(y, wantY) {
					t.Fatalf("%s: dots or combine of (%d, %d) differ from the matrix product", k.name, n, size)
				}
				if !wholeS() || !wholeY() {
					t.Fatalf("%s: dots or combine of (%d, %d) write outside", k.name, n, size)
				}
			}
		}
		y := make([]float32, 3)
		k.combine(y, nil, nil, 3)
		if !slices.Equal(y, make([]float32, 3)) {
			t.Errorf("%s: a combination of no rows is %v", k.name, y)
		}
	}
}

// TestAccuracyOfExpAndGELU walks through the whole range of both.
func TestAccuracyOfExpAndGELU(t *testing.T) {
	for _, k := range available() {
		const n = 4001
		x, y := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = 90 * (float32(i)/(n-1) - 1)
		}
		k.expSum(y, x, 1, 0)
		for i, v := range x {
			near(t, fmt.Sprintf("%s: exp(%v)", k.name, v), y[i], math.Exp(float64(v)), 1e-38, 3e-7)
		}
		for i := range x {
			x[i] = 24 * (float32(i)/(n-1) - 0.5)
		}
		k.gelu(y, x)
		for i, v := range x {
			near(t, fmt.Sprintf("%s: GELU(%v)", k.name, v), y[i], float64(v)*cdf(float64(v)), 1.5e-7, 3e-7)
		}
		clear(y)
		one := slices.Repeat([]float32{1}, n)
		k.geluBackward(y, one, x)
		for i, v := range x {
			v := float64(v)
			near(t, fmt.Sprintf("%s: GELU'(%v)", k.name, v), y[i], cdf(v)+v*phi(v), 3e-7, 3e-7)
		}
	}
}

// TestRowsNotFinite pins what NaN and infinity become, at every place of a row.
func TestRowsNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	isNaN := func(x float32) bool { return x != x }
	eachRowTest(t, func(t *testing.T, k *kernels, r *rand.Rand, n int) {
		if n > 70 {
			return
		}
		for i := range n {
			x, _ := guardedRow(r, n, 1)
			y := make([]float32, n)
			x[i] = nan
			if !isNaN(k.sumExp(x, 0)) || !isNaN(k.expSum(y, x, 1, 0)) || !isNaN(y[i]) {
				t.Fatalf("exp of a NaN at %d of %d is %v", i, n, y[i])
			}
			k.gelu(y, x)
			if mean, rstd := k.moments(x, 1e-5); !isNaN(y[i]) || !isNaN(mean) || !isNaN(rstd) {
				t.Fatalf("NaN at %d of %d: GELU %v, mean %v, 1/σ %v", i, n, y[i], mean, rstd)
			}
			x[i] = -inf
			k.expSum(y, x, 1, 0)
			if m := k.max(x); y[i] != 0 || n > 1 && !(m > -inf) {
				t.Fatalf("-Inf at %d of %d: exp %v, max %v", i, n, y[i], m)
			}
			x[i] = inf
			k.gelu(y, x)
			if m := k.max(x); y[i] != inf || m != inf {
				t.Fatalf("+Inf at %d of %d: GELU %v, max %v", i, n, y[i], m)
			}
		}
	})
}
