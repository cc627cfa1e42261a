// Package ggml reads the model files of whisper.cpp.
//
// Such a file (whisper.cpp's models/convert-pt-to-ggml.py and whisper_model_load) is little-endian and has no table of contents:
//
//	magic, 11 sizes, n_mel and n_fft, n_mel*n_fft mel filters, number of tokens, length and bytes of each,
//	then for each tensor: number of axes, length of name, element type, axes (the fastest first), name, elements
//
// Nothing in it is believed: every count and length has a limit and is checked against the size of the file. Tensors are found
// when the file is opened and read when they are asked for.
package ggml

import (
	"errors"
	"fmt"
	"io"

	"glossa/whisper/safetensors"
)

// Errors of this package.
var (
	ErrFormat    = errors.New("ggml: malformed file")
	ErrTruncated = errors.New("ggml: truncated file")
	ErrType      = errors.New("ggml: element type not supported")
)

// Magic begins every file: 0x67676d6c.
const Magic = "lmgg"

// Limits of a file. whisper-large-v3 has 51,866 tokens of at most 128 bytes and 1,259 tensors.
const (
	maxMels       = 1 << 10
	maxFFT        = 1 << 16
	maxTokens     = 1 << 18
	maxTokenBytes = 256
	maxTensors    = 1 << 14
	maxDims       = 4
	maxNameBytes  = 256
)

// Header is the sizes of the model, by upstream's names, and its prevailing element type.
type Header struct {
	NVocab, NAudioCtx, NAudioState, NAudioHead, NAudioLayer, NTextCtx, NTextState, NTextHead, NTextLayer, NMels int32

	FType int32 // 1000 times the version of the quantisation, plus the type
}

// The version of the layout of quantised blocks stands in the thousands of FType.
const (
	quantisationFactor  = 1000
	quantisationVersion = 2
)

// File is an open file.
type File struct {
	Header     Header
	NMel, NFFT int      // rows and columns of the mel filters
	Tokens     [][]byte // by id

	tensors []*Tensor
}

// Tensor describes one tensor and reads it.
type Tensor struct {
	safetensors.Tensor // its DType is that of the blocks, such as "Q5_0"; Begin counts from the start of the file
	r                  io.ReaderAt
	blocks             blocks
}

// New reads all of a file of size bytes but its tensors' elements, which the tensors read from r.
// The errors are ErrFormat, ErrTruncated, ErrType and those of r.
func New(r io.ReaderAt, size int64) (*File, error) {
	in := newReader(r, size)
	f := &File{}
	magic := make([]byte, len(Magic))
	if in.read(magic); in.err == nil && string(magic) != Magic {
		return nil, fmt.Errorf("%w: it begins with %q, want %q", ErrFormat, magic, Magic)
	}
	for _, field := range []*int32{
		&f.Header.NVocab, &f.Header.NAudioCtx, &f.Header.NAudioState, &f.Header.NAudioHead, &f.Header.NAudioLayer, &f.Header.NTextCtx,
		&f.Header.NTextState, &f.Header.NTextHead, &f.Header.NTextLayer, &f.Header.NMels, &f.Header.FType,
	} {
		*field = in.int32()
	}
	if v := f.Header.FType / quantisationFactor; in.err == nil && v != 0 && v != quantisationVersion {
		return nil, fmt.Errorf("%w: blocks of version %d, want %d: quantise the model again", ErrType, v, quantisationVersion)
	}
	f.NMel, f.NFFT = in.count("mel filters", 0, maxMels), in.count("bins of a mel filter", 0, maxFFT)
	in.skip(4 * int64(f.NMel) * int64(f.NFFT))
	for range in.count("tokens", 0, maxTokens) {
		token := make([]byte, in.count("bytes of a token", 0, maxTokenBytes))
		if in.read(token); in.err != nil {
			break
		}
		f.Tokens = append(f.Tokens, token)
	}
	seen := map[string]bool{}
	for in.err == nil && in.at < in.size {
		t := in.tensor()
		if in.err != nil {
			break
		}
		if seen[t.Name] || len(seen) == maxTensors {
			return nil, fmt.Errorf("%w: tensor %q is one too many", ErrFormat, t.Name)
		}
		seen[t.Name] = true
		f.tensors = append(f.tensors, t)
	}
	if in.err != nil {
		return nil, in.err
	}
	return f, nil
}

// Tensors lists the tensors in the order of the file.
func (f *File) Tensors() []*Tensor { return f.tensors }

// Float32 is the elements of the tensor, row-major, each as whisper.cpp dequantises it.
// The errors are ErrTruncated and those of the reader.
func (t *Tensor) Float32() ([]float32, error) {
	values := make([]float32, t.Len())
	return values, t.ReadFloat32(values)
}

// ReadFloat32 is Float32 into values, which are as many as the tensor's elements.
func (t *Tensor) ReadFloat32(values []float32) error {
	raw := make([]byte, min(t.End-t.Begin, int64(chunkBlocks*t.blocks.size)))
	for i, at := 0, t.Begin; i < len(values); {
		n := min(len(values)-i, chunkBlocks*t.blocks.len)
		part := raw[:n/t.blocks.len*t.blocks.size]
		if err := readFull(t.r, part, at); err != nil {
			return err
		}
		t.blocks.decode(values[i:i+n], part)
		i, at = i+n, at+int64(len(part))
	}
	return nil
}
