package safetensors

import (
	"encoding/binary"
	"math"
)

// DType names the element type of a tensor as the header spells it.
type DType string

// The element types of the format. F64, F32, F16 and BF16 can be read as float32; the others only as raw bytes.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"
	F8E4 DType = "F8_E4M3"
	F8E5 DType = "F8_E5M2"
)

// Size is the number of bytes of one element, 0 for a type that is not of the format.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case I8, U8, Bool, F8E4, F8E5:
		return 1
	}
	return 0
}

// isFloat says whether elements of d widen (F64: narrow) to float32.
func (d DType) isFloat() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

// decode converts len(dst) little-endian elements of type d at the start of src to float32, one after the other, so that src may
// end where dst ends.
func (d DType) decode(dst []float32, src []byte) {
	switch d {
	case F64:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = HalfToFloat32(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	default:
		panic("safetensors: decode of " + string(d))
	}
}

// encode writes src as little-endian elements of type d to the start of dst, rounding to nearest, ties to even.
func (d DType) encode(dst []byte, src []float32) {
	switch d {
	case F32:
		for i, v := range src {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
		}
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], float32ToHalf(v))
		}
	case BF16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], float32ToBrain(v))
		}
	default:
		panic("safetensors: encode as " + string(d))
	}
}

// Widths of the IEEE 754 binary16 and binary32 formats.
const (
	halfMantissa   = 10
	halfBias       = 15
	singleMantissa = 23
	singleBias     = 127
	mantissaShift  = singleMantissa - halfMantissa
	signShift      = 31 - 15
)

// HalfToFloat32 is the value of an IEEE 754 binary16 number; it is exact, NaN payloads included.
//
// Its exponent and mantissa are, moved to their places in binary32, the number times 2^(halfBias-singleBias), subnormals included.
func HalfToFloat32(h uint16) float32 {
	const factor = 1 << (singleBias - halfBias)
	bits := uint32(h&0x7fff) << mantissaShift
	if h&0x7c00 == 0x7c00 { // infinities and NaN
		bits |= 0xff << singleMantissa
	} else {
		bits = math.Float32bits(math.Float32frombits(bits) * factor)
	}
	return math.Float32frombits(bits | uint32(h&0x8000)<<signShift)
}

// float32ToHalf rounds v to the nearest binary16 number, ties to even; magnitudes from 65520 on become infinite.
func float32ToHalf(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits>>signShift) & 0x8000
	bits &= 1<<31 - 1
	const (
		infinity     = 0xff << singleMantissa
		overflow     = (singleBias + halfBias + 1) << singleMantissa
		firstNormal  = (singleBias - halfBias + 1) << singleMantissa
		rebias       = (singleBias - halfBias) << singleMantissa
		halfOfLowest = 1<<(mantissaShift-1) - 1
	)
	switch {
	case bits > infinity:
		return sign | 0x7e00
	case bits >= overflow:
		return sign | 0x7c00
	case bits < firstNormal:
		// Adding 0.5 places the last mantissa bit of a float32 at 2^-24, the step of half's subnormals.
		return sign | uint16(math.Float32bits(math.Float32frombits(bits)+0.5)-math.Float32bits(0.5))
	}
	bits += halfOfLowest + bits>>mantissaShift&1 - rebias
	return sign | uint16(bits>>mantissaShift)
}

// float32ToBrain rounds v to the nearest bfloat16 number, ties to even.
func float32ToBrain(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
