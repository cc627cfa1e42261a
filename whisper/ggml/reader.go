package ggml

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"glossa/whisper/safetensors"
)

// reader reads a file from its start. Its first error sticks, and what is read after it is zero.
type reader struct {
	r        io.ReaderAt
	size, at int64
	buffer   *bufio.Reader
	err      error
}

func newReader(r io.ReaderAt, size int64) *reader {
	return &reader{r: r, size: size, buffer: bufio.NewReader(io.NewSectionReader(r, 0, size))}
}

// fail keeps the first error.
func (in *reader) fail(sentinel error, format string, args ...any) {
	if in.err == nil {
		in.err = fmt.Errorf("%w: at byte %d: %s", sentinel, in.at, fmt.Sprintf(format, args...))
	}
}

// read fills p.
func (in *reader) read(p []byte) {
	if in.err != nil {
		return
	}
	if _, err := io.ReadFull(in.buffer, p); err == io.EOF || err == io.ErrUnexpectedEOF {
		in.fail(ErrTruncated, "%d bytes are missing", int64(len(p))-(in.size-in.at))
	} else if err != nil {
		in.err = err
	}
	in.at += int64(len(p))
}

// skip passes over n bytes.
func (in *reader) skip(n int64) {
	if n > in.size-in.at {
		in.fail(ErrTruncated, "%d bytes are missing", n-(in.size-in.at))
	}
	if in.err != nil {
		return
	}
	if n <= int64(in.buffer.Buffered()) {
		in.buffer.Discard(int(n)) // it is buffered
	} else {
		in.buffer.Reset(io.NewSectionReader(in.r, in.at+n, in.size-in.at-n))
	}
	in.at += n
}

func (in *reader) int32() int32 {
	var word [4]byte
	if in.read(word[:]); in.err != nil {
		return 0
	}
	return int32(binary.LittleEndian.Uint32(word[:]))
}

// count reads a number of what from low to high.
func (in *reader) count(what string, low, high int) int {
	n := int(in.int32())
	if in.err == nil && (n < low || n > high) {
		in.fail(ErrFormat, "%d %s, not in %d..%d", n, what, low, high)
	}
	if in.err != nil {
		return 0
	}
	return n
}

// tensor reads what stands before the elements of a tensor and passes over these.
func (in *reader) tensor() *Tensor {
	dims, length, kind := in.count("axes", 0, maxDims), in.count("bytes of a name", 1, maxNameBytes), in.int32()
	t := &Tensor{Tensor: safetensors.Tensor{Shape: make([]int, dims)}, r: in.r}
	n, row := int64(1), 1
	for i := range dims {
		d := in.count("elements of an axis", 1, 1<<31-1)
		t.Shape[dims-1-i] = d
		if i == 0 {
			row = d
		}
		if n *= int64(d); n > in.size*maxPerByte {
			in.fail(ErrTruncated, "a tensor of more than %d elements", n)
			return t
		}
	}
	name := make([]byte, length)
	if in.read(name); in.err != nil {
		return t
	}
	t.Name = string(name)
	var ok bool
	if t.blocks, ok = types[kind]; !ok {
		in.fail(ErrType, "tensor %q of type %d", t.Name, kind)
	} else if row%t.blocks.len != 0 {
		in.fail(ErrFormat, "tensor %q of shape %v in blocks of %d", t.Name, slices.Clone(t.Shape), t.blocks.len)
	}
	if in.err != nil {
		return t
	}
	t.DType = t.blocks.dtype
	t.Begin, t.End = in.at, in.at+n/int64(t.blocks.len)*int64(t.blocks.size)
	in.skip(t.End - t.Begin)
	return t
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
	return fmt.Errorf("ggml: read %d bytes at offset %d: %w", len(p), at, err)
}
