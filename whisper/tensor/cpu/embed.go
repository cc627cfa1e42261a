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

// EmbedPacked computes y[i] = w[id[i]].
func (b *Backend) EmbedPacked(y tensor.Mat, w tensor.Packed, id []int32) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.packed, l.row = y, w.(*weight), id
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			l.packed.unpack(l.y.Row(i), int(l.row[i]))
		}
	})
}

// unpack writes what channel i stands for to row.
func (w *weight) unpack(row []float32, i int) {
	f := w.format
	panel, lane := w.data[i/f.nr*f.nr*f.steps(w.nIn)*f.bSize:], i%f.nr
	switch f.dtype {
	case tensor.F32:
		numbers := floatsOf(panel)
		for t := range row {
			row[t] = numbers[t*f.nr+lane]
		}
	case tensor.BF16:
		words := halves(floatsOf(panel))
		for t := range row {
			row[t] = float32FromBF16(words[2*(t/2*f.nr+lane)+t%2])
		}
	case tensor.I8:
		for t := range row {
			row[t] = w.scales[i] * float32(int8(panel[f.terms*(t/f.terms*f.nr+lane)+t%f.terms]))
		}
		for t, v := range w.inverse {
			row[t] *= v
		}
	}
}

// EmbedBackward adds dy[i] to dtable[id[i]]: each column is one chain over i in order.
func (b *Backend) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	if dtable.IsZero() {
		return
	}
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.row = dtable, dy, id
	l.eachCol(b, dy.Rows, dy.Cols, addRows)
}
