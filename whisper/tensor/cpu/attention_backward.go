package cpu

import (
	"unsafe"

	"glossa/whisper/tensor"
)

// AttentionBackward adds the gradients of Attention to dq and dkv. With p the softmax, computed
// again, and scale = 1/sqrt(nCol/nHead),
//
//	dv += pᵀ dy    dp = dy vᵀ    ds = scale p ∘ (dp - Σ_j dp ∘ p)    dq += ds k    dk += dsᵀ q
//
// Where sequences have rows of dkv in common, as several texts of one utterance do, they are
// added in the order of the sequences.
func (b *Backend) AttentionBackward(dq tensor.Mat, dkv []tensor.KeyValue, dy, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	a := b.attention(q, seg, kv, nHead, causal)
	defer a.release(b)
	a.y, a.dq, a.dkv = dy, dq, dkv
	a.shared = sharesRows(dkv)
	n := nHead
	if !a.shared {
		n *= seg.Len()
	}
	a.run(b, n, a.backward)
}

// sharesRows reports whether destinations of two sequences overlap.
func sharesRows(dkv []tensor.KeyValue) bool {
	for i, x := range dkv {
		for _, y := range dkv[:i] {
			if overlap(x.K.Data, y.K.Data) || overlap(x.V.Data, y.V.Data) ||
				overlap(x.K.Data, y.V.Data) || overlap(x.V.Data, y.K.Data) {
				return true
			}
		}
	}
	return false
}

func overlap(a, b []float32) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return a0 < b0+4*uintptr(len(b)) && b0 < a0+4*uintptr(len(a))
}

func (a *attention) runBackward(w *worker, task int) {
	for i := task * a.step; i < min((task+1)*a.step, a.n); i++ {
		if !a.shared {
			a.headBackward(w, i/a.nHead, i%a.nHead)
			continue
		}
		for s := range a.seg.Len() {
			a.headBackward(w, s, i)
		}
	}
}

// headBackward adds the gradients of one head of sequence s, tile after tile of its queries.
func (a *attention) headBackward(w *worker, s, head int) {
	first, end := a.seg.Range(s)
	rows := a.tile(s)
	for from := first; from < end; from += rows {
		a.tileBackward(w, s, head, from, min(from+rows, end))
	}
}

func (a *attention) tileBackward(w *worker, s, head, from, to int) {
	m, n, size, nCol := to-from, a.visible(s, to-1), a.size, a.nCol
	kv, dkv := a.kv[s], a.dkv[s]
	q, dy := a.at(a.q, from, head), a.at(a.y, from, head)

	p := w.floats(scratchScores, m*n)
	sums := w.floats(scratchRows, m)
	a.weights(w, s, head, from, to, p, sums)
	if !dkv.V.IsZero() {
		part := w.floats(scratchRows3, m*size) // dy over the sums, which p lacks
		for i, sum := range sums {
			w.kernels.rowKernels.scale(part[i*size:(i+1)*size], dy[i*nCol:][:size], 1/sum)
		}
		w.gemm(a.operands, n, size, m, p, n, true, part, size, false, a.at(dkv.V, 0, head), nCol, true)
	}
	if a.dq.IsZero() && dkv.K.IsZero() {
		return
	}
	ds := w.floats(scratchRows2, m*n)
	w.gemm(a.operands, m, n, size, dy, nCol, false, a.at(kv.V, 0, head), nCol, true, ds, n, false)
	for i, sum := range sums {
		p, ds := p[i*n:(i+1)*n], ds[i*n:(i+1)*n]
		w.kernels.softmaxBackward(ds, p, ds, w.kernels.dot(p, ds)/sum, a.scale/sum)
	}
	if !a.dq.IsZero() {
		w.gemm(a.operands, m, size, n, ds, n, false, a.at(kv.K, 0, head), nCol, false, a.at(a.dq, from, head), nCol, true)
	}
	if !dkv.K.IsZero() {
		w.gemm(a.operands, n, size, m, ds, n, true, q, nCol, false, a.at(dkv.K, 0, head), nCol, true)
	}
}
