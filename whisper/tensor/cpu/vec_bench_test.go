package cpu

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// BenchmarkRows measures the loops over rows on one thread, the operands in the first-level cache.
func BenchmarkRows(b *testing.B) {
	const n = 1500
	x, y, z, g := ramp(n), ramp(n), make([]float32, n), ramp(n)
	var sink float32
	for _, k := range available() {
		for _, kernel := range []struct {
			name string
			run  func()
		}{
			{"add", func() { k.add(z, x, y) }},
			{"max", func() { sink = k.max(x) }},
			{"dot", func() { sink = k.dot(x, y) }},
			{"expSum", func() { sink = k.expSum(z, x, 0.125, 1) }},
			{"sumExp", func() { sink = k.sumExp(x, 8) }},
			{"softmax", func() {
				sum := k.expSum(z, x, 0.125, 0.125*k.max(x))
				k.rowKernels.scale(z, z, 1/sum)
			}},
			{"softmaxBackward", func() { k.softmaxBackward(z, x, y, 0.5, 0.125) }},
			{"gelu", func() { k.gelu(z, x) }},
			{"geluBackward", func() { clear(z); k.geluBackward(z, y, x) }},
			{"layerNorm", func() {
				mean, rstd := k.moments(x, tensor.LayerNormEps)
				k.normalise(z, x, g, y, mean, rstd)
			}},
			{"layerNormBackward", func() {
				mean, rstd := k.moments(x, tensor.LayerNormEps)
				sum, dot := k.normSums(y, x, g, mean, rstd)
				k.normBackward(z, y, x, g, mean, rstd, sum/n, dot/n)
			}},
		} {
			b.Run(kernel.name+"/"+k.name, func(b *testing.B) {
				for b.Loop() {
					kernel.run()
				}
				b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelem/s")
			})
		}
	}
	_ = sink
}

// ramp returns n numbers from -4 to 4 in a scattered order.
func ramp(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 8*float32(i*7919%n)/float32(n) - 4
	}
	return x
}

// attentionShapes are a window of the encoder, a text in training, and steps of decoding.
var attentionShapes = []struct {
	name                      string
	nSeq, nQuery, nKey, nHead int
	causal                    bool
}{
	{"encoder", 1, 1500, 1500, 6, false},
	{"text", 16, 60, 60, 6, true},
	{"cross", 16, 60, 300, 6, false},
	{"step", 16, 1, 1500, 6, false},
	{"stepSelf", 16, 1, 100, 6, true},
}

func BenchmarkAttention(b *testing.B) {
	const size = 64
	for _, s := range attentionShapes {
		nCol := s.nHead * size
		q := tensor.NewMat(s.nSeq*s.nQuery, nCol, ramp(s.nSeq*s.nQuery*nCol))
		y, dq := tensor.Zeros(q.Rows, nCol), tensor.Zeros(q.Rows, nCol)
		seg := make(tensor.Segments, s.nSeq+1)
		kv, dkv := make([]tensor.KeyValue, s.nSeq), make([]tensor.KeyValue, s.nSeq)
		for i := range kv {
			seg[i+1] = int32((i + 1) * s.nQuery)
			k := tensor.NewMat(s.nKey, nCol, ramp(s.nKey*nCol))
			kv[i] = tensor.KeyValue{K: k, V: k}
			dkv[i] = tensor.KeyValue{K: tensor.Zeros(s.nKey, nCol), V: tensor.Zeros(s.nKey, nCol)}
		}
		flops := 4 * float64(q.Rows*s.nKey*nCol)
		for _, threads := range []int{1, 2} {
			report := func(pass string, flops float64, run func(c *Backend)) {
				b.Run(fmt.Sprintf("%s/%s/threads=%d", s.name, pass, threads), func(b *testing.B) {
					c, err := New(Options{Threads: threads})
					if err != nil {
						b.Fatal(err)
					}
					defer c.Close()
					for b.Loop() {
						run(c)
					}
					b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
			report("forward", flops, func(c *Backend) { c.Attention(y, q, seg, kv, s.nHead, s.causal) })
			report("backward", 2.5*flops, func(c *Backend) {
				c.AttentionBackward(dq, dkv, y, q, seg, kv, s.nHead, s.causal)
			})
		}
	}
}
