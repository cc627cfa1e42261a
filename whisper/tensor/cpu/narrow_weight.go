package cpu

import (
	"encoding/binary"
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// narrowWeight is a weight (nOut, nIn) of 16 or 8 bits in panels of nr output channels: panel j
// holds step p of channel j*nr+i, zeros for what the weight lacks, at
//
//	data[((j*nStep+p)*nr+i)*bSize]
//
// A channel of int8 stands for its numbers times its scale.
type narrowWeight struct {
	dtype       tensor.DType
	format      *narrowFormat
	nOut, nIn   int
	data        []byte
	scales      []float32 // int8: by channel, a whole number of panels
	corrections []int32   // int8: what offset adds to the sum of each channel
}

func (w *narrowWeight) Shape() (nOut, nIn int) { return w.nOut, w.nIn }

func (w *narrowWeight) DType() tensor.DType { return w.dtype }

// packNarrow lays w out in panels of a narrow format.
func (b *Backend) packNarrow(w tensor.Mat, dtype tensor.DType, f *narrowFormat) *narrowWeight {
	panels, steps := (w.Rows+f.nr-1)/f.nr, f.steps(w.Cols)
	p := &narrowWeight{dtype: dtype, format: f, nOut: w.Rows, nIn: w.Cols, data: alignedBytes(panels * f.nr * steps * f.bSize)}
	if dtype == tensor.I8 {
		p.scales, p.corrections = make([]float32, panels*f.nr), make([]int32, panels*f.nr)
	}
	b.parallel(w.Rows, func(k *worker, i int) {
		channel := p.data[(i/f.nr*steps*f.nr+i%f.nr)*f.bSize:]
		if dtype == tensor.I8 {
			p.packI8(k, channel, i, w.Row(i))
		} else {
			p.packBF16(channel, w.Row(i))
		}
	})
	return p
}

// at returns where term t of a channel is, in bytes behind its first.
func (w *narrowWeight) at(t int) int {
	f := w.format
	return t/f.terms*f.nr*f.bSize + t%f.terms*(f.bSize/f.terms)
}

func (w *narrowWeight) packBF16(channel []byte, row []float32) {
	for t, x := range row {
		binary.NativeEndian.PutUint16(channel[w.at(t):], bfloat16(x))
	}
}

// packI8 quantises a channel about zero, its greatest number to ±127.
func (w *narrowWeight) packI8(k *worker, channel []byte, i int, row []float32) {
	scale, inverse := quantiseScale(k.kernels.absMax(row))
	sum := int32(0)
	for t, x := range row {
		q := int8(math.RoundToEven(float64(x * inverse)))
		channel[w.at(t)] = byte(q)
		sum += int32(q)
	}
	w.scales[i], w.corrections[i] = scale, w.format.offset*sum
}

// quantiseScale returns the scale of numbers whose greatest is quantised to 127, and its inverse. Of numbers
// that are not finite the scale is NaN, and the inverse zero.
func quantiseScale(greatest float32) (scale, inverse float32) {
	const steps, least = 127, 0x1p-100
	switch {
	case !(greatest <= math.MaxFloat32):
		return float32(math.NaN()), 0
	case greatest < least:
		return 0, 0
	}
	return greatest / steps, steps / greatest
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

// alignedBytes returns n zeros that begin at a cache line.
func alignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&alignedFloats((n + 3) / 4)[0])), n)
}
