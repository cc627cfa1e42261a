package cpu

import (
	"math"
	"unsafe"

	"glossa/whisper/tensor"
)

// goFormats are those of the pure Go path. They have the layout of AVX2's.
var goFormats = [...]*format{
	tensor.F32:  {dtype: tensor.F32, mr: 4, nr: 16, terms: 1, aSize: 4, bSize: 4, panel: panelGo, outer: panelGo, convert: convertF32, peak: peakGo, peakWidth: peakGoWidth},
	tensor.BF16: {dtype: tensor.BF16, mr: 4, nr: 16, terms: 2, aSize: 8, bSize: 4, panel: panelBF16Go, outer: panelGo, unpack: unpackBF16Go, convert: convertF32},
	tensor.I8:   {dtype: tensor.I8, mr: 4, nr: 16, terms: 2, aSize: 4, bSize: 2, panel: panelI8Go, outer: panelGo, unpack: unpackI8Go, pack: packI8Go, convert: convertI16},
}

// convertF32 leaves activations as they are.
func convertF32(_ *kernels, dst []byte, x []float32) float32 {
	row := floatsOf(dst)
	clear(row[copy(row, x):])
	return 1
}

// convertI16 quantises activations to whole numbers of at most 127, in 16 bits.
func convertI16(k *kernels, dst []byte, x []float32) float32 {
	scale, inverse := quantiseScale(k.absMax(x))
	k.quantiseI16(unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst)/2), x, inverse)
	return scale
}

// convertU8 quantises activations to bytes about 128. Terms past the row are any: their weights are
// zero.
func convertU8(k *kernels, dst []byte, x []float32) float32 {
	scale, inverse := quantiseScale(k.absMax(x))
	k.quantiseU8(dst, x, inverse)
	return scale
}

// convertBF16 rounds activations to bfloat16.
func convertBF16(k *kernels, dst []byte, x []float32) float32 {
	k.toBF16(halves(floatsOf(dst)), x)
	return 1
}

func quantiseI16Go(dst []int16, x []float32, inverse float32) {
	for i, v := range x {
		dst[i] = int16(math.RoundToEven(float64(v * inverse)))
	}
	clear(dst[len(x):])
}

func splitI16Go(high, low []int16, x []float32, inverse, digit float32) {
	for i, v := range x {
		t := v * inverse
		h := float32(math.RoundToEven(float64(t)))
		high[i], low[i] = int16(h), int16(math.RoundToEven(float64((t-h)*digit)))
	}
	clear(high[len(x):])
	clear(low[len(x):])
}

func toBF16Go(dst []uint16, x []float32) {
	for i, v := range x {
		dst[i] = bfloat16(v)
	}
	clear(dst[len(x):])
}

func interleaveGo(y, a, b []float32) {
	a, b = a[:len(y)], b[:len(y)]
	for i := range y {
		y[i] = math.Float32frombits(uint32(bfloat16(a[i])) | uint32(bfloat16(b[i]))<<16)
	}
}

// panelBF16Go is the panel kernel of weights of bfloat16 without assembly. It rounds each product
// before it adds.
func panelBF16Go(p *panel) {
	const nr = 16
	m, k := int(p.m), int(p.k)
	for i := range m {
		a := unsafe.Slice((*[2]float32)(unsafe.Add(unsafe.Pointer(p.a), i*int(p.aRow))), k)
		b := unsafe.Slice((*[nr][2]uint16)(unsafe.Pointer(p.b)), k)
		var acc [nr]float32
		for s, x := range a {
			for j, w := range &b[s] {
				acc[j] += float32(x[0] * float32FromBF16(w[0]))
				acc[j] += float32(x[1] * float32FromBF16(w[1]))
			}
		}
		p.finish(i, &acc)
	}
}

// panelI8Go is the panel kernel of weights of int8 without assembly. Its sums are exact, and so its
// results are those of every other kernel.
func panelI8Go(p *panel) {
	const nr = 16
	m, k := int(p.m), int(p.k)
	for i := range m {
		a := unsafe.Slice((*[2]int16)(unsafe.Add(unsafe.Pointer(p.a), i*int(p.aRow))), k)
		b := unsafe.Slice((*[nr][2]int8)(unsafe.Pointer(p.b)), k)
		var sum [nr]int32
		for s, x := range a {
			for j, w := range &b[s] {
				sum[j] += int32(x[0])*int32(w[0]) + int32(x[1])*int32(w[1])
			}
		}
		row, col := unsafe.Slice(p.rowScale, m)[i], (*[nr]float32)(unsafe.Pointer(p.colScale))
		correction := (*[nr]int32)(unsafe.Pointer(p.correction))
		var acc [nr]float32
		for j := range acc {
			acc[j] = float32(sum[j]-correction[j]) * row * col[j]
		}
		p.finish(i, &acc)
	}
}

// finish adds the bias to a row of the tile and stores it.
func (p *panel) finish(i int, acc *[16]float32) {
	if p.bias != nil {
		for j, b := range (*[16]float32)(unsafe.Pointer(p.bias)) {
			acc[j] += b
		}
	}
	*(*[16]float32)(unsafe.Add(unsafe.Pointer(p.c), i*int(p.cRow))) = *acc
}
