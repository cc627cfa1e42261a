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

// reportGFLOPS reports the rate of a product and its share of the peak for weights of dtype, which it
// measures now: these machines change their speed.
func reportGFLOPS(b *testing.B, c *Backend, m, n, k int, dtype tensor.DType) {
	rate := 2 * float64(m) * float64(n) * float64(k) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate/1e9, "GFLOP/s")
	if peak := c.Peak(dtype); peak > 0 {
		b.ReportMetric(100*rate/peak, "%peak")
	}
}

// BenchmarkMatMul multiplies as a step of training does: forward, and the gradients of the input
// and of the weight.
func BenchmarkMatMul(b *testing.B) {
	shapes := []struct {
		name    string
		m, n, k int
		t       tensor.Transpose
	}{
		{"forward", 4000, 192, 192, tensor.TransB},
		{"forward", 4000, 768, 192, tensor.TransB},
		{"forward", 4000, 192, 768, tensor.TransB},
		{"forward", 4000, 1281, 192, tensor.TransB},
		{"input", 4000, 192, 192, tensor.NoTrans},
		{"input", 4000, 768, 192, tensor.NoTrans},
		{"input", 4000, 192, 768, tensor.NoTrans},
		{"weight", 192, 768, 4000, tensor.TransA},
		{"weight", 768, 192, 4000, tensor.TransA},
		{"weight", 192, 192, 4000, tensor.TransA},
		{"weight", 1281, 192, 4000, tensor.TransA},
	}
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
			rounded := c.Rounded(dtype)
			if rounded == nil {
				continue
			}
			for _, s := range shapes {
				b.Run(fmt.Sprintf("%s/%s/m=%d/n=%d/k=%d", dtype, s.name, s.m, s.n, s.k), func(b *testing.B) {
					r := rand.New(rand.NewPCG(1, 2))
					x, y := operands(r, s.m, s.n, s.k, s.t)
					out := randomMat(r, s.m, s.n)
					for b.Loop() {
						rounded.MatMul(out, x, y, s.t, false)
					}
					reportGFLOPS(b, c, s.m, s.n, s.k, dtype)
				})
			}
		}
	})
}
