//go:build cuda && linux

package cuda

import (
	"math"
	"unsafe"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// isNarrow reports whether the numbers of a format have 16 bits.
func isNarrow(dtype tensor.DType) bool { return dtype == tensor.BF16 || dtype == tensor.F16 }

// narrowFormat is the format of 16 bits in which numbers are kept that are asked for in one that has no kernels: bfloat16.
func narrowFormat(dtype tensor.DType) tensor.DType {
	if dtype == tensor.F16 {
		return tensor.F16
	}
	return tensor.BF16
}

// typeOf returns what products call a format.
func typeOf(dtype tensor.DType) driver.Type {
	switch dtype {
	case tensor.BF16:
		return driver.BF16
	case tensor.F16:
		return driver.F16
	}
	return driver.F32
}

// formats is the number of formats that kernels know.
const formats = 3

// formatOf returns the number by which kernels know a format: see kport.h.
func formatOf(dtype tensor.DType) int {
	switch dtype {
	case tensor.BF16:
		return 1
	case tensor.F16:
		return 2
	}
	return 0
}

// format is formatOf as an argument.
func format(dtype tensor.DType) driver.Arg { return driver.Int32(formatOf(dtype)) }

// rounded returns the bits of x in a format of 16 bits, rounded to nearest even. NaN stays NaN; finite numbers that float16 has not become
// its greatest.
func rounded(x []float32, dtype tensor.DType) []uint16 {
	round := roundBF16
	if dtype == tensor.F16 {
		round = roundF16
	}
	y := make([]uint16, len(x))
	for i, u := range unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(x))), len(x)) {
		y[i] = round(u)
	}
	return y
}

// roundBF16 rounds the bits of a float32.
func roundBF16(u uint32) uint16 {
	if u&0x7fffffff > 0x7f800000 {
		return 0x7fff
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// roundF16 rounds the bits of a float32.
func roundF16(u uint32) uint16 {
	const greatest = 0x7bff // 65504
	sign, u := uint16(u>>16&0x8000), u&0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7fff
	case u == 0x7f800000:
		return sign | 0x7c00
	case u >= 0x38800000: // 2^-14, the least normal number
		u -= 0x38000000 // the exponent's bias
		return sign | uint16(min((u+0xfff+u>>13&1)>>13, greatest))
	}
	return sign | uint16(math.RoundToEven(float64(math.Float32frombits(u))*(1<<24))) // in units of the least number
}
