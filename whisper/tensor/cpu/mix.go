package cpu

import (
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// update is a [tensor.Update] as the panel kernels read it: the rows of a and the transpose of u have
// whole panels, filled up with zeros.
type update struct {
	base  bool
	plain bool // one term, that scales channels alone
	terms int
	rank  int
	width int       // of the rows of a and u
	a, b  []float32 // (terms, width), (terms, nIn)
	u, v  []float32 // (rank, width), (rank, nIn)
}

// Bytes returns the memory of the factors.
func (u *update) Bytes() int64 { return 4 * int64(len(u.a)+len(u.b)+len(u.u)+len(u.v)) }

// widestPanel is a multiple of the channels in a panel of every format.
const widestPanel = 32

// PackUpdate lays u out for [Backend.Mix].
func (b *Backend) PackUpdate(u tensor.Update, nOut, nIn int) (tensor.PackedUpdate, error) {
	p := &update{base: u.Base, terms: max(u.A.Rows, u.B.Rows), rank: u.V.Rows, width: roundUp(nOut, widestPanel)}
	p.plain = !u.Base && p.terms == 1 && u.B.IsZero()
	rows := func(m tensor.Mat, n, width int) []float32 {
		packed := alignedFloats(n * width)
		for k := range n {
			for i := range width {
				if m.IsZero() {
					packed[k*width+i] = 1
				} else if i < m.Cols {
					packed[k*width+i] = m.Row(k)[i]
				}
			}
		}
		return packed
	}
	p.a, p.b = rows(u.A, p.terms, p.width), rows(u.B, p.terms, nIn)
	if p.rank > 0 {
		p.u, p.v = alignedFloats(p.rank*p.width), rows(u.V, p.rank, nIn)
		for i := range nOut {
			for k, v := range u.U.Row(i) {
				p.u[k*p.width+i] = v
			}
		}
	}
	return p, nil
}

// NewMixed returns memory for an update of w.
func (b *Backend) NewMixed(w tensor.Packed) (tensor.Packed, error) {
	from := w.(*weight)
	to := &weight{format: from.format, nOut: from.nOut, nIn: from.nIn, data: alignedBytes(len(from.data))}
	if from.scales != nil {
		to.scales, to.corrections = make([]float32, len(from.scales)), make([]int32, len(from.corrections))
	}
	return to, nil
}

// mixing is one update at work, divided into panels. It is kept for reuse with its bound method.
type mixing struct {
	to, from *weight
	u        *update
	v        []float32              // of u, its columns multiplied as those of the weight are
	task     func(w *worker, i int) // m.mixPanel
}

// Mix writes the update of w to dst: each panel is taken apart to float32, multiplied and added to in a
// buffer that stays in the cache, and put together again.
func (b *Backend) Mix(dst, w tensor.Packed, u tensor.PackedUpdate) {
	m := b.mixings.get()
	if m.task == nil {
		m.task = m.mixPanel
	}
	m.to, m.from, m.u = dst.(*weight), w.(*weight), u.(*update)
	m.v = m.u.v
	m.to.inverse = m.from.inverse
	buf := b.buffers.get()
	if m.from.inverse != nil && m.u.rank > 0 {
		n := m.from.nIn
		m.v = buf.floats(m.u.rank * n)
		for k := range m.u.rank {
			for j, v := range m.u.v[k*n:][:n] {
				m.v[k*n+j] = v / m.from.inverse[j]
			}
		}
	}
	nr := m.from.format.nr
	b.parallel((m.from.nOut+nr-1)/nr, m.task)
	b.buffers.put(buf)
	*m = mixing{task: m.task}
	b.mixings.put(m)
}

// mixPanel computes panel i.
func (m *mixing) mixPanel(w *worker, i int) {
	f := m.from.format
	steps, nIn := f.steps(m.from.nIn), m.from.nIn
	size := f.nr * steps * f.bSize
	to, from := floatsOf(m.to.data[i*size:][:size]), floatsOf(m.from.data[i*size:][:size])
	numbers := to
	if f.dtype == tensor.F32 {
		copy(to, from)
	} else {
		numbers = w.floats(scratchB, steps*f.terms*f.nr)
		var scale *float32
		if f.dtype == tensor.I8 {
			scale = &m.from.scales[i*f.nr]
			if m.u.plain {
				scaled := w.floats(scratchRows, f.nr)
				w.kernels.mul(scaled, m.from.scales[i*f.nr:][:f.nr], m.u.a[i*f.nr:][:f.nr])
				scale = &scaled[0]
			}
		}
		f.unpack(&numbers[0], &from[0], scale, steps)
	}
	if nIn > 0 {
		m.change(w, numbers[:nIn*f.nr], i*f.nr)
	}
	switch f.dtype {
	case tensor.BF16:
		if f.pack != nil {
			f.pack(&to[0], &numbers[0], nil, nil, steps)
			return
		}
		for p := range steps {
			rows := numbers[2*p*f.nr:]
			w.kernels.interleave(to[p*f.nr:][:f.nr], rows[:f.nr], rows[f.nr:2*f.nr])
		}
	case tensor.I8:
		m.quantise(w, to, numbers, i*f.nr)
	}
}

// change applies the update to the numbers of the channels from first on.
func (m *mixing) change(w *worker, numbers []float32, first int) {
	f, u := m.from.format, m.u
	if u.plain && f.dtype == tensor.I8 {
		// its scale was that of the numbers
	} else if u.terms > 0 {
		factors := w.floats(scratchA, len(numbers))
		w.outer(f, factors, u.b, u.a[first:], u.width, u.terms, 0)
		if u.base {
			w.kernels.mulAdd(numbers, numbers, factors)
		} else {
			w.kernels.mul(numbers, numbers, factors)
		}
	} else if !u.base {
		clear(numbers)
	}
	if u.rank > 0 {
		w.outer(f, numbers, m.v, u.u[first:], u.width, u.rank, 1)
	}
}

// outer computes c[p, i] = Σ_k b[k, p] a[k, i] for i in a panel, or adds to it with load: the rows of b
// are as long as c is high, those of a begin at a multiple of lda.
func (w *worker) outer(f *format, c, b, a []float32, lda, rank, load int) {
	n := len(c) / f.nr
	k := &w.panel
	k.m, k.k, k.load = int64(n), int64(rank), int64(load)
	k.a, k.aRow, k.aCol = &b[0], 4, int64(4*n)
	k.b, k.bRow = &a[0], int64(4*lda)
	k.c, k.cRow = &c[0], int64(4*f.nr)
	f.outer(k)
	w.panel = panel{}
}

// quantise puts the numbers of the channels from first on together, the greatest of each to ±127.
func (m *mixing) quantise(w *worker, to, numbers []float32, first int) {
	const rows = 8 // that are compared at once
	f := m.from.format
	greatest := w.floats(scratchRows, rows*f.nr)
	clear(greatest)
	for i := 0; i < len(numbers); i += len(greatest) {
		part := numbers[i:min(i+len(greatest), len(numbers))]
		w.kernels.absMaxTo(greatest[:len(part)], part)
	}
	for n := len(greatest) / 2; n >= f.nr; n /= 2 {
		w.kernels.absMaxTo(greatest[:n], greatest[n:2*n])
	}
	scales, sums := m.to.scales[first:][:f.nr], m.to.corrections[first:][:f.nr]
	for i := range scales {
		scales[i], greatest[i] = quantiseScale(greatest[i])
	}
	clear(sums)
	f.pack(&to[0], &numbers[0], &greatest[0], &sums[0], f.steps(m.from.nIn))
	for i := range sums {
		sums[i] *= f.offset
	}
}

// unpackBF16Go writes the numbers of the steps of a panel of bfloat16 to rows.
func unpackBF16Go(dst, src, _ *float32, steps int) {
	const nr = 16
	words := unsafe.Slice((*[nr][2]uint16)(unsafe.Pointer(src)), steps)
	rows := unsafe.Slice((*[2][nr]float32)(unsafe.Pointer(dst)), steps)
	for p := range words {
		for i, w := range &words[p] {
			rows[p][0][i], rows[p][1][i] = float32FromBF16(w[0]), float32FromBF16(w[1])
		}
	}
}

// unpackI8Go writes the numbers of the steps of a panel of bytes to rows.
func unpackI8Go(dst, src, scale *float32, steps int) {
	const nr = 16
	bytes := unsafe.Slice((*[nr][2]int8)(unsafe.Pointer(src)), steps)
	rows, scales := unsafe.Slice((*[2][nr]float32)(unsafe.Pointer(dst)), steps), unsafe.Slice(scale, nr)
	for p := range bytes {
		for i, b := range &bytes[p] {
			rows[p][0][i], rows[p][1][i] = float32(b[0])*scales[i], float32(b[1])*scales[i]
		}
	}
}

// packI8Go rounds rows to the steps of a panel of bytes, and adds what it rounds to to sums.
func packI8Go(dst, src, inverse *float32, sums *int32, steps int) {
	const nr = 16
	bytes := unsafe.Slice((*[nr][2]int8)(unsafe.Pointer(dst)), steps)
	rows := unsafe.Slice((*[2][nr]float32)(unsafe.Pointer(src)), steps)
	inverses, sum := unsafe.Slice(inverse, nr), unsafe.Slice(sums, nr)
	for p := range bytes {
		for i := range nr {
			for t := range 2 {
				q := int8(math.RoundToEven(float64(rows[p][t][i] * inverses[i])))
				bytes[p][i][t] = q
				sum[i] += int32(q)
			}
		}
	}
}
