package torch

import (
	"fmt"
	"io"
	"math"
	"slices"

	"glossa/whisper/safetensors"
)

const maxDims = 16

// storage is a run of n elements of the file.
type storage struct {
	r     io.ReaderAt
	begin int64 // its first byte
	dtype safetensors.DType
	n     int64
}

// read fills dst with the elements from the given one on.
func (s *storage) read(from int64, dst []float32) error {
	return s.dtype.ReadFloat32(s.r, s.begin+from*int64(s.dtype.Size()), dst)
}

// A Tensor is a view of a storage: element (i, j, …) is that at offset + i*stride[0] + j*stride[1] + ….
type Tensor struct {
	DType safetensors.DType
	Shape []int

	storage *storage
	offset  int64
	stride  []int64
	span    int64 // elements from the first to the last, both counted
}

// newTensor checks that the view lies in its storage and has no more elements than it.
func newTensor(s *storage, offset int64, shape, stride []int64) (*Tensor, error) {
	t := &Tensor{DType: s.dtype, storage: s, offset: offset, stride: stride}
	outside := fmt.Errorf("%w: shape %v, strides %v from element %d on of a storage of %d", ErrFormat, shape, stride, offset, s.n)
	if len(stride) != len(shape) || offset < 0 || offset > s.n {
		return nil, outside
	}
	n, last := int64(1), int64(0)
	for i, d := range shape {
		if d < 0 || stride[i] < 0 || d > math.MaxInt {
			return nil, outside
		}
		t.Shape = append(t.Shape, int(d))
	}
	if slices.Contains(shape, 0) {
		return t, nil
	}
	for i, d := range shape {
		if d > s.n/n || d > 1 && stride[i] > s.n/(d-1) {
			return nil, outside
		}
		n *= d
		last += (d - 1) * stride[i]
	}
	if last >= s.n-offset {
		return nil, outside
	}
	t.span = last + 1
	return t, nil
}

// len is the number of elements.
func (t *Tensor) len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

func (t *Tensor) bytes() int64 { return int64(t.len()) * int64(t.DType.Size()) }

// Float32 is the elements of the tensor, row-major. The errors are those of safetensors.
func (t *Tensor) Float32() ([]float32, error) {
	values := make([]float32, t.len())
	return values, t.ReadFloat32(values)
}

// ReadFloat32 is Float32 into values, which are as many as the tensor's elements.
func (t *Tensor) ReadFloat32(values []float32) error {
	if t.contiguous() {
		return t.storage.read(t.offset, values)
	}
	span := make([]float32, t.span)
	if err := t.storage.read(t.offset, span); err != nil {
		return err
	}
	index := make([]int, len(t.Shape))
	for i := range values {
		at := int64(0)
		for axis, k := range index {
			at += int64(k) * t.stride[axis]
		}
		values[i] = span[at]
		for axis := len(index) - 1; axis >= 0; axis-- {
			if index[axis]++; index[axis] < t.Shape[axis] {
				break
			}
			index[axis] = 0
		}
	}
	return nil
}

// contiguous says whether the elements lie in row-major order; the stride of an axis of one element does not matter.
func (t *Tensor) contiguous() bool {
	want := int64(1)
	for axis, d := range slices.Backward(t.Shape) {
		if d != 1 && t.stride[axis] != want {
			return false
		}
		want *= int64(d)
	}
	return true
}
