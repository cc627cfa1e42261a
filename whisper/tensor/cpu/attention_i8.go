package cpu

import (
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// Keys and values of 8 bits have a scale for each of their columns, over all keys of a head: what a
// column has too much of, as keys often do (Liu et al. 2024, KIVI), does not cost the others their
// bits. That of a column of the keys is multiplied into the queries, that of the values into the result.
//
// Queries and weights are of two digits each, 15 bits together, since reading the keys is what
// takes the time, and a row of products more costs little. One more row, of the offset alone, gives
// what the offsets of the other rows have added.

// lowDigits is how many of the lower digit make one of the upper.
const lowDigits = 254

// layoutI8 is where in the memory of a head its parts are, in float32.
type layoutI8 struct{ keys, valueScales, values, room int } // the scales of the keys come first

func (f *format) layoutI8(nKey, size int) (l layoutI8) {
	floats := func(nOut, nIn int) int { return roundUp(nOut, f.nr) * f.steps(nIn) * f.bSize / 4 }
	l.keys = roundUp(size, cacheLine)
	l.valueScales = l.keys + roundUp(floats(nKey, size), cacheLine)
	l.values = l.valueScales + roundUp(size, cacheLine)
	l.room = l.values + roundUp(floats(size, nKey), cacheLine)
	return l
}

// headI8 are the keys and values of one head: a weight (nKey, size) and one (size, nKey), by their scales.
type headI8 struct {
	keyScales, valueScales []float32
	keys, values           []byte
}

func (f *format) headI8(p tensor.PackedKV, head int) headI8 {
	size := p.Cols / p.NHead
	l := f.layoutI8(p.Rows, size)
	data := p.Data[head*l.room:][:l.room]
	return headI8{
		keyScales: data[:size], keys: bytesOf(data[l.keys:l.valueScales]),
		valueScales: data[l.valueScales:][:size], values: bytesOf(data[l.values:]),
	}
}

// packI8 packs the columns from:from+size of keys and values.
func (f *format) packI8(w *worker, h headI8, kv tensor.KeyValue, from, size int) {
	clear(h.keys)
	clear(h.values)
	inverses, scaled := w.floats(scratchRows, size), w.floats(scratchRows2, size)
	room := roundUp(size, lineBytes)
	rows := bytesOf(w.floats(scratchA, max(f.nr, f.terms)*room/4))
	quantise := func(m tensor.Mat, j, to int) []byte {
		w.kernels.mul(scaled, m.Row(j)[from:][:size], inverses)
		row := rows[to*room:][:room]
		signedBytes(w.kernels, row, scaled)
		return row
	}
	steps, n := f.steps(size), kv.K.Rows
	columnScales(w, h.keyScales, inverses, kv.K, from)
	for j := range n {
		row := quantise(kv.K, j, j%f.nr)
		if f.terms == 4 {
			if last := j%f.nr + 1; last == f.nr || j+1 == n {
				panel := floatsOf(h.keys)[j/f.nr*f.nr*steps:][:f.nr*steps]
				w.transpose(panel, f.nr, floatsOf(rows), room/4, last, steps)
			}
			continue
		}
		for t, b := range row[:size] {
			h.keys[((j/f.nr*steps+t/f.terms)*f.nr+j%f.nr)*f.bSize+t%f.terms] = b
		}
	}
	steps = f.steps(n)
	columnScales(w, h.valueScales, inverses, kv.V, from)
	for j := range n {
		row := quantise(kv.V, j, j%f.terms)
		switch last := j%f.terms == f.terms-1; {
		case f.terms == 4 && last:
			b0, b1, b2, b3 := rows, rows[room:], rows[2*room:], rows[3*room:]
			for c := range size {
				word := uint32(b0[c]) | uint32(b1[c])<<8 | uint32(b2[c])<<16 | uint32(b3[c])<<24
				at := ((c/f.nr*steps+j/f.terms)*f.nr + c%f.nr) * f.bSize
				*(*uint32)(unsafe.Pointer(&h.values[at])) = word
			}
		case f.terms == 4 && j/f.terms < n/f.terms: // written with the last of its step
		default:
			for c, b := range row[:size] {
				h.values[((c/f.nr*steps+j/f.terms)*f.nr+c%f.nr)*f.bSize+j%f.terms] = b
			}
		}
	}
}

// columnScales finds the scale of each column, from one on, and its inverse.
func columnScales(w *worker, scales, inverses []float32, m tensor.Mat, from int) {
	clear(scales)
	for j := range m.Rows {
		w.kernels.absMaxTo(scales, m.Row(j)[from:][:len(scales)])
	}
	for c, greatest := range scales {
		scales[c], inverses[c] = quantiseScale(greatest)
	}
}

// signedBytes rounds numbers of at most 127 to signed bytes. dst has room to the end of a cache line.
func signedBytes(k *kernels, dst []byte, x []float32) {
	if k.quantiseU8 == nil { // without assembly
		for i, v := range x {
			dst[i] = byte(int8(math.RoundToEven(float64(v))))
		}
		clear(dst[len(x):])
		return
	}
	k.quantiseU8(dst, x, 1)
	clear(dst[len(x):])
	for i, word := range floatsOf(dst[:roundUp(len(x), 4)]) { // 128 is taken off by the sign
		floatsOf(dst)[i] = math.Float32frombits(math.Float32bits(word) ^ 0x80808080)
	}
}

// unpackI8 writes the keys to k.
func (f *format) unpackI8(k tensor.Mat, packed tensor.PackedKV) {
	size := packed.Cols / packed.NHead
	steps := f.steps(size)
	for head := range packed.NHead {
		h := f.headI8(packed, head)
		for j := range k.Rows {
			for t, scale := range h.keyScales {
				b := h.keys[((j/f.nr*steps+t/f.terms)*f.nr+j%f.nr)*f.bSize+t%f.terms]
				k.Row(j)[head*size+t] = float32(int8(b)) * scale
			}
		}
	}
}

// tileI8 computes one head of the queries from:to.
func (a *attention) tileI8(w *worker, f *format, kv tensor.PackedKV, head, from, to int) {
	m, n, h := to-from, kv.Rows, f.headI8(kv, head)
	rows := 2*m + 1 // the upper digits, the lower ones, and the offset

	qBytes, ld := f.rowBytes(a.size), roundUp(n, f.nr)|cacheLine
	q := bytesOf(w.floats(scratchA, rows*qBytes/4))
	scales, scaled := w.floats(scratchRows2, m), w.floats(scratchRows3, a.size)
	for i := range m {
		w.kernels.mul(scaled, a.at(a.q, from+i, head)[:a.size], h.keyScales)
		var inverse float32
		scales[i], inverse = quantiseScale(w.kernels.absMax(scaled))
		f.split(w.kernels, q[i*qBytes:][:qBytes], q[(m+i)*qBytes:][:qBytes], scaled, inverse)
	}
	f.fillOffset(q[2*m*qBytes:][:qBytes])
	scores := w.floats(scratchScores, rows*ld)
	w.panels(f, rows, f.steps(a.size), floatsOf(q), qBytes, floatsOf(h.keys), scores, ld, n)

	pBytes := f.rowBytes(n)
	p := bytesOf(w.floats(scratchB, rows*pBytes/4))
	sums := w.floats(scratchRows, m)
	offset := scores[2*m*ld:][:n]
	for i := range m {
		row := scores[i*ld:][:n]
		w.kernels.digits(row, row, scores[(m+i)*ld:][:n], offset, 1.0/lowDigits)
		scale := a.scale * scales[i]
		sums[i] = w.kernels.expSum(row, row, scale, scale*w.kernels.max(row))
		f.split(w.kernels, p[i*pBytes:][:pBytes], p[(m+i)*pBytes:][:pBytes], row, quantiseSteps)
	}
	f.fillOffset(p[2*m*pBytes:][:pBytes])
	ldOut := roundUp(a.size, f.nr)
	out := w.floats(scratchC, rows*ldOut)
	w.panels(f, rows, f.steps(n), floatsOf(p), pBytes, floatsOf(h.values), out, ldOut, a.size)
	for i, sum := range sums {
		y, row := a.at(a.y, from+i, head)[:a.size], out[i*ldOut:][:a.size]
		w.kernels.digits(row, row, out[(m+i)*ldOut:][:a.size], out[2*m*ldOut:][:a.size], 1.0/lowDigits)
		w.kernels.mul(y, row, h.valueScales)
		w.kernels.rowKernels.scale(y, y, 1/(quantiseSteps*sum))
	}
}

// split rounds x to two digits, as the kernel wants rows of activations.
func (f *format) split(k *kernels, high, low []byte, x []float32, inverse float32) {
	if f.offset != 0 {
		k.splitU8(high, low, x, inverse, lowDigits)
		return
	}
	words := func(b []byte) []int16 { return unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2) }
	k.splitI16(words(high), words(low), x, inverse, lowDigits)
}

// fillOffset makes a row of activations that are all zero.
func (f *format) fillOffset(row []byte) {
	for i := range row {
		row[i] = byte(f.offset)
	}
}
