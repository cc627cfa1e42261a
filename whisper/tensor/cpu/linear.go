package cpu

import (
	"unsafe"

	"glossa/whisper/tensor"
)

// format is how products with weights of a number format are computed. A step of the kernel takes
// terms of the inner dimension at once.
type format struct {
	dtype  tensor.DType
	mr, nr int
	terms  int // of a step
	aSize  int // bytes of a step of a row of activations
	bSize  int // bytes of a step of a channel of the weight

	panel func(p *panel)

	// convert writes a row x of activations as the kernel wants it, and returns the scale of its
	// numbers. dst has room to the end of a cache line.
	convert func(k *kernels, dst []byte, x []float32) (scale float32)

	// outer is the panel kernel of float32 with the same nr. unpack writes the steps of a panel as rows of numbers of
	// nr channels, and pack is its inverse, nil of bfloat16 where interleave is: see mix.go.
	outer  func(p *panel)
	unpack func(dst, src, scale *float32, steps int)
	pack   func(dst, src, inverse *float32, sums *int32, steps int)

	// offset is what is added to each activation of int8, for kernels that take it unsigned.
	offset int32

	// peak runs n times peakWidth independent multiply-adds in registers, for benchmarks.
	peak      func(n int)
	peakWidth int
}

const (
	// blockedRows is the number of rows from which on a product is divided by rows, each task
	// converting its own, and blockBytes the most bytes of activations in such a task, which stay
	// in the second-level cache.
	blockedRows = 256
	blockBytes  = 256 << 10

	// streamsPerThread is how finely a product of few rows is divided: each task begins to read its part
	// of the weight from memory that nothing has fetched ahead.
	streamsPerThread = 2

	// lineBytes is the size of a cache line.
	lineBytes = 64
)

// steps returns the steps that an inner dimension of k takes; one, of zeros, where it is empty.
func (f *format) steps(k int) int { return max((k+f.terms-1)/f.terms, 1) }

// rowBytes returns the bytes from one row of activations to the next: an odd number of cache lines,
// so that the rows of a tile do not contend for the same places in the cache.
func (f *format) rowBytes(k int) int {
	return roundUp(f.steps(k)*f.aSize, lineBytes) | lineBytes
}

// linear is one product y = x wᵀ + bias, divided into tasks: ranges of rows, or of columns where rows
// are few. It is kept for reuse with its bound method.
type linear struct {
	w    *weight
	x, y tensor.Mat
	bias []float32
	gelu bool

	scale    tensor.Scales
	lateBias []float32 // what is added after the scales; bias is nil then

	low   []*tensor.LowRank // what is added to each row, nil: nothing
	z     []float32         // x vᵀ of each row, zRow numbers apart
	zRow  int
	lower func(w *worker, i int) // p.shrinkTask

	a      []byte    // all rows as the kernel wants them, where tasks are ranges of columns
	scales []float32 // of the rows
	rows   int       // of a task, 0: tasks are ranges of columns
	cols   int       // of a task

	task func(w *worker, i int) // p.runTask
}

// Linear computes y = x wᵀ + bias for a weight that [Backend.Pack] of the same backend made.
func (b *Backend) Linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	b.multiplyLinear(y, x, w.(*weight), bias, tensor.Scales{}, nil, false)
}

// LinearGELU computes y = GELU(x wᵀ + bias): rows of a task as soon as they are done, in its cache.
func (b *Backend) LinearGELU(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	b.multiplyLinear(y, x, w.(*weight), bias, tensor.Scales{}, nil, true)
}

// multiplyLinear computes y = x wᵀ + bias, between scales or not, with products of low rank or not, or its GELU. An element is one chain over the inner
// dimension whatever the rows beside it, and each row has a scale of its own.
func (b *Backend) multiplyLinear(y, x tensor.Mat, w *weight, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu bool) {
	if x.Rows == 0 || w.nOut == 0 {
		return
	}
	p := b.linears.get()
	if p.task == nil {
		p.task, p.lower = p.runTask, p.shrinkTask
	}
	p.w, p.x, p.y, p.bias, p.scale, p.gelu = w, x, y, bias.Data, s, gelu
	if !s.Out.IsZero() {
		p.bias, p.lateBias = nil, bias.Data
	}
	var z *buffer
	if low != nil {
		z = b.buffers.get()
		b.shrink(p, z, low)
	}
	if x.Rows >= blockedRows {
		blocks := (x.Rows*w.format.rowBytes(w.nIn) + blockBytes - 1) / blockBytes
		blocks = roundUp(max(blocks, tasksPerThread*b.threads), b.threads)
		p.rows = roundUp((x.Rows+blocks-1)/blocks, w.format.mr)
		b.parallel((x.Rows+p.rows-1)/p.rows, p.task)
	} else {
		buf := b.buffers.get()
		k := b.worker()
		p.a, p.scales = divideRoom(buf.floats(p.room(x.Rows)), x.Rows, p.rowBytes())
		p.convert(k, p.a, p.scales, 0, x.Rows)
		b.workers.put(k)
		panels := (w.nOut + w.format.nr - 1) / w.format.nr
		tasks := 1
		if x.Rows*w.nOut*w.nIn >= serialWork/2 {
			tasks = min(panels, streamsPerThread*b.threads)
		}
		p.cols = (panels + tasks - 1) / tasks * w.format.nr
		b.parallel((w.nOut+p.cols-1)/p.cols, p.task)
		b.buffers.put(buf)
	}
	if z != nil {
		b.buffers.put(z)
	}
	*p = linear{task: p.task, lower: p.lower}
	b.linears.put(p)
}

func (p *linear) rowBytes() int { return p.w.format.rowBytes(p.w.nIn) }

// room returns the float32 that n converted rows and their scales take.
func (p *linear) room(n int) int { return n*p.rowBytes()/4 + n }

// divideRoom divides memory between rows and their scales.
func divideRoom(room []float32, rows, rowBytes int) (a []byte, scales []float32) {
	n := rows * rowBytes
	return bytesOf(room[:n/4]), room[n/4:]
}

// convert converts rows from:to of x.
func (p *linear) convert(w *worker, a []byte, scales []float32, from, to int) {
	size := p.rowBytes()
	for i := from; i < to; i++ {
		scales[i-from] = p.w.format.convert(w.kernels, a[(i-from)*size:][:size], p.operand(w, i))
	}
}

func (p *linear) runTask(w *worker, i int) {
	if p.rows == 0 {
		p.block(w, p.a, p.scales, 0, p.x.Rows, i*p.cols, min((i+1)*p.cols, p.w.nOut))
		return
	}
	from, to := i*p.rows, min((i+1)*p.rows, p.x.Rows)
	a, scales := divideRoom(w.floats(scratchA, p.room(to-from)), to-from, p.rowBytes())
	p.convert(w, a, scales, from, to)
	p.block(w, a, scales, from, to, 0, p.w.nOut)
}

// block computes rows i0:i1, converted to a, and columns j0:j1 of the product; j0 is a multiple of nr.
func (p *linear) block(w *worker, a []byte, scales []float32, i0, i1, j0, j1 int) {
	f, nr := p.w.format, p.w.format.nr
	k := &w.panel
	k.m, k.k = int64(i1-i0), int64(f.steps(p.w.nIn))
	k.a, k.aRow, k.aCol = (*float32)(unsafe.Pointer(&a[0])), int64(p.rowBytes()), int64(f.aSize)
	k.bRow = int64(nr * f.bSize)
	k.ahead = aheadOf(i1-i0, f.mr, int(k.k*k.bRow))
	for j := j0; j < j1; j += nr {
		n := min(nr, j1-j)
		k.b = (*float32)(unsafe.Pointer(&p.w.data[j*int(k.k)*f.bSize]))
		k.rowScale = &scales[0]
		if p.w.scales != nil {
			k.colScale, k.correction = &p.w.scales[j], &p.w.corrections[j]
		}
		k.bias = nil
		if n < nr {
			p.lastPanel(w, i0, j, n)
			continue
		}
		if len(p.bias) > 0 {
			k.bias = &p.bias[j]
		}
		k.c, k.cRow = &p.y.Data[i0*p.y.Cols+j], int64(4*p.y.Cols)
		f.panel(k)
	}
	w.panel = panel{}
	p.finish(w, i0, i1, j0, j1)
}

// lastPanel computes the n < nr columns from j on beside the matrix.
func (p *linear) lastPanel(w *worker, i0, j, n int) {
	k, nr := &w.panel, p.w.format.nr
	m := int(k.m)
	tile := w.floats(scratchC, (m+1)*nr)
	if len(p.bias) > 0 {
		copy(tile[m*nr:m*nr+n], p.bias[j:])
		k.bias = &tile[m*nr]
	}
	k.c, k.cRow = &tile[0], int64(4*nr)
	p.w.format.panel(k)
	for i := range m {
		copy(p.y.Row(i0 + i)[j:j+n], tile[i*nr:])
	}
}
