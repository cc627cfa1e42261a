package cpu

import (
	"math/rand/v2"
	"strings"
	"testing"

	"glossa/whisper/tensor"
)

// testedKernels returns the kernels of each instruction set that package cpu has: where the
// machine lacks it, emulated, and where the build lacks it, not at all.
func testedKernels(t *testing.T) []kernels {
	tested := available()
	if tested[0].name != "avx512" {
		if k, ok := emulated(t, "avx512"); ok {
			tested = append(tested, k)
		}
	}
	return tested
}

// eachISA runs f on a backend of each of [testedKernels].
func eachISA(t *testing.T, f func(t *testing.T, b *Backend)) {
	for _, k := range testedKernels(t) {
		t.Run(k.name, func(t *testing.T) {
			b := newBackend(3, k)
			defer b.Close()
			f(t, b)
		})
	}
}

func isEmulated(b *Backend) bool { return strings.HasSuffix(b.name, " emulated") }

// tooSlow reports whether a product of the shape m, n, k is more than kernels in Go or emulated
// ones are given; both cost more with the race detector.
func tooSlow(b *Backend, s [3]int) bool {
	limit := 1 << 30
	switch {
	case isEmulated(b):
		limit = 200_000
	case b.name == "go":
		limit = 20_000_000
	}
	if raceDetector {
		limit /= 4
	}
	return s[0]*s[1]*s[2] > limit
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func randomMat(r *rand.Rand, rows, cols int) tensor.Mat {
	return tensor.NewMat(rows, cols, random(r, rows*cols))
}

const guard = 12345.5

// guarded returns a zero matrix in the middle of guard numbers, and a check that they stand.
func guarded(rows, cols int) (m tensor.Mat, check func(t *testing.T)) {
	const band = 64
	all := make([]float32, rows*cols+2*band)
	for i := range all {
		all[i] = guard
	}
	m = tensor.NewMat(rows, cols, all[band:band+rows*cols:band+rows*cols])
	clear(m.Data)
	return m, func(t *testing.T) {
		t.Helper()
		for i, v := range all {
			if (i < band || i >= len(all)-band) && v != guard {
				t.Fatalf("number %d beside a matrix (%d, %d) is written", i-band, rows, cols)
			}
		}
	}
}
