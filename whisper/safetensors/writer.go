package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// headerAlign is the multiple to which the header is padded with spaces, so that the data is aligned for its widest element.
const headerAlign = 8

// Values is a tensor to be written.
type Values struct {
	Name  string
	Shape []int
	Data  []float32 // row-major
	// DType is the element type in the file: F32, F16 or BF16. The default value is the type given to Write.
	DType DType
}

// Write writes the tensors and the metadata as one file. The bytes depend on the arguments only, not on their order: wider
// elements come first, equal widths by name, as in the format's own implementation.
//
// It panics if a tensor's data does not fill its shape or a name occurs twice. The errors are ErrDType, ErrNotFinite (also for a
// value that only becomes infinite when rounded to the element type) and those of w.
func Write(w io.Writer, tensors []Values, metadata map[string]string, dtype DType) error {
	tensors = slices.Clone(tensors)
	for i := range tensors {
		t := &tensors[i]
		t.DType = cmp.Or(t.DType, dtype)
		if t.DType != F32 && t.DType != F16 && t.DType != BF16 {
			return fmt.Errorf("tensor %q: %w: writing %q", t.Name, ErrDType, string(t.DType))
		}
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		if n != len(t.Data) {
			panic(fmt.Sprintf("safetensors: tensor %q: shape %v with %d values", t.Name, t.Shape, len(t.Data)))
		}
	}
	slices.SortFunc(tensors, func(a, b Values) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.Name, b.Name))
	})
	if err := writeHeader(w, tensors, metadata); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := writeData(w, t); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// writeHeader writes the length and the JSON header of tensors in their order.
func writeHeader(w io.Writer, tensors []Values, metadata map[string]string) error {
	var text bytes.Buffer
	separator := byte('{')
	member := func(name string, value any) error {
		text.WriteByte(separator)
		separator = ','
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		encoded, err := json.Marshal(value)
		text.Write(key)
		text.WriteByte(':')
		text.Write(encoded)
		return err
	}
	if len(metadata) > 0 {
		if err := member(metadataKey, maps.Clone(metadata)); err != nil {
			return err
		}
	}
	var at int64
	seen := map[string]bool{metadataKey: true}
	for _, t := range tensors {
		if seen[t.Name] {
			panic(fmt.Sprintf("safetensors: tensor name %q is taken", t.Name))
		}
		seen[t.Name] = true
		end := at + int64(len(t.Data)*t.DType.Size())
		entry := struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, append([]int{}, t.Shape...), [2]int64{at, end}}
		if err := member(t.Name, entry); err != nil {
			return err
		}
		at = end
	}
	if text.Len() == 0 {
		text.WriteByte('{')
	}
	text.WriteByte('}')
	for text.Len()%headerAlign != 0 {
		text.WriteByte(' ')
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(text.Len())); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}

// writeData writes the elements of t and refuses those that are not finite in its element type.
func writeData(w io.Writer, t Values) error {
	size := t.DType.Size()
	raw := make([]byte, min(len(t.Data)*size, chunkBytes))
	rounded := make([]float32, len(raw)/size)
	for i := 0; i < len(t.Data); i += len(rounded) {
		part := t.Data[i:min(i+len(rounded), len(t.Data))]
		bytes := raw[:len(part)*size]
		t.DType.encode(bytes, part)
		t.DType.decode(rounded[:len(part)], bytes)
		if at := firstNotFinite(rounded[:len(part)]); at >= 0 {
			return fmt.Errorf("%w: element %d is %v, in %s %v", ErrNotFinite, i+at, part[at], t.DType, rounded[at])
		}
		if _, err := w.Write(bytes); err != nil {
			return err
		}
	}
	return nil
}
