package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"unsafe"
)

// chunkBytes is how much of a tensor is converted at a time, to stay in a cache.
const chunkBytes = 1 << 20

// File is an open file of tensors. Its methods may be called concurrently if the reader's ReadAt may.
type File struct {
	// AllowNotFinite lets Float32 return NaN and infinities instead of ErrNotFinite. The default value is false.
	AllowNotFinite bool

	r      io.ReaderAt
	data   int64 // where the data begins
	names  []string
	header *header
	closer io.Closer
}

// Open opens the file at path. Close releases it.
// The errors are those of os.Open and of New.
func Open(path string) (*File, error) {
	osFile, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := osFile.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	var f *File
	if err == nil {
		f, err = New(osFile, info.Size())
	}
	if err != nil {
		osFile.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.closer = osFile
	return f, nil
}

// New reads the header of a file of size bytes and keeps r for the tensors; closing r stays with the caller.
// The errors are ErrTruncated, ErrFormat, ErrDType and those of r.
func New(r io.ReaderAt, size int64) (*File, error) {
	var length [lengthBytes]byte
	if size < lengthBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTruncated, size)
	}
	if err := readFull(r, length[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeaderBytes {
		return nil, fmt.Errorf("%w: header of %d bytes, limit %d", ErrFormat, n, maxHeaderBytes)
	}
	if n > uint64(size-lengthBytes) {
		return nil, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrTruncated, n, size)
	}
	text := make([]byte, n)
	if err := readFull(r, text, lengthBytes); err != nil {
		return nil, err
	}
	data := lengthBytes + int64(n)
	h, err := parseHeader(text, size-data)
	if err != nil {
		return nil, err
	}
	f := &File{r: r, data: data, header: h}
	for _, t := range h.byOffset() {
		f.names = append(f.names, t.Name)
	}
	return f, nil
}

// readFull fills p from offset at of r.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return fmt.Errorf("%w: %d of %d bytes at offset %d", ErrTruncated, n, len(p), at)
	}
	return fmt.Errorf("safetensors: read %d bytes at offset %d: %w", len(p), at, err)
}

// Close closes the file if Open opened it.
func (f *File) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

// Names lists the tensors in the order of their data.
func (f *File) Names() []string { return slices.Clone(f.names) }

// Metadata is the header's table of free text. The caller must not change it.
func (f *File) Metadata() map[string]string { return f.header.metadata }

// Tensor describes the tensor called name; ok is false if there is none.
func (f *File) Tensor(name string) (t Tensor, ok bool) {
	t, ok = f.header.tensors[name]
	return t, ok
}

// find is Tensor with ErrNotFound.
func (f *File) find(name string) (Tensor, error) {
	t, ok := f.header.tensors[name]
	if !ok {
		return t, fmt.Errorf("%w: %q", ErrNotFound, name)
	}
	return t, nil
}

// Raw is the bytes of a tensor of any element type.
// The errors are ErrNotFound, ErrTruncated and those of the reader.
func (f *File) Raw(name string) ([]byte, error) {
	t, err := f.find(name)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, t.End-t.Begin)
	if err := readFull(f.r, raw, f.data+t.Begin); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	return raw, nil
}

// Float32 is the elements of a floating-point tensor, row-major, and its shape. F16 and BF16 widen exactly, F64 rounds.
// The errors are ErrNotFound, ErrDType, ErrNotFinite, ErrTruncated and those of the reader.
func (f *File) Float32(name string) ([]float32, []int, error) {
	t, err := f.find(name)
	if err != nil {
		return nil, nil, err
	}
	if !t.DType.isFloat() {
		return nil, nil, fmt.Errorf("tensor %q: %w: %s as float32", name, ErrDType, t.DType)
	}
	values := make([]float32, t.Len())
	if err := f.ReadFloat32(name, values); err != nil {
		return nil, nil, err
	}
	return values, slices.Clone(t.Shape), nil
}

// ReadFloat32 is Float32 into dst, which has as many elements as the tensor; it panics if it has not.
func (f *File) ReadFloat32(name string, dst []float32) error {
	t, err := f.find(name)
	if err != nil {
		return err
	}
	if !t.DType.isFloat() {
		return fmt.Errorf("tensor %q: %w: %s as float32", name, ErrDType, t.DType)
	}
	if len(dst) != t.Len() {
		panic(fmt.Sprintf("safetensors: tensor %q of %d elements into %d", name, t.Len(), len(dst)))
	}
	err = t.DType.ReadFloat32(f.r, f.data+t.Begin, dst)
	if err == nil && !f.AllowNotFinite {
		err = CheckFinite(dst)
	}
	if err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	return nil
}

// ReadFloat32 fills dst with elements of type d, which must be F64, F32, F16 or BF16, from offset at of r. F16 and BF16 widen
// exactly, F64 rounds. The errors are ErrTruncated and those of r. Elements of at most the size of a float32 are read into the end
// of the memory that they widen in, from its start on, and so take no other.
func (d DType) ReadFloat32(r io.ReaderAt, at int64, dst []float32) error {
	size := d.Size()
	var wide []byte
	if size > float32Bytes {
		wide = make([]byte, min(len(dst)*size, chunkBytes))
	}
	for len(dst) > 0 {
		n := min(len(dst), chunkBytes/max(size, float32Bytes))
		raw := wide
		if wide == nil {
			raw = bytesOf(dst[:n])[n*(float32Bytes-size):]
		}
		if err := readFull(r, raw[:n*size], at); err != nil {
			return err
		}
		d.decode(dst[:n], raw)
		dst, at = dst[n:], at+int64(n*size)
	}
	return nil
}

// float32Bytes is the size of a float32.
const float32Bytes = 4

// bytesOf returns the memory of x.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), float32Bytes*len(x))
}

// CheckFinite returns ErrNotFinite, with the place of the first NaN or infinity among values, if there is one.
func CheckFinite(values []float32) error {
	if i := firstNotFinite(values); i >= 0 {
		return fmt.Errorf("%w: element %d is %v", ErrNotFinite, i, values[i])
	}
	return nil
}

// firstNotFinite is the index of the first NaN or infinity, -1 if there is none.
func firstNotFinite(values []float32) int {
	for i, v := range values {
		if v-v != 0 { // 0 for every finite v, NaN otherwise
			return i
		}
	}
	return -1
}
