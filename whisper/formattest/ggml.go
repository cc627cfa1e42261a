package formattest

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"glossa/whisper/ggml"
	"glossa/whisper/safetensors"
)

// fftBins is the number of bins of a mel filter.
const fftBins = 201

// ggmlTypes are the numbers of the element types, with the elements and the bytes of a block.
var ggmlTypes = map[safetensors.DType]struct{ number, len, size int }{
	"F32": {0, 1, 4}, "F16": {1, 1, 2}, "Q4_0": {2, 32, 18}, "Q4_1": {3, 32, 20}, "Q5_0": {6, 32, 22}, "Q5_1": {7, 32, 24}, "Q8_0": {8, 32, 34},
}

// GGML writes a model of whisper.cpp. The data of a quantised tensor are its blocks.
func GGML(w io.Writer, h ggml.Header, tokens [][]byte, tensors []Tensor) error {
	var err error
	put := func(data ...any) {
		for _, v := range data {
			if err == nil {
				err = binary.Write(w, binary.LittleEndian, v)
			}
		}
	}
	put([]byte(ggml.Magic), h, h.NMels, int32(fftBins), make([]float32, int(h.NMels)*fftBins), int32(len(tokens)))
	for _, token := range tokens {
		put(int32(len(token)), token)
	}
	for _, t := range tensors {
		kind, ok := ggmlTypes[t.DType]
		if !ok {
			return fmt.Errorf("formattest: %s in ggml", t.DType)
		}
		put(int32(len(t.Shape)), int32(len(t.Name)), int32(kind.number))
		for _, d := range slices.Backward(t.Shape) {
			put(int32(d))
		}
		put([]byte(t.Name))
		if err == nil {
			err = write(w, t.Data, t.elements()/kind.len*kind.size)
		}
	}
	return err
}
