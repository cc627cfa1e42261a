// Package formattest writes models in the formats of openai/whisper and of whisper.cpp, for the tests of what reads them.
package formattest

import (
	"bytes"
	"cmp"
	"io"
	"os"

	"glossa/whisper/safetensors"
)

// Tensor is a tensor to be written.
type Tensor struct {
	Name  string
	DType safetensors.DType
	Shape []int
	Data  []byte // little-endian elements; nil stands for zeros

	// Stride and Elements make it a view of a storage of so many elements in a .pt file. The default value is row-major order
	// in a storage of its own.
	Stride   []int
	Elements int
}

// elements is the number of elements of the shape.
func (t Tensor) elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// stored is the number of elements of the storage.
func (t Tensor) stored() int { return cmp.Or(t.Elements, t.elements()) }

// zeros is what absent data is written from.
var zeros [1 << 22]byte

// write writes n bytes: data, or zeros where it is nil.
func write(w io.Writer, data []byte, n int) error {
	if data != nil {
		_, err := w.Write(data)
		return err
	}
	for n > 0 {
		part := zeros[:min(n, len(zeros))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= len(part)
	}
	return nil
}

// Sparse writes to a file and leaves long runs of zeros out as holes, so that a model of any size takes no space.
type Sparse struct{ File *os.File }

// Write is io.Writer's.
func (s Sparse) Write(p []byte) (int, error) {
	const block = 4096
	if len(p) < block || !bytes.Equal(p, zeros[:min(len(p), len(zeros))]) {
		return s.File.Write(p)
	}
	end, err := s.File.Seek(int64(len(p)), io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return len(p), s.File.Truncate(end)
}
