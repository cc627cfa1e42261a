//go:build cuda && linux

package cuda

import (
	"math"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// SumRows adds Σ_i x[i] to y.
func (b *Backend) SumRows(y, x tensor.Mat) {
	b.begin()
	defer b.end()
	b.sumRows(y, x, tensor.Mat{}, 0)
}

// sumParts is the most parts that the rows of a sum are divided into.
const sumParts = 64

// sumRows adds Σ_i x[i] to y, or Σ_i x[i] ∘ (z[i] - mean) / σ where stats has these.
func (b *Backend) sumRows(y, x, z tensor.Mat, stats driver.Address) {
	b.wrote(y)
	rows, cols := x.Rows, x.Cols
	if rows*cols == 0 {
		return
	}
	height := max(64, blocks(rows, sumParts))
	n := blocks(rows, height)
	parts, ok := b.room(&b.parts, 4*n*cols)
	if !ok {
		return
	}
	b.launch(b.k.sumRows, driver.Dim3{X: blocks(cols, 32), Y: n}, driver.Pointer(parts), pointer(x), pointer(z), driver.Pointer(stats),
		driver.Int32(rows), driver.Int32(cols), driver.Int32(height))
	b.launch(b.k.addParts, driver.Dim3{X: blocks(cols, blockSize)}, pointer(y), driver.Pointer(parts), driver.Int32(n), driver.Int32(cols))
}

// ScaleBackward adds the gradients of y[i] = x[i] ∘ s[row[i]].
func (b *Backend) ScaleBackward(dx, ds, dy, x, s tensor.Mat, row []int32) {
	b.begin()
	defer b.end()
	n := x.Rows * x.Cols
	if n == 0 {
		return
	}
	if !dx.IsZero() {
		b.wrote(dx)
		b.launch(b.k.scaleBackward, driver.Dim3{X: blocks(n, blockSize)}, pointer(dx), pointer(dy), pointer(s), driver.Pointer(stage(b, row)),
			driver.Int64(int64(n)), driver.Int32(x.Cols))
	}
	if !ds.IsZero() {
		b.wrote(ds)
		b.addGroups(ds, dy, x, row)
	}
}

// LayerNormBackward adds the gradients of LayerNorm.
func (b *Backend) LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma tensor.Mat) {
	b.begin()
	defer b.end()
	if x.Rows*x.Cols == 0 {
		return
	}
	if !dbeta.IsZero() {
		b.sumRows(dbeta, dy, tensor.Mat{}, 0)
	}
	if dx.IsZero() && dgamma.IsZero() {
		return
	}
	stats, ok := b.room(&b.stats, 4*2*x.Rows)
	if !ok {
		return
	}
	b.launchRows(b.k.rowMoments, x.Rows, x.Cols, driver.Pointer(stats), pointer(x), driver.Int32(x.Cols), driver.Float32(tensor.LayerNormEps))
	if !dgamma.IsZero() {
		b.sumRows(dgamma, dy, x, stats)
	}
	if !dx.IsZero() {
		b.wrote(dx)
		b.launchRows(b.k.layerNormBackward, x.Rows, x.Cols, pointer(dx), pointer(dy), pointer(x), pointer(gamma), driver.Pointer(stats), driver.Int32(x.Cols))
	}
}

// GELUBackward adds dy ∘ GELU'(x) to dx.
func (b *Backend) GELUBackward(dx, dy, x tensor.Mat) {
	b.begin()
	defer b.end()
	b.wrote(dx)
	if n := x.Rows * x.Cols; n > 0 {
		b.launch(b.k.geluBackward, driver.Dim3{X: blocks(n, blockSize)}, pointer(dx), pointer(dy), pointer(x), driver.Int64(int64(n)))
	}
}

// EmbedBackward adds dy[i] to dtable[id[i]].
func (b *Backend) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	b.begin()
	defer b.end()
	b.wrote(dtable)
	if len(id) > 0 {
		b.addGroups(dtable, dy, tensor.Mat{}, id)
	}
}

// UnfoldBackward adds the gradients of Unfold.
func (b *Backend) UnfoldBackward(dx, dy tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	b.begin()
	defer b.end()
	b.wrote(dx)
	b.launchRows(b.k.unfoldBackward, dx.Rows, dx.Cols, pointer(dx), pointer(dy), driver.Pointer(stage(b, ySeg)), driver.Pointer(stage(b, xSeg)),
		driver.Int32(xSeg.Len()), driver.Int32(dx.Cols), driver.Int32(kernel), driver.Int32(stride))
}

// backwardSequence is backward_sequence of gradients.cu.
type backwardSequence struct {
	k, v, dk, dv                            uint64
	row, nQuery, nKey, causal, next, unused int32
}

// AttentionBackward adds the gradients of Attention to dq and dkv. Sequences that share keys share their gradients, and are added one after
// the other.
func (b *Backend) AttentionBackward(dq tensor.Mat, dkv []tensor.KeyValue, dy, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int,
	causal bool) {
	b.begin()
	defer b.end()
	if q.Rows*q.Cols == 0 {
		return
	}
	w := &b.work
	most := w.listBackward(dkv, seg, kv, causal, b)
	stats, ok := b.room(&b.stats, 4*2*q.Rows*nHead)
	if !ok {
		return
	}
	size := q.Cols / nHead
	list := driver.Pointer(stage(b, w.back))
	n, cols, heads := driver.Int32(len(w.back)), driver.Int32(q.Cols), driver.Int32(nHead)
	scale, width := driver.Float32(float32(math.Log2E/math.Sqrt(float64(size)))), driver.Int32(size)
	block, grid := driver.Dim3{X: 128}, driver.Dim3{X: q.Rows, Y: blocks(nHead, 4)}
	b.list.Launch(b.k.attentionStats, grid, block, 0, driver.Pointer(stats), pointer(dy), pointer(q), list, n, cols, width, heads, scale)
	if !dq.IsZero() {
		b.wrote(dq)
		b.list.Launch(b.k.attentionDQuery, grid, block, 0, pointer(dq), driver.Pointer(stats), pointer(dy), pointer(q), list, n, cols, width, heads, scale)
	}
	if len(w.chains) > 0 {
		grid = driver.Dim3{X: most, Y: blocks(nHead, 4), Z: len(w.chains)}
		b.list.Launch(b.k.attentionDKey, grid, block, 0, driver.Pointer(stats), pointer(dy), pointer(q), list, driver.Pointer(stage(b, w.chains)), cols, width,
			heads, scale)
	}
}

// listBackward lists the sequences with queries, in the order of their rows, and chains those that share gradients of keys or values.
// It returns the most keys of a sequence in a chain.
func (w *attentionWork) listBackward(dkv []tensor.KeyValue, seg tensor.Segments, kv []tensor.KeyValue, causal bool, b *Backend) (most int) {
	if w.last == nil {
		w.last = make(map[uint64]int)
	}
	clear(w.last)
	w.back, w.chains = w.back[:0], w.chains[:0]
	for i := range kv {
		from, to := seg.Range(i)
		if from == to {
			continue
		}
		s := backwardSequence{
			k: uint64(address(kv[i].K)), v: uint64(address(kv[i].V)), dk: uint64(address(dkv[i].K)), dv: uint64(address(dkv[i].V)),
			row: int32(from), nQuery: int32(to - from), nKey: int32(kv[i].K.Rows), next: -1,
		}
		if causal {
			s.causal = 1
		}
		if s.dk != 0 || s.dv != 0 {
			for _, m := range []tensor.Mat{dkv[i].K, dkv[i].V} {
				b.wrote(m)
			}
			shared := max(s.dk, s.dv) // they come in pairs
			if last, ok := w.last[shared]; ok {
				w.back[last].next = int32(len(w.back))
			} else {
				w.chains = append(w.chains, int32(len(w.back)))
			}
			w.last[shared] = len(w.back)
			most = max(most, int(s.nKey))
		}
		w.back = append(w.back, s)
	}
	return most
}
