package cpu

import "glossa/whisper/tensor"

const (
	// taskElements is the least number of elements that one task of an element-wise kernel
	// takes, and serialElements the number up to which one goroutine computes alone: what is
	// done in the time that it takes to wake another.
	taskElements   = 1 << 13
	serialElements = 1 << 14

	// blockCols is the number of columns in a task of a sum over rows: some cache lines.
	blockCols = 64
)

// rowLoop is one element-wise kernel at work, divided into tasks of whole rows or of column
// blocks. It is kept for reuse with its bound method; operands mean what body says.
type rowLoop struct {
	y, a, b, c, d tensor.Mat
	packed        *weight
	low           []*tensor.LowRank
	row           []int32
	ySeg, xSeg    tensor.Segments
	kernel        int
	stride        int
	stats         []float32

	n, step int // iterations, and those of one task
	body    func(l *rowLoop, w *worker, from, to int)
	task    func(w *worker, i int) // l.runTask
}

func (b *Backend) rowLoop() *rowLoop {
	l := b.rowLoops.get()
	if l.task == nil {
		l.task = l.runTask
	}
	return l
}

// release forgets the operands of l and keeps its memory.
func (l *rowLoop) release(b *Backend) {
	*l = rowLoop{task: l.task, stats: l.stats}
	b.rowLoops.put(l)
}

func (l *rowLoop) runTask(w *worker, i int) {
	l.body(l, w, i*l.step, min((i+1)*l.step, l.n))
}

// each runs body over 0 … n-1, iterations of size elements each, in tasks of at least step.
func (l *rowLoop) each(b *Backend, n, size, step int, body func(l *rowLoop, w *worker, from, to int)) {
	l.n, l.body = n, body
	l.step = max(step, (taskElements+size-1)/max(size, 1))
	if n*size <= serialElements {
		l.step = max(n, 1)
	}
	b.parallel((n+l.step-1)/l.step, l.task)
}

// eachRow runs body over the rows of l.y.
func (l *rowLoop) eachRow(b *Backend, body func(l *rowLoop, w *worker, from, to int)) {
	l.each(b, l.y.Rows, l.y.Cols, 1, body)
}

// eachCol runs body over the columns of a sum over nRow rows, in blocks of at least blockCols.
func (l *rowLoop) eachCol(b *Backend, nRow, nCol int, body func(l *rowLoop, w *worker, from, to int)) {
	l.each(b, nCol, nRow, blockCols, body)
}

// Add computes y = a + b.
func (b *Backend) Add(y, a, x tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b = y, a, x
	l.each(b, len(y.Data), 1, taskElements, func(l *rowLoop, w *worker, from, to int) {
		w.kernels.add(l.y.Data[from:to], l.a.Data[from:to], l.b.Data[from:to])
	})
}

// AddBias computes y[i] = x[i] + bias.
func (b *Backend) AddBias(y, x, bias tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b = y, x, bias
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			w.kernels.add(l.y.Row(i), l.a.Row(i), l.b.Data)
		}
	})
}

// Scale computes y[i] = x[i] ∘ s[row[i]]; a nil row stands for zeros.
func (b *Backend) Scale(y, x, s tensor.Mat, row []int32) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.b, l.row = y, x, s, row
	l.eachRow(b, func(l *rowLoop, w *worker, from, to int) {
		for i := from; i < to; i++ {
			w.kernels.mul(l.y.Row(i), l.a.Row(i), l.b.Row(l.rowOf(i)))
		}
	})
}

// rowOf returns row[i], and zero of a nil row.
func (l *rowLoop) rowOf(i int) int {
	if l.row == nil {
		return 0
	}
	return int(l.row[i])
}

// GELU computes y = x Φ(x).
func (b *Backend) GELU(y, x tensor.Mat) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a = y, x
	l.each(b, len(y.Data), 1, taskElements, func(l *rowLoop, w *worker, from, to int) {
		w.kernels.gelu(l.y.Data[from:to], l.a.Data[from:to])
	})
}
