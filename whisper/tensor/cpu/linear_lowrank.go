package cpu

import "glossa/whisper/tensor"

// LowRankLinear computes what ScaledLinear or Linear do, with low[i] added to row i: x vᵀ of all rows
// before, and what that is multiplied by as soon as a task has done its part of the product, in its cache.
func (b *Backend) LowRankLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu bool) {
	b.multiplyLinear(y, x, w.(*weight), bias, s, low, gelu)
}

// shrinkWork is the least number of multiply-adds in a task of products with v.
const shrinkWork = 1 << 14

// shrink computes x vᵀ of the rows that have factors, in the memory of z.
func (b *Backend) shrink(p *linear, z *buffer, low []*tensor.LowRank) {
	p.low, p.zRow = low, 0
	work := 0
	for i, l := range low {
		if l == nil || i > 0 && l == low[i-1] && p.zRow > 0 {
			continue
		}
		p.zRow = max(p.zRow, l.Packed().(*lowRank).rank)
	}
	if p.zRow == 0 {
		return
	}
	p.z = z.floats(len(low) * p.zRow)
	work = len(low) * p.zRow * p.x.Cols
	tasks := min(max(work/shrinkWork, 1), tasksPerThread*b.threads, len(low))
	p.rows = (len(low) + tasks - 1) / tasks
	b.parallel((len(low)+p.rows-1)/p.rows, p.lower)
	p.rows = 0
}

// shrinkTask computes x vᵀ for p.rows rows.
func (p *linear) shrinkTask(w *worker, i int) {
	for j := i * p.rows; j < min((i+1)*p.rows, len(p.low)); j++ {
		if l := p.low[j]; l != nil {
			l.Packed().(*lowRank).shrink(w, p.z[j*p.zRow:][:p.zRow], p.x.Row(j))
		}
	}
}

// expand adds columns j0:j1 of what row i has beside the product to y.
func (p *linear) expand(w *worker, y []float32, i, j0, j1 int) {
	if l := p.low[i]; l != nil {
		l.Packed().(*lowRank).expand(w, y, p.z[i*p.zRow:], j0, j1)
	}
}

// AddLowRank adds low[i] to row i of y.
func (b *Backend) AddLowRank(y, x tensor.Mat, low []*tensor.LowRank) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.low = y, x, low
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			if l.low[i] == nil {
				continue
			}
			f := l.low[i].Packed().(*lowRank)
			z := w.floats(scratchC, max(f.rank, 1))
			f.shrink(w, z, l.a.Row(i))
			f.expand(w, l.y.Row(i), z, 0, l.y.Cols)
		}
	})
}

// AddRows computes y[row[i]] += x[i].
func (b *Backend) AddRows(y, x tensor.Mat, row []int32) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.row = y, x, row
	l.eachCol(b, x.Rows, x.Cols, addRows)
}

// addRows adds the columns from:to of rows to those that l.row names.
func addRows(l *rowLoop, w *worker, from, to int) {
	for i, row := range l.row {
		y := l.y.Row(int(row))[from:to]
		w.kernels.add(y, y, l.a.Row(i)[from:to])
	}
}
