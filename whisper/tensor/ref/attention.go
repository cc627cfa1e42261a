package ref

import (
	"math"

	"glossa/whisper/tensor"
)

// Attention computes y = softmax(q kᵀ / sqrt(nCol/nHead)) v for each sequence and head (Vaswani
// et al. 2017, eq. 1).
func (*Backend) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	for s := range kv {
		from, to := seg.Range(s)
		for h := range nHead {
			a := head{q.Slice(from, to), kv[s].K, kv[s].V, h * q.Cols / nHead, (h + 1) * q.Cols / nHead}
			for i := range to - from {
				p := a.probabilities(i, causal)
				for c := a.from; c < a.to; c++ {
					var sum float64
					for j, pj := range p {
						sum += pj * float64(a.v.Row(j)[c])
					}
					y.Row(from + i)[c] = float32(sum)
				}
			}
		}
	}
}

// head is one head of one sequence: columns from:to of its queries (nQuery, nCol) and of its keys
// and values (nKey, nCol).
type head struct {
	q, k, v  tensor.Mat
	from, to int
}

// probabilities returns softmax(q[i] kᵀ / sqrt(nCol/nHead)) over the keys that query i sees.
func (a head) probabilities(i int, causal bool) []float64 {
	nKey := a.k.Rows
	if causal {
		nKey = a.k.Rows - a.q.Rows + i + 1
	}
	score := make([]float64, nKey)
	for j := range score {
		score[j] = dot(a.q.Row(i)[a.from:a.to], a.k.Row(j)[a.from:a.to]) * a.scale()
	}
	logSum := logSumExp(score)
	for j := range score {
		score[j] = math.Exp(score[j] - logSum)
	}
	return score
}

// scale returns 1/sqrt(nCol/nHead).
func (a head) scale() float64 { return 1 / math.Sqrt(float64(a.to-a.from)) }

func dot(x, y []float32) float64 {
	var sum float64
	for i := range x {
		sum += float64(x[i]) * float64(y[i])
	}
	return sum
}

// AttentionBackward adds, for each sequence and head, with p the probabilities,
//
//	dv = pᵀ dy
//	ds = p ∘ (dy vᵀ - rowsum(p ∘ dy vᵀ))
//	dq = ds k / sqrt(nCol/nHead)
//	dk = dsᵀ q / sqrt(nCol/nHead)
func (*Backend) AttentionBackward(dq tensor.Mat, dkv []tensor.KeyValue, dy, q tensor.Mat, seg tensor.Segments,
	kv []tensor.KeyValue, nHead int, causal bool) {
	for s := range kv {
		from, to := seg.Range(s)
		var dqs tensor.Mat
		if !dq.IsZero() {
			dqs = dq.Slice(from, to)
		}
		for h := range nHead {
			a := head{q.Slice(from, to), kv[s].K, kv[s].V, h * q.Cols / nHead, (h + 1) * q.Cols / nHead}
			a.backward(dqs, dkv[s], dy.Slice(from, to), causal)
		}
	}
}

// backward adds the gradients of one head of one sequence.
func (a head) backward(dq tensor.Mat, dkv tensor.KeyValue, dy tensor.Mat, causal bool) {
	p := make([][]float64, dy.Rows)
	ds := make([][]float64, dy.Rows)
	for i := range p {
		p[i] = a.probabilities(i, causal)
		ds[i] = make([]float64, len(p[i]))
		var mean float64
		for j := range p[i] {
			ds[i][j] = dot(dy.Row(i)[a.from:a.to], a.v.Row(j)[a.from:a.to])
			mean += p[i][j] * ds[i][j]
		}
		for j := range p[i] {
			ds[i][j] = p[i][j] * (ds[i][j] - mean)
		}
	}
	if !dq.IsZero() {
		a.addProduct(dq, ds, a.k, a.scale(), false)
	}
	if !dkv.K.IsZero() {
		a.addProduct(dkv.K, ds, a.q, a.scale(), true)
	}
	if !dkv.V.IsZero() {
		a.addProduct(dkv.V, p, dy, 1, true)
	}
}

// addProduct adds scale op(w) m to the head's columns of d, op a transposition where transposed
// says so. The rows of w may end early: what a row lacks is zero.
func (a head) addProduct(d tensor.Mat, w [][]float64, m tensor.Mat, scale float64, transposed bool) {
	for r := range d.Rows {
		for c := a.from; c < a.to; c++ {
			sum := float64(d.Row(r)[c])
			for l := range m.Rows {
				i, j := r, l
				if transposed {
					i, j = l, r
				}
				if j < len(w[i]) {
					sum += scale * w[i][j] * float64(m.Row(l)[c])
				}
			}
			d.Row(r)[c] = float32(sum)
		}
	}
}
