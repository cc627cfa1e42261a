package cpu

import "glossa/whisper/tensor"

// Blocking (Goto & van de Geijn 2008): a panel of nr columns and blockK rows of the second factor
// stays in the first-level cache while blockM rows of the first pass by, which stay in the second.
const (
	blockK = 256
	blockM = 192

	// serialWork is the number of multiply-adds below which one goroutine computes alone:
	// a few µs, what it takes to wake another.
	serialWork = 1 << 17

	// sharedPack is the most float32 of a second factor that are packed at a time: 8 MiB.
	sharedPack = 1 << 21
)

// product is one matrix product c (m, n) = op(a) op(b), or c += op(a) op(b), divided into
// tasks: ranges of rows and columns. It is kept for reuse with its bound methods.
type product struct {
	operands       *format // what a and b are rounded to
	m, n, k        int
	a, b, c        []float32
	lda, ldb, ldc  int
	transA, transB bool
	packed         []float32 // the panels of op(b) from column packedFrom on, or nil
	packedFrom     int
	accumulate     bool

	rows, cols, from, to int // each task has up to rows rows and cols columns of from:to

	task func(w *worker, i int) // p.runTask
	pack func(w *worker, i int) // p.packPanel
}

// MatMul computes c = op(a) op(b), or c += op(a) op(b), where each chain of additions then begins
// with the element of c.
func (b *Backend) MatMul(c, a, bb tensor.Mat, t tensor.Transpose, accumulate bool) {
	p := b.product()
	defer b.release(p)
	p.operands = b.operands
	p.m, p.n, p.k = c.Rows, c.Cols, a.Cols
	p.transA, p.transB = t&tensor.TransA != 0, t&tensor.TransB != 0
	if p.transA {
		p.k = a.Rows
	}
	p.a, p.lda = a.Data, a.Cols
	p.b, p.ldb = bb.Data, bb.Cols
	p.c, p.ldc, p.accumulate = c.Data, c.Cols, accumulate
	if p.m <= blockM {
		b.multiply(p, 0, p.n)
		return
	}
	buf := b.buffers.get()
	defer b.buffers.put(buf)
	cols := max(sharedPack/max(p.k, 1)/b.nr, 1) * b.nr
	for from := 0; from < p.n; from += cols {
		to := min(from+cols, p.n)
		nPanel := (to - from + b.nr - 1) / b.nr
		p.packed, p.packedFrom, p.from = buf.floats(nPanel*b.nr*p.operands.steps(p.k)), from, from
		b.parallel(nPanel, p.pack)
		b.multiply(p, from, to)
	}
}

// buffer is memory that the workers share during one product.
type buffer struct{ data []float32 }

func (b *buffer) floats(n int) []float32 {
	if len(b.data) < n {
		b.data = alignedFloats(n)
	}
	return b.data[:n]
}

func (b *Backend) product() *product {
	p := b.products.get()
	if p.task == nil {
		p.task, p.pack = p.runTask, p.packPanel
	}
	return p
}

func (b *Backend) release(p *product) {
	*p = product{task: p.task, pack: p.pack}
	b.products.put(p)
}

// multiply computes columns from:to of p on all workers.
func (b *Backend) multiply(p *product, from, to int) {
	p.from, p.to = from, to
	if p.m == 0 || from == to {
		return
	}
	if p.m*(to-from)*p.k < serialWork {
		p.rows, p.cols = blockM, to-from
		w := b.worker()
		defer b.workers.put(w)
		for i := range (p.m + blockM - 1) / blockM {
			p.runTask(w, i)
		}
		return
	}
	b.parallel(p.divide(b.threads, b.mr, b.nr), p.task)
}

// tasksPerThread is how finely a product is divided: enough for threads of uneven speed.
const tasksPerThread = 4

// divide chooses the tasks and returns their number.
func (p *product) divide(threads, mr, nr int) int {
	most := blockM
	if p.rounded() && !p.transA {
		most = max(min(most, blockBytes/p.operands.rowBytes(p.k)/mr*mr), 4*mr)
	}
	nRow := (p.m + most - 1) / most
	if nRow > threads {
		nRow = roundUp(nRow, threads)
	}
	p.rows = roundUp((p.m+nRow-1)/nRow, mr)
	nRow = (p.m + p.rows - 1) / p.rows
	nCol := max(1, tasksPerThread*threads/nRow)
	if p.transA {
		nCol = max(1, threads/nRow)
	}
	p.cols = roundUp((p.to-p.from+nCol-1)/nCol, nr)
	nCol = (p.to - p.from + p.cols - 1) / p.cols
	return nRow * nCol
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

func (p *product) packPanel(w *worker, i int) {
	size := p.operands.steps(p.k) * w.kernels.nr
	w.packColumns(p, p.packed[i*size:(i+1)*size], p.packedFrom+i*w.kernels.nr, 0, p.k)
}

// runTask computes task i: row blocks vary fastest, so that workers share the columns in cache.
func (p *product) runTask(w *worker, i int) {
	nRow := (p.m + p.rows - 1) / p.rows
	r, c := i%nRow*p.rows, p.from+i/nRow*p.cols
	w.block(p, r, min(r+p.rows, p.m), c, min(c+p.cols, p.to))
}
