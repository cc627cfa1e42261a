package cpu

import (
	"math"

	"glossa/whisper/tensor"
)

const (
	// directRows is the number of queries of a sequence up to which its products are dot products,
	// with the same bits: packing the keys for a matrix product would cost more than it saves.
	directRows = 4

	// scoreElements is how many scores are held at a time (384 KiB), to stay in the second-level
	// cache between the two products of a tile of queries.
	scoreElements = 96 << 10

	// tileRows is the most queries in a tile, a multiple of the rows of every kernel's tile, and plainRows
	// that where the keys are not packed: each tile packs them.
	tileRows  = 96
	plainRows = 192
)

// attention is one call of Attention or AttentionBackward, divided into tasks. It is kept for
// reuse with its bound methods.
type attention struct {
	y, q   tensor.Mat // y is dy in the backward pass
	dq     tensor.Mat
	seg    tensor.Segments
	kv     []tensor.KeyValue
	dkv    []tensor.KeyValue
	nHead  int
	nCol   int // of all heads
	size   int // of a head
	scale  float32
	causal bool

	operands *format // what products round their operands to

	tiles  int  // of queries, in the longest sequence
	shared bool // sequences share rows of dkv
	step   int  // heads, or tiles of queries, of a task
	n      int  // of all tasks

	forward  func(w *worker, i int) // a.runForward
	backward func(w *worker, i int) // a.runBackward
}

func (b *Backend) attention(q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) *attention {
	a := b.attentions.get()
	if a.forward == nil {
		a.forward, a.backward = a.runForward, a.runBackward
	}
	a.q, a.seg, a.kv, a.nHead, a.causal, a.operands = q, seg, kv, nHead, causal, b.operands
	a.nCol, a.size = q.Cols, q.Cols/nHead
	a.scale = float32(1 / math.Sqrt(float64(a.size)))
	return a
}

// release forgets the operands of a.
func (a *attention) release(b *Backend) {
	*a = attention{forward: a.forward, backward: a.backward}
	b.attentions.put(a)
}

// Attention computes y = softmax(q kᵀ / sqrt(nCol/nHead)) v for each sequence and head, a tile of
// queries at a time. How a sequence is computed depends on its own shape alone.
func (b *Backend) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	a := b.attention(q, seg, kv, nHead, causal)
	defer a.release(b)
	a.y = y
	for s := range seg.Len() {
		from, to := a.queries(s)
		rows := a.tile(s)
		a.tiles = max(a.tiles, (to-from+rows-1)/rows)
	}
	a.run(b, seg.Len()*nHead*a.tiles, a.forward)
}

// run calls f for n tasks, or for one of all where the work is little.
func (a *attention) run(b *Backend, n int, f func(w *worker, i int)) {
	work := 0
	for s := range a.seg.Len() {
		from, to := a.seg.Range(s)
		work += 2 * (to - from) * a.kv[s].Rows() * a.nCol
	}
	a.n, a.step = n, 1
	if work < serialWork {
		a.step = max(n, 1)
	}
	b.parallel((n+a.step-1)/a.step, f)
}

// tile returns the number of queries of sequence s that are computed at a time.
func (a *attention) tile(s int) int {
	rows := scoreElements / max(a.kv[s].Rows(), 1)
	if a.kv[s].Packed.Data == nil {
		from, to := a.seg.Range(s)
		rows = max(min(rows, plainRows)/12*12, 12)
		tiles := max((to-from+rows-1)/rows, 1)
		return max(roundUp((to-from+tiles-1)/tiles, 12), 12) // about the same each
	}
	if a.kv[s].Packed.DType == tensor.I8 {
		rows = rows/2 - 1 // of two digits, and one of offsets
	}
	if rows >= tileRows {
		return tileRows
	}
	return max(rows/12*12, 12)
}

func (a *attention) runForward(w *worker, task int) {
	for i := task * a.step; i < min((task+1)*a.step, a.n); i++ {
		s, head, tile := i/a.tiles/a.nHead, i/a.tiles%a.nHead, i%a.tiles
		first, end := a.queries(s)
		rows := a.tile(s)
		from, to := first+tile*rows, min(first+(tile+1)*rows, end)
		switch {
		case from >= to:
		case a.kv[s].Packed.Data != nil:
			a.tilePacked(w, s, head, from, to)
		case a.isDirect(s):
			a.direct(w, s, head)
		default:
			a.tileForward(w, s, head, from, to)
		}
	}
}

// isDirect reports whether the products of sequence s are computed as dot products.
func (a *attention) isDirect(s int) bool {
	from, to := a.seg.Range(s)
	return a.operands.dtype == tensor.F32 && to-from <= directRows && a.size%dotRows == 0 && a.visible(s, from) >= dotRows
}

// visible returns the number of keys that row i of the queries, of sequence s, attends to.
func (a *attention) visible(s, i int) int {
	n := a.kv[s].K.Rows
	if !a.causal {
		return n
	}
	return n - int(a.seg[s+1]) + i + 1
}

// at returns m from row i and the first column of a head on.
func (a *attention) at(m tensor.Mat, i, head int) []float32 {
	return m.Data[i*a.nCol+head*a.size:]
}

// direct computes one head of a sequence of few queries by dot products.
func (a *attention) direct(w *worker, s, head int) {
	from, to := a.seg.Range(s)
	kv := a.kv[s]
	for i := from; i < to; i++ {
		n := a.visible(s, i)
		p := w.floats(scratchScores, n)
		w.kernels.dots(p, a.at(a.q, i, head)[:a.size], a.at(kv.K, 0, head), a.nCol)
		sum := w.kernels.expSum(p, p, a.scale, a.scale*w.kernels.max(p))
		y := a.at(a.y, i, head)[:a.size]
		w.kernels.combine(y, p, a.at(kv.V, 0, head), a.nCol)
		w.kernels.rowKernels.scale(y, y, 1/sum)
	}
}

// tileForward computes one head of the queries from:to of sequence s.
func (a *attention) tileForward(w *worker, s, head, from, to int) {
	m, n := to-from, a.visible(s, to-1)
	p := w.floats(scratchScores, m*n)
	sums := w.floats(scratchRows, m)
	a.weights(w, s, head, from, to, p, sums)
	v := a.at(a.kv[s].V, 0, head)
	w.gemm(a.operands, m, a.size, n, p, n, false, v, a.nCol, false, a.at(a.y, from, head), a.nCol, false)
	finite := a.isFinite(w, s, head, a.visible(s, from), n)
	for i, sum := range sums {
		y := a.at(a.y, from+i, head)[:a.size]
		if !finite {
			w.kernels.combine(y, p[i*n:i*n+a.visible(s, from+i)], v, a.nCol)
		}
		w.kernels.rowKernels.scale(y, y, 1/sum)
	}
}

// isFinite reports whether the values of the keys from:to are finite and not very large, so that
// a weight of zero leaves them out of a sum.
func (a *attention) isFinite(w *worker, s, head, from, to int) bool {
	for j := from; j < to; j++ {
		v := a.at(a.kv[s].V, j, head)[:a.size]
		if sum := w.kernels.dot(v, v); !(sum <= math.MaxFloat32) {
			return false
		}
	}
	return true
}

// weights sets p (m, n) to exp(scale (s - max s)) for the scores s = q kᵀ of the queries from:to
// of sequence s, zero where a query does not see the key, and sums to the sums of its rows.
func (a *attention) weights(w *worker, s, head, from, to int, p, sums []float32) {
	m, n := to-from, a.visible(s, to-1)
	w.gemm(a.operands, m, n, a.size, a.at(a.q, from, head), a.nCol, false, a.at(a.kv[s].K, 0, head), a.nCol, true, p, n, false)
	for i := range m {
		seen := a.visible(s, from+i)
		row := p[i*n : i*n+seen]
		sums[i] = w.kernels.expSum(row, row, a.scale, a.scale*w.kernels.max(row))
		clear(p[i*n+seen : (i+1)*n])
	}
}
