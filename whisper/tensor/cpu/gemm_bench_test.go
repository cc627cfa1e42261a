package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

func eachISABenchmark(b *testing.B, f func(b *testing.B, c *Backend)) {
	for _, k := range available() {
		b.Run(k.name, func(b *testing.B) {
			c, err := New(Options{ISA: k.name})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			f(b, c)
		})
	}
}

// peakRate is [Backend.Peak], measured once for each instruction set.
var peakRate = func() func(c *Backend) float64 {
	rates := map[string]float64{}
	return func(c *Backend) float64 {
		if rates[c.name] == 0 {
			rates[c.name] = c.Peak(tensor.F32)
		}
		return rates[c.name]
	}
}()

func reportGFLOPS(b *testing.B, c *Backend, m, n, k int) {
	rate := 2 * float64(m) * float64(n) * float64(k) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate/1e9, "GFLOP/s")
	b.ReportMetric(100*rate/peakRate(c), "%peak")
}

func BenchmarkPeak(b *testing.B) {
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		var rate, read float64
		for b.Loop() {
			rate, read = max(rate, c.Peak(tensor.F32)), max(read, c.PeakRead())
		}
		b.ReportMetric(rate/1e9, "GFLOP/s")
		b.ReportMetric(read/1e9, "GB/s")
	})
}

// BenchmarkLinear multiplies the rows of an encoder window by packed weights.
func BenchmarkLinear(b *testing.B) {
	shapes := [][3]int{{1500, 384, 384}, {1500, 1536, 384}, {1500, 384, 1536}, {1500, 768, 768}, {1500, 3072, 768}, {1500, 1280, 1280}}
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, s := range shapes {
			m, n, k := s[0], s[1], s[2]
			b.Run(fmt.Sprintf("m=%d/n=%d/k=%d", m, n, k), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 2))
				x, w := operands(r, m, n, k, tensor.TransB)
				y, bias := randomMat(r, m, n), randomMat(r, 1, n)
				f, _ := c.Pack(w, tensor.F32)
				for b.Loop() {
					c.Linear(y, x, f, bias)
				}
				reportGFLOPS(b, c, m, n, k)
			})
		}
	})
}

// BenchmarkMatMul multiplies as a step of training does: forward, and the gradients of the input
// and of the weight.
func BenchmarkMatMul(b *testing.B) {
	shapes := []struct {
		name    string
		m, n, k int
		t       tensor.Transpose
	}{
		{"forward", 4000, 768, 192, tensor.TransB},
		{"forward", 4000, 192, 768, tensor.TransB},
		{"input", 4000, 768, 192, tensor.NoTrans},
		{"input", 4000, 192, 768, tensor.NoTrans},
		{"weight", 192, 768, 4000, tensor.TransA},
		{"weight", 768, 192, 4000, tensor.TransA},
		{"weight", 192, 192, 4000, tensor.TransA},
	}
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, s := range shapes {
			b.Run(fmt.Sprintf("%s/m=%d/n=%d/k=%d", s.name, s.m, s.n, s.k), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 2))
				x, y := operands(r, s.m, s.n, s.k, s.t)
				out := randomMat(r, s.m, s.n)
				for b.Loop() {
					c.MatMul(out, x, y, s.t, false)
				}
				reportGFLOPS(b, c, s.m, s.n, s.k)
			})
		}
	})
}

// BenchmarkDecoding multiplies a few rows by weights that are cold in memory: by turns of as many
// copies as the caches do not hold.
func BenchmarkDecoding(b *testing.B) {
	const cold = 64 << 20
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, s := range [][2]int{{384, 384}, {1536, 384}, {1280, 1280}, {51865, 384}} {
			n, k := s[0], s[1]
			r := rand.New(rand.NewPCG(1, 2))
			w := randomMat(r, n, k)
			weights := make([]tensor.Packed, max(2, cold/(4*n*k)))
			for i := range weights {
				weights[i], _ = c.Pack(w, tensor.F32)
			}
			for _, m := range []int{1, 2, 4, 8, 16} {
				b.Run(fmt.Sprintf("m=%d/n=%d/k=%d", m, n, k), func(b *testing.B) {
					x, y := randomMat(r, m, k), randomMat(r, m, n)
					i := 0
					for b.Loop() {
						c.Linear(y, x, weights[i%len(weights)], tensor.Mat{})
						i++
					}
					b.ReportMetric(4*float64(n)*float64(k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
				})
			}
		}
	})
}
