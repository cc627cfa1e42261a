package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

func BenchmarkPeak(b *testing.B) {
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, dtype := range allDTypes {
			b.Run(dtype.String(), func(b *testing.B) {
				var rate float64
				for b.Loop() {
					rate = max(rate, c.Peak(dtype))
				}
				b.ReportMetric(rate/1e9, "GFLOP/s")
			})
		}
	})
}

// BenchmarkLinear multiplies the rows of an encoder window by packed weights.
func BenchmarkLinear(b *testing.B) {
	shapes := [][2]int{{384, 384}, {1536, 384}, {384, 1536}, {512, 512}, {2048, 512}, {512, 2048}, {768, 768}, {3072, 768}, {768, 3072}, {1280, 1280}, {5120, 1280}, {1280, 5120}}
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, dtype := range allDTypes {
			for _, s := range shapes {
				const m = 1500
				n, k := s[0], s[1]
				b.Run(fmt.Sprintf("%s/m=%d/n=%d/k=%d", dtype, m, n, k), func(b *testing.B) {
					r := rand.New(rand.NewPCG(1, 2))
					x, w := operands(r, m, n, k, tensor.TransB)
					y, bias := randomMat(r, m, n), randomMat(r, 1, n)
					f, _ := c.Pack(w, dtype)
					for b.Loop() {
						c.Linear(y, x, f, bias)
					}
					reportGFLOPS(b, c, m, n, k, dtype)
				})
			}
		}
	})
}

// BenchmarkDecoding multiplies a few rows by weights that are cold in memory: by turns of as many
// copies as the caches do not hold.
func BenchmarkDecoding(b *testing.B) {
	const cold = 96 << 20
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, dtype := range allDTypes {
			for _, s := range [][2]int{{384, 384}, {1536, 384}, {1280, 1280}, {51865, 384}} {
				n, k := s[0], s[1]
				w := randomMat(rand.New(rand.NewPCG(1, 2)), n, k)
				var weights []tensor.Packed
				bytes := 0
				for held := 0; held < cold || len(weights) < 2; held += bytes {
					f, _ := c.Pack(w, dtype)
					weights, bytes = append(weights, f), len(f.(*weight).data)
				}
				for _, m := range []int{1, 4, 8, 16} {
					b.Run(fmt.Sprintf("%s/m=%d/n=%d/k=%d", dtype, m, n, k), func(b *testing.B) {
						r := rand.New(rand.NewPCG(1, 2))
						x, y := randomMat(r, m, k), randomMat(r, m, n)
						i := 0
						for b.Loop() {
							c.Linear(y, x, weights[i%len(weights)], tensor.Mat{})
							i++
						}
						b.ReportMetric(float64(bytes)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
						b.ReportMetric(0, "ns/op")
						b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(b.N), "µs/op")
					})
				}
			}
		}
	})
}

// BenchmarkPackedAttention attends with the heads of base: all rows of a window to each other, and
// one row of each of 16 windows to theirs, whose keys and values are cold in memory.
func BenchmarkPackedAttention(b *testing.B) {
	const nKey, nCol, nHead, nWindow = 1500, 512, 8, 16
	eachISABenchmark(b, func(b *testing.B, c *Backend) {
		for _, dtype := range allDTypes {
			r := rand.New(rand.NewPCG(1, 2))
			k, v := randomMat(r, nKey, nCol), randomMat(r, nKey, nCol)
			size := c.PackedKVSize(nKey, nCol, nHead, dtype)
			kv := make([]tensor.KeyValue, nWindow)
			lengths := make([]int, nWindow)
			for i := range kv {
				packed := tensor.PackedKV{Rows: nKey, Cols: nCol, NHead: nHead, DType: dtype, Data: tensor.Aligned(size)}
				c.PackKeyValue([]tensor.PackedKV{packed}, []tensor.KeyValue{{K: k, V: v}})
				kv[i].Packed, lengths[i] = packed, 1
			}
			q, y := randomMat(r, nKey, nCol), randomMat(r, nKey, nCol)
			b.Run(fmt.Sprintf("%s/encoder", dtype), func(b *testing.B) {
				for b.Loop() {
					c.Attention(y, q, tensor.NewSegments(nKey), kv[:1], nHead, false)
				}
				reportGFLOPS(b, c, nKey, nKey, 2*nCol, dtype)
			})
			b.Run(fmt.Sprintf("%s/cross", dtype), func(b *testing.B) {
				for b.Loop() {
					c.Attention(y.Slice(0, nWindow), q.Slice(0, nWindow), tensor.NewSegments(lengths...), kv, nHead, false)
				}
				b.ReportMetric(4*float64(size*nWindow)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			})
		}
	})
}
