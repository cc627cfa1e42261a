package cpu

import (
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// Packed keys and values are, for one head after the other, two weights in the panels of a
// format of 32 or 16 bits (attention_i8.go has those of 8): the keys (nKey, size), whose product with the queries are the scores, and the
// values transposed (size, nKey), whose product with the weights is the result.

// headRoom returns the numbers of packed keys, and of packed values, of a head.
func (f *format) headRoom(nKey, size int) (keys, values int) {
	panels := func(nOut int) int { return (nOut + f.nr - 1) / f.nr }
	return panels(nKey) * f.nr * f.steps(size), panels(size) * f.nr * f.steps(nKey)
}

// PackedKVSize returns the numbers that packed keys and values (nKey, nCol) take.
func (b *Backend) PackedKVSize(nKey, nCol, nHead int, dtype tensor.DType) int {
	f := b.format(dtype)
	if dtype == tensor.I8 {
		return nHead * f.layoutI8(nKey, nCol/nHead).room
	}
	keys, values := f.headRoom(nKey, nCol/nHead)
	return nHead * (keys + values)
}

// PackKeyValue lays keys and values out in packed.
func (b *Backend) PackKeyValue(packed []tensor.PackedKV, kv []tensor.KeyValue) {
	if len(kv) == 0 {
		return
	}
	p := b.packings.get()
	if p.task == nil {
		p.task = p.runTask
	}
	p.format, p.packed, p.kv, p.nHead = b.format(packed[0].DType), packed, kv, packed[0].NHead
	b.parallel(len(kv)*p.nHead, p.task)
	*p = packing{task: p.task}
	b.packings.put(p)
}

// packing is one call of PackKeyValue, a task for each head of each sequence.
type packing struct {
	format *format
	packed []tensor.PackedKV
	kv     []tensor.KeyValue
	nHead  int
	task   func(w *worker, i int) // p.runTask
}

func (p *packing) runTask(w *worker, i int) {
	s, head := i/p.nHead, i%p.nHead
	kv, nCol := p.kv[s], p.packed[s].Cols
	if kv.K.Rows == 0 {
		return
	}
	size := nCol / p.nHead
	if p.format.dtype == tensor.I8 {
		p.format.packI8(w, p.format.headI8(p.packed[s], head), kv, head*size, size)
		return
	}
	keys, values := packedHead(p.packed[s], p.format, head)
	p.format.packRows(w, keys, kv.K.Data[head*size:], nCol, kv.K.Rows, size)
	p.format.packCols(w, values, kv.V.Data[head*size:], nCol, kv.K.Rows, size)
}

// packedHead returns the packed keys and values of a head.
func packedHead(p tensor.PackedKV, f *format, head int) (keys, values []float32) {
	k, v := f.headRoom(p.Rows, p.Cols/p.NHead)
	data := p.Data[head*(k+v):][:k+v]
	return data[:k], data[k:]
}

// UnpackKeys writes the keys to k.
func (b *Backend) UnpackKeys(k tensor.Mat, packed tensor.PackedKV) {
	f := b.format(packed.DType)
	if packed.DType == tensor.I8 {
		f.unpackI8(k, packed)
		return
	}
	size, nr := packed.Cols/packed.NHead, f.nr
	steps := f.steps(size)
	for head := range packed.NHead {
		keys, _ := packedHead(packed, f, head)
		words := halves(keys)
		for i := range k.Rows {
			row := k.Row(i)[head*size:][:size]
			for c := range row {
				step := (i/nr*steps+c/f.terms)*nr + i%nr
				if f.terms == 1 {
					row[c] = keys[step]
				} else {
					row[c] = float32FromBF16(words[2*step+c%2])
				}
			}
		}
	}
}

// queries returns the rows that attend to the keys of sequence s: those of all sequences from s on
// that share its packed keys, and none where the sequence before does.
func (a *attention) queries(s int) (from, to int) {
	from, to = a.seg.Range(s)
	data := a.kv[s].Packed.Data
	if data == nil {
		return from, to
	}
	if s > 0 && unsafe.SliceData(a.kv[s-1].Packed.Data) == unsafe.SliceData(data) {
		return from, from
	}
	for s++; s < a.seg.Len() && unsafe.SliceData(a.kv[s].Packed.Data) == unsafe.SliceData(data); s++ {
		to = int(a.seg[s+1])
	}
	return from, to
}

// tilePacked computes one head of the queries from:to over packed keys and values.
func (a *attention) tilePacked(w *worker, s, head, from, to int) {
	kv := a.kv[s].Packed
	f := w.kernels.format(kv.DType)
	if kv.DType == tensor.I8 {
		a.tileI8(w, f, kv, head, from, to)
		return
	}
	m, n := to-from, kv.Rows
	keys, values := packedHead(kv, f, head)

	// The scores, of whole panels of keys.
	qBytes, ld := f.rowBytes(a.size), roundUp(n, f.nr)|cacheLine
	q := w.floats(scratchA, m*qBytes/4)
	for i := range m {
		f.convert(w.kernels, bytesOf(q[i*qBytes/4:(i+1)*qBytes/4]), a.at(a.q, from+i, head)[:a.size])
	}
	scores := w.floats(scratchScores, m*ld)
	w.panels(f, m, f.steps(a.size), q, qBytes, keys, scores, ld, n)

	pBytes := f.rowBytes(n)
	p := w.floats(scratchB, m*pBytes/4)
	sums := w.floats(scratchRows, m)
	for i := range m {
		row := scores[i*ld:][:n]
		sums[i] = f.softmax(w.kernels, p[i*pBytes/4:(i+1)*pBytes/4], row, a.scale)
	}

	// The result, where a head has whole panels of columns in place.
	out, ldOut := a.at(a.y, from, head), a.nCol
	whole := a.size%f.nr == 0
	if !whole {
		ldOut = roundUp(a.size, f.nr)
		out = w.floats(scratchC, m*ldOut)
	}
	w.panels(f, m, f.steps(n), p, pBytes, values, out, ldOut, a.size)
	for i, sum := range sums {
		w.kernels.rowKernels.scale(a.at(a.y, from+i, head)[:a.size], out[i*ldOut:][:a.size], 1/sum)
	}
}

// softmax writes exp(scale (x - max x)) to p, as the kernel wants a row of activations, and returns
// its sum.
func (f *format) softmax(k *kernels, p, x []float32, scale float32) (sum float32) {
	top := k.max(x)
	if f.aSize == 4 && f.dtype == tensor.BF16 {
		scale *= math.Log2E
		return k.exp2SumBF16(halves(p), x, scale, scale*top)
	}
	sum = k.expSum(p[:len(x)], x, scale, scale*top)
	clear(p[len(x):])
	return sum
}

// panels computes c = a b for the m rows of a and the panels that hold n columns; of int8, sums of
// products, unscaled. Row i of c begins at c[i*ld] and has room for whole panels.
func (w *worker) panels(f *format, m, steps int, a []float32, aBytes int, b, c []float32, ld, n int) {
	k := &w.panel
	k.m, k.k = int64(m), int64(steps)
	k.a, k.aRow, k.aCol = &a[0], int64(aBytes), int64(f.aSize)
	k.bRow, k.cRow = int64(f.nr*f.bSize), int64(4*ld)
	k.ahead = fetchAhead
	var ones []float32
	if f.dtype == tensor.I8 {
		ones = w.ones(max(m, f.nr))
		k.colScale, k.correction = &ones[0], (*int32)(unsafe.Pointer(&w.zeros(f.nr)[0]))
	}
	for j := 0; j < n; j += f.nr {
		k.b, k.c, k.rowScale = &b[j*steps*f.bSize/4], &c[j], unsafe.SliceData(ones)
		f.panel(k)
	}
	w.panel = panel{}
}
