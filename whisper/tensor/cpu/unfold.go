package cpu

import (
	"sort"

	"glossa/whisper/tensor"
)

// Unfold copies, for output row t of a sequence, its input rows t*stride-pad …
// t*stride-pad+kernel-1, which lie one after another in x, and zeros for those that it lacks.
func (b *Backend) Unfold(y, x tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.ySeg, l.xSeg, l.kernel, l.stride = y, x, ySeg, xSeg, kernel, stride
	l.eachRow(b, unfoldRows)
}

func unfoldRows(l *rowLoop, _ *worker, from, to int) {
	nCol := l.a.Cols
	for i, s := from, sequenceOf(l.ySeg, from); i < to; i++ {
		s = nextSequence(l.ySeg, s, i)
		first, end := l.xSeg.Range(s)
		j0 := first + (i-int(l.ySeg[s]))*l.stride - (l.kernel-1)/2
		row := l.y.Row(i)
		a, z := min(max(j0, first), j0+l.kernel), min(j0+l.kernel, end)
		z = max(z, a)
		clear(row[:(a-j0)*nCol])
		copy(row[(a-j0)*nCol:(z-j0)*nCol], l.a.Data[a*nCol:z*nCol])
		clear(row[(z-j0)*nCol:])
	}
}

// UnfoldBackward adds to input row j of a sequence the parts k of the output rows t that hold it:
// t*stride - pad + k = j.
func (b *Backend) UnfoldBackward(dx, dy tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	if dx.IsZero() {
		return
	}
	l := b.rowLoop()
	defer l.release(b)
	l.y, l.a, l.ySeg, l.xSeg, l.kernel, l.stride = dx, dy, ySeg, xSeg, kernel, stride
	l.eachRow(b, foldRows)
}

func foldRows(l *rowLoop, w *worker, from, to int) {
	nCol := l.y.Cols
	for i, s := from, sequenceOf(l.xSeg, from); i < to; i++ {
		s = nextSequence(l.xSeg, s, i)
		y0, y1 := l.ySeg.Range(s)
		dx := l.y.Row(i)
		for k := range l.kernel {
			t := i - int(l.xSeg[s]) + (l.kernel-1)/2 - k
			if t < 0 || t%l.stride != 0 || t/l.stride >= y1-y0 {
				continue
			}
			w.kernels.add(dx, dx, l.a.Row(y0 + t/l.stride)[k*nCol:(k+1)*nCol])
		}
	}
}

// sequenceOf returns the sequence that holds row i.
func sequenceOf(seg tensor.Segments, i int) int {
	return sort.Search(seg.Len(), func(s int) bool { return int(seg[s+1]) > i })
}

// nextSequence returns the sequence that holds row i, s or a later one.
func nextSequence(seg tensor.Segments, s, i int) int {
	for int(seg[s+1]) <= i {
		s++
	}
	return s
}
