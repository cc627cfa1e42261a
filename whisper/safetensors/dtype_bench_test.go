package safetensors

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkDecode widens the numbers of a tensor, as weights are distributed.
func BenchmarkDecode(b *testing.B) {
	const n = 1 << 16
	rng := rand.New(rand.NewPCG(1, 2))
	values, raw := make([]float32, n), make([]byte, 4*n)
	for i := range values {
		values[i] = float32(0.02 * rng.NormFloat64())
	}
	for _, d := range []DType{F16, BF16, F32} {
		b.Run(string(d), func(b *testing.B) {
			d.encode(raw, values)
			for b.Loop() {
				d.decode(values, raw)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/number")
		})
	}
}
