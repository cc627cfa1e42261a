package cpu

import (
	"unsafe"

	"glossa/whisper/tensor"
)

// cacheLine is the alignment of scratch memory and packed weights in float32.
const cacheLine = 64 / 4

// packColumns writes a panel of nr columns of op(b), rows from to to of it:
//
//	dst[p*nr+i] = op(b)[from+p, j+i]
//
// or such pairs of rows as words of bfloat16, and zeros past the columns of op(b).
func (w *worker) packColumns(p *product, dst []float32, j, from, to int) {
	nr, b, ldb, k := w.kernels.nr, p.b, p.ldb, to-from
	n := min(nr, p.n-j)
	if p.rounded() {
		if p.transB {
			p.operands.packRows(w, dst, b[j*ldb+from:], ldb, n, k)
		} else {
			p.operands.packCols(w, dst, b[from*ldb+j:], ldb, k, n)
		}
		return
	}
	if n < nr {
		clear(dst[:k*nr])
	}
	switch {
	case p.transB:
		w.transpose(dst, nr, b[j*ldb+from:], ldb, n, k)
	case n == 16 && nr == 16:
		for p := range k {
			*(*[16]float32)(dst[p*16:]) = [16]float32(b[(from+p)*ldb+j:])
		}
	case n == 32 && nr == 32:
		for p := range k {
			*(*[32]float32)(dst[p*32:]) = [32]float32(b[(from+p)*ldb+j:])
		}
	default:
		for p := range k {
			copy(dst[p*nr:p*nr+n], b[(from+p)*ldb+j:])
		}
	}
}

// transpose writes dst[p*ldDst+i] = src[i*ldSrc+p] for i < n, p < k.
func (w *worker) transpose(dst []float32, ldDst int, src []float32, ldSrc, n, k int) {
	whole, done := n-n%transposeWidth, k-k%transposeWidth
	if done > 0 {
		for i := 0; i < whole; i += transposeWidth {
			_, _ = dst[(done-1)*ldDst+i+transposeWidth-1], src[(i+transposeWidth-1)*ldSrc+done-1]
			w.kernels.transpose(&dst[i], ldDst, &src[i*ldSrc], ldSrc, done)
		}
	}
	for i := range n {
		from := done
		if i >= whole {
			from = 0
		}
		for p := from; p < k; p++ {
			dst[p*ldDst+i] = src[i*ldSrc+p]
		}
	}
}

// transposeWidth is the number of rows that a transpose kernel takes, and what its k is a
// multiple of.
const transposeWidth = 8

// transposeGo computes dst[p*ldDst+i] = src[i*ldSrc+p] for i < 8, p < k.
func transposeGo(dst *float32, ldDst int, src *float32, ldSrc, k int) {
	d := unsafe.Slice(dst, (k-1)*ldDst+transposeWidth)
	s := unsafe.Slice(src, (transposeWidth-1)*ldSrc+k)
	for i := range transposeWidth {
		for p := range k {
			d[p*ldDst+i] = s[i*ldSrc+p]
		}
	}
}

// alignedFloats returns n zeros that begin at a cache line.
func alignedFloats(n int) []float32 {
	if n == 0 {
		return nil
	}
	return tensor.Aligned(n)
}
