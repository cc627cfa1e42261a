package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// weight is a weight (nOut, nIn) in panels of nr output channels: panel j holds step p of channel j*nr+i, zeros for what the weight lacks, at
//
//	data[((j*nStep+p)*nr+i)*bSize]
//
// A channel of int8 stands for its numbers times its scale.
type weight struct {
	format      *format
	nOut, nIn   int
	data        []byte
	scales      []float32 // int8: by channel, a whole number of panels
	corrections []int32   // int8: what offset adds to the sum of each channel
	inverse     []float32 // int8: what activations are multiplied by, and columns were divided by; nil: by one
}

func (w *weight) Shape() (nOut, nIn int) { return w.nOut, w.nIn }

func (w *weight) DType() tensor.DType { return w.format.dtype }

// Pack lays w (nOut, nIn) out for [Backend.Linear]. It fails with [ErrDType] where there is no
// kernel for dtype.
func (b *Backend) Pack(w tensor.Mat, dtype tensor.DType) (tensor.Packed, error) {
	return b.pack(w, dtype, nil)
}

// PackBalanced is Pack for rows of activations whose columns are about ranges large.
func (b *Backend) PackBalanced(w tensor.Mat, dtype tensor.DType, ranges []float32) (tensor.Packed, error) {
	if dtype != tensor.I8 {
		return b.pack(w, dtype, nil)
	}
	return b.pack(w, dtype, balance(w, ranges))
}

// balance returns what multiplies the columns of w so that they are as large as those of the activations
// divided by it (SmoothQuant, Xiao et al. 2023, equation 4 with α = 1/2, of root mean squares).
func balance(w tensor.Mat, ranges []float32) (factors []float32) {
	const least, most = 0x1p-20, 0x1p20
	squares := make([]float64, w.Cols)
	for i := range w.Rows {
		for j, v := range w.Row(i) {
			squares[j] += float64(v) * float64(v)
		}
	}
	factors = make([]float32, w.Cols)
	for j, r := range ranges {
		f := math.Sqrt(math.Abs(float64(r)) / math.Sqrt(squares[j]/float64(w.Rows)))
		if !(least <= f && f <= most) {
			f = 1 // one of both is nothing, or not finite
		}
		factors[j] = float32(f)
	}
	return factors
}

// pack lays w out, its columns multiplied by factors unless they are nil.
func (b *Backend) pack(w tensor.Mat, dtype tensor.DType, factors []float32) (tensor.Packed, error) {
	f := b.format(dtype)
	if f == nil {
		return nil, fmt.Errorf("%w: %s on %s", ErrDType, dtype, b.Name())
	}
	panels, steps := (w.Rows+f.nr-1)/f.nr, f.steps(w.Cols)
	panelBytes := f.nr * steps * f.bSize
	p := &weight{format: f, nOut: w.Rows, nIn: w.Cols, data: alignedBytes(panels * panelBytes)}
	if dtype == tensor.I8 {
		p.scales, p.corrections = make([]float32, panels*f.nr), make([]int32, panels*f.nr)
	}
	for _, factor := range factors {
		p.inverse = append(p.inverse, 1/factor)
	}
	b.parallel(panels, func(k *worker, j int) {
		panel := p.data[j*panelBytes:][:panelBytes]
		first, end := j*f.nr, min((j+1)*f.nr, w.Rows)
		if dtype != tensor.I8 {
			f.packRows(k, floatsOf(panel), w.Data[first*w.Cols:], w.Cols, end-first, w.Cols)
			return
		}
		for i := first; i < end; i++ {
			row := w.Row(i)
			if factors != nil {
				row = k.floats(scratchRows, w.Cols)
				k.kernels.mul(row, w.Row(i), factors)
			}
			p.packI8(k, panel[(i-first)*f.bSize:], i, row)
		}
	})
	return p, nil
}

// packRows packs the weight x (n, size), of 32 or 16 bits, whose row i begins at x[i*ld], in whole panels.
func (f *format) packRows(w *worker, dst, x []float32, ld, n, size int) {
	steps := f.steps(size)
	room := roundUp(steps, cacheLine)
	for j := 0; j < n; j += f.nr {
		rows := min(f.nr, n-j)
		panel := dst[j*steps:][:f.nr*steps]
		if rows < f.nr || size == 0 {
			clear(panel)
		}
		if f.dtype == tensor.F32 {
			w.transpose(panel, f.nr, x[j*ld:], ld, rows, size)
			continue
		}
		words := w.floats(scratchWords, f.nr*room)
		for i := range rows {
			w.kernels.toBF16(halves(words[i*room:(i+1)*room]), x[(j+i)*ld:][:size])
		}
		w.transpose(panel, f.nr, words, room, rows, steps)
	}
}

// packCols packs the weight (size, n), of 32 or 16 bits, that is the transpose of x (n, size), whose
// row i begins at x[i*ld].
func (f *format) packCols(w *worker, dst, x []float32, ld, n, size int) {
	steps := f.steps(n)
	for c := 0; c < size; c += f.nr {
		cols := min(f.nr, size-c)
		panel := dst[c*steps:][:f.nr*steps]
		if cols < f.nr {
			clear(panel)
		}
		if f.dtype == tensor.F32 {
			for p := range n {
				copy(panel[p*f.nr:][:cols], x[p*ld+c:][:cols])
			}
			continue
		}
		f.pairRows(w, panel, f.nr, x[c:], ld, n, cols)
	}
}

// pairRows rounds the rows of x (n, size), of which row i begins at x[i*ld], to bfloat16, and writes each
// pair as a row of words to dst, of which row i begins at dst[i*ldDst]. Zeros follow an odd last row.
func (f *format) pairRows(w *worker, dst []float32, ldDst int, x []float32, ld, n, size int) {
	whole := 0 // columns that pairRows of the instruction set has done, of all pairs
	if w.kernels.pairRows != nil && n > 1 {
		for ; whole+pairCols <= size; whole += pairCols {
			_, _ = dst[(n/2-1)*ldDst+whole+pairCols-1], x[(n/2*2-1)*ld+whole+pairCols-1]
			w.kernels.pairRows(&dst[whole], ldDst, &x[whole], ld, n/2)
		}
	}
	for p := 0; p < n; p += 2 {
		from, second := whole, w.zeros(size)
		if p+1 < n {
			second = x[(p+1)*ld:][:size]
		} else {
			from = 0
		}
		if from < size {
			w.kernels.interleave(dst[p/2*ldDst+from:][:size-from], x[p*ld+from:][:size-from], second[from:])
		}
	}
}

// packI8 quantises a channel about zero, its greatest number to ±127.
func (w *weight) packI8(k *worker, channel []byte, i int, row []float32) {
	scale, inverse := quantiseScale(k.kernels.absMax(row))
	sum := int32(0)
	f := w.format
	size := f.bSize / f.terms
	for p := 0; p < len(row); p += f.terms {
		for i, x := range row[p:min(p+f.terms, len(row))] {
			q := int8(math.RoundToEven(float64(x * inverse)))
			channel[i*size] = byte(q)
			sum += int32(q)
		}
		if p+f.terms < len(row) {
			channel = channel[f.nr*f.bSize:]
		}
	}
	w.scales[i], w.corrections[i] = scale, w.format.offset*sum
}

// quantiseSteps is what the greatest number is quantised to.
const quantiseSteps = 127

// quantiseScale returns the scale of numbers whose greatest is quantised to 127, and its inverse. Of numbers
// that are not finite the scale is NaN, and the inverse zero.
func quantiseScale(greatest float32) (scale, inverse float32) {
	const least = 0x1p-100
	switch {
	case !(greatest <= math.MaxFloat32):
		return float32(math.NaN()), 0
	case greatest < least:
		return 0, 0
	}
	return greatest / quantiseSteps, quantiseSteps / greatest
}

// bfloat16 rounds x to nearest even. Numbers below the normal ones become zero, as in the products.
func bfloat16(x float32) uint16 {
	const normal = 1 << 23
	bits := math.Float32bits(x)
	switch magnitude := bits &^ (1 << 31); {
	case magnitude < normal:
		return uint16(bits>>16) & 0x8000
	case magnitude > 0x7f800000: // NaN, kept one
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func float32FromBF16(x uint16) float32 { return math.Float32frombits(uint32(x) << 16) }

func floatsOf(x []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)/4)
}

func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// halves returns the memory of x as numbers of 16 bits.
func halves(x []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

// alignedBytes returns n zeros that begin at a cache line.
func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&alignedFloats((n + 3) / 4)[0])), n)
}
