package cpu

import "glossa/whisper/tensor"

// Embed computes y[i] = table[id[i]].
func (b *Backend) Embed(y, table tensor.Mat, id []int32) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.row = y, table, id
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			copy(l.y.Row(i), l.a.Row(int(l.row[i])))
		}
	})
}

// EmbedBackward adds dy[i] to dtable[id[i]]: each column is one chain over i in order.
func (b *Backend) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	if dtable.IsZero() {
		return
	}
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.row = dtable, dy, id
	l.eachCol(b, dy.Rows, dy.Cols, func(l *rowLoop, w *worker, from, to int) {
		for i, id := range l.row {
			y := l.y.Row(int(id))[from:to]
			w.kernels.add(y, y, l.a.Row(i)[from:to])
		}
	})
}
