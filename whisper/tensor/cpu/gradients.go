package cpu

import "glossa/whisper/tensor"

var _ tensor.Gradients = (*Backend)(nil)

// SumRows adds Σ_i x[i] to y: each column is one chain over i in order, which then is added to y.
func (b *Backend) SumRows(y, x tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a = y, x
	l.eachCol(b, x.Rows, x.Cols, func(l *rowLoop, w *worker, from, to int) {
		if l.a.Rows == 0 {
			return
		}
		sum := w.floats(scratchRows, to-from)
		w.kernels.combine(sum, w.ones(l.a.Rows), l.a.Data[from:], l.a.Cols)
		w.kernels.add(l.y.Data[from:to], l.y.Data[from:to], sum)
	})
}

// ScaleBackward adds the gradients of y[i] = x[i] ∘ s[row[i]]: dx[i] += dy[i] ∘ s[row[i]] and
// ds[row[i]] += dy[i] ∘ x[i], each column of ds one chain over i in order.
func (b *Backend) ScaleBackward(dx, ds, dy, x, s tensor.Mat, row []int32) {
	l := b.rowLoop()
	defer l.release(b)
	l.a, l.b, l.c, l.row = dy, x, s, row
	if !dx.IsZero() {
		l.y = dx
		l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
			for i := from; i < to; i++ {
				w.kernels.mulAdd(l.y.Row(i), l.a.Row(i), l.c.Row(l.rowOf(i)))
			}
		})
	}
	if !ds.IsZero() {
		l.y = ds
		l.eachCol(b, x.Rows, x.Cols, func(l *rowLoop, w *worker, from, to int) {
			for i := range l.b.Rows {
				w.kernels.mulAdd(l.y.Row(l.rowOf(i))[from:to], l.a.Row(i)[from:to], l.b.Row(i)[from:to])
			}
		})
	}
}

// GELUBackward adds dy ∘ (Φ(x) + x φ(x)) to dx, φ the normal density.
func (b *Backend) GELUBackward(dx, dy, x tensor.Mat) {
	if dx.IsZero() {
		return
	}
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b = dx, dy, x
	l.each(b, len(x.Data), 1, taskElements, func(l *rowLoop, w *worker, from, to int) {
		w.kernels.geluBackward(l.y.Data[from:to], l.a.Data[from:to], l.b.Data[from:to])
	})
}
