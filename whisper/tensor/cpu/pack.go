package cpu

import (
	"fmt"
	"unsafe"

	"glossa/whisper/tensor"
)

// cacheLine is the alignment of scratch memory and packed weights in float32.
const cacheLine = 64 / 4

// packed is a weight (nOut, nIn) in panels of nr output channels: panel j holds
//
//	data[(j*nIn+p)*nr+i] = w[j*nr+i, p]
//
// and zeros for the channels past nOut in the last one.
type packed struct {
	nOut, nIn int
	data      []float32
}

func (w *packed) Shape() (nOut, nIn int) { return w.nOut, w.nIn }

func (w *packed) DType() tensor.DType { return tensor.F32 }

// Pack lays w (nOut, nIn) out for [Backend.Linear]. It fails with [ErrDType] where there is no
// kernel for dtype.
func (b *Backend) Pack(w tensor.Mat, dtype tensor.DType) (tensor.Packed, error) {
	switch dtype {
	case tensor.F32:
		return b.packF32(w), nil
	case tensor.BF16:
		return b.packNarrow(w, dtype, b.bf16), nil
	case tensor.I8:
		return b.packNarrow(w, dtype, b.i8), nil
	}
	return nil, fmt.Errorf("%w: %s on %s", ErrDType, dtype, b.Name())
}

func (b *Backend) packF32(w tensor.Mat) *packed {
	nr, nIn := b.nr, w.Cols
	nPanel := (w.Rows + nr - 1) / nr
	p := &packed{nOut: w.Rows, nIn: nIn, data: alignedFloats(nPanel * nIn * nr)}
	b.parallel(nPanel, func(k *worker, j int) {
		k.packColumns(p.data[j*nIn*nr:(j+1)*nIn*nr], w.Data, nIn, true, j*nr, min(nr, w.Rows-j*nr), 0, nIn)
	})
	return p
}

// packColumns writes a panel of nr columns of op(b), rows from to from+k of it:
//
//	dst[p*nr+i] = op(b)[from+p, j+i]
//
// and zeros where i ≥ n. op(b) is b, of row stride ldb, or with trans its transpose.
func (w *worker) packColumns(dst, b []float32, ldb int, trans bool, j, n, from, k int) {
	nr := w.kernels.nr
	if n < nr {
		clear(dst[:k*nr])
	}
	switch {
	case trans:
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
