package ggml

import (
	"encoding/binary"
	"math"

	"glossa/whisper/safetensors"
)

// blockLen is the number of elements in a quantised block (QK4_0 and its like in ggml-common.h).
const blockLen = 32

const (
	// chunkBlocks is how many blocks are held as raw bytes while they are converted.
	chunkBlocks = 1 << 11
	// maxPerByte bounds how many elements a byte of the file may stand for.
	maxPerByte = 2
)

// blocks is an element type: len elements share a block of size bytes.
type blocks struct {
	dtype     safetensors.DType
	len, size int
	decode    func(dst []float32, src []byte) // len(src)/size whole blocks
}

// types are the supported element types by their number in enum ggml_type.
var types = map[int32]blocks{
	0: {safetensors.F32, 1, 4, decodeF32},
	1: {safetensors.F16, 1, 2, decodeF16},
	2: each("Q4_0", 2+blockLen/2, blockQ40),
	3: each("Q4_1", 2+2+blockLen/2, blockQ41),
	6: each("Q5_0", 2+4+blockLen/2, blockQ50),
	7: each("Q5_1", 2+2+4+blockLen/2, blockQ51),
	8: each("Q8_0", 2+blockLen, blockQ80),
}

// each is a type whose blocks of 32 elements are decoded one by one.
func each(dtype safetensors.DType, size int, block func(dst *[blockLen]float32, src []byte)) blocks {
	return blocks{dtype, blockLen, size, func(dst []float32, src []byte) {
		for ; len(src) > 0; dst, src = dst[blockLen:], src[size:] {
			block((*[blockLen]float32)(dst), src[:size])
		}
	}}
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = half(src[2*i:])
	}
}

// half is the binary16 number at the start of src.
func half(src []byte) float32 {
	return safetensors.HalfToFloat32(binary.LittleEndian.Uint16(src))
}

// nibbles are the 4-bit numbers of a block: the low ones of all bytes first, then the high ones.
func nibbles(src []byte) (q [blockLen]uint8) {
	for j, b := range src[:blockLen/2] {
		q[j], q[j+blockLen/2] = b&0xf, b>>4
	}
	return q
}

// fives are 5-bit numbers: the fifth bits, in four bytes, then the nibbles.
func fives(src []byte) [blockLen]uint8 {
	high, q := binary.LittleEndian.Uint32(src), nibbles(src[4:])
	for j := range q {
		q[j] |= uint8(high>>j&1) << 4
	}
	return q
}

// blockQ40 is d*(q - 8): d, then nibbles. (dequantize_row_q4_0 of ggml-quants.c, as the others here)
func blockQ40(dst *[blockLen]float32, src []byte) {
	d, q := half(src), nibbles(src[2:])
	for j := range dst {
		dst[j] = d * float32(int(q[j])-8)
	}
}

// blockQ41 is d*q + m: d, m, then nibbles. The product is rounded before the sum.
func blockQ41(dst *[blockLen]float32, src []byte) {
	d, m, q := half(src), half(src[2:]), nibbles(src[4:])
	for j := range dst {
		dst[j] = float32(d*float32(q[j])) + m
	}
}

// blockQ50 is d*(q - 16): d, then five-bit numbers.
func blockQ50(dst *[blockLen]float32, src []byte) {
	d, q := half(src), fives(src[2:])
	for j := range dst {
		dst[j] = d * float32(int(q[j])-16)
	}
}

// blockQ51 is d*q + m: d, m, then five-bit numbers.
func blockQ51(dst *[blockLen]float32, src []byte) {
	d, m, q := half(src), half(src[2:]), fives(src[4:])
	for j := range dst {
		dst[j] = float32(d*float32(q[j])) + m
	}
}

// blockQ80 is d*q: d, then signed bytes.
func blockQ80(dst *[blockLen]float32, src []byte) {
	d := half(src)
	for j := range dst {
		dst[j] = d * float32(int8(src[2+j]))
	}
}
