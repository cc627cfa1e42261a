package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// Errors of this package. Every error that a file causes wraps one of them and names the tensor that it is about.
var (
	ErrFormat    = errors.New("safetensors: malformed file")
	ErrTruncated = errors.New("safetensors: truncated file")
	ErrNotFound  = errors.New("safetensors: no such tensor")
	ErrDType     = errors.New("safetensors: element type not supported")
	ErrNotFinite = errors.New("safetensors: NaN or infinity")
)

// Limits of a header. The first is that of the format's own implementation.
const (
	maxHeaderBytes = 100_000_000
	maxDims        = 16
	lengthBytes    = 8
	metadataKey    = "__metadata__"
)

// Tensor describes one tensor of a file.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // empty for a scalar
	// Begin and End bound its bytes, counted from the start of the data.
	Begin, End int64
}

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// header is what the JSON of a file says.
type header struct {
	tensors  map[string]Tensor
	metadata map[string]string
}

// parseHeader reads the JSON header and checks it against dataBytes, the number of bytes that follow it.
func parseHeader(text []byte, dataBytes int64) (*header, error) {
	h := &header{tensors: map[string]Tensor{}, metadata: map[string]string{}}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err := eachMember(dec, func(name string) error {
		if name == metadataKey {
			return eachMember(dec, func(key string) error {
				value, err := stringToken(dec)
				h.metadata[key] = value
				return err
			})
		}
		t, err := parseTensor(dec, name)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		h.tensors[name] = t
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: bytes after the header's object", ErrFormat)
	}
	return h, h.checkTiling(dataBytes)
}

// parseTensor reads one tensor's object and checks its offsets against its shape and element type.
func parseTensor(dec *json.Decoder, name string) (Tensor, error) {
	t := Tensor{Name: name}
	var shape, offsets []int64
	err := eachMember(dec, func(key string) (err error) {
		switch key {
		case "dtype":
			var s string
			s, err = stringToken(dec)
			t.DType = DType(s)
		case "shape":
			shape, err = integers(dec)
		case "data_offsets":
			offsets, err = integers(dec)
		default:
			err = fmt.Errorf("%w: member %q", ErrFormat, key)
		}
		return err
	})
	if err != nil {
		return t, err
	}
	if t.DType.Size() == 0 {
		return t, fmt.Errorf("%w: %q", ErrDType, string(t.DType))
	}
	if len(offsets) != 2 || shape == nil {
		return t, fmt.Errorf("%w: shape and two data_offsets are needed", ErrFormat)
	}
	t.Begin, t.End = offsets[0], offsets[1]
	n, err := byteCount(shape, t.DType)
	if err != nil {
		return t, err
	}
	if t.End-t.Begin != n {
		return t, fmt.Errorf("%w: shape %v of %s is %d bytes, data_offsets %v", ErrFormat, shape, t.DType, n, offsets)
	}
	t.Shape = make([]int, len(shape))
	for i, d := range shape {
		t.Shape[i] = int(d)
	}
	return t, nil
}

// byteCount is the product of shape times the size of an element, or an error where it overflows.
func byteCount(shape []int64, d DType) (int64, error) {
	n := int64(d.Size())
	empty := slices.Contains(shape, 0)
	for _, s := range shape {
		if s > math.MaxInt || !empty && n > math.MaxInt/s {
			return 0, fmt.Errorf("%w: shape %v overflows", ErrFormat, shape)
		}
		n *= s
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// checkTiling returns an error unless the tensors cover dataBytes bytes without gap or overlap.
func (h *header) checkTiling(dataBytes int64) error {
	order := h.byOffset()
	var at int64
	for _, t := range order {
		switch {
		case t.End > dataBytes:
			return fmt.Errorf("%w: tensor %q ends at byte %d of %d", ErrTruncated, t.Name, t.End, dataBytes)
		case t.Begin < at:
			return fmt.Errorf("%w: tensor %q overlaps another", ErrFormat, t.Name)
		case t.Begin > at:
			return fmt.Errorf("%w: %d bytes before tensor %q belong to none", ErrFormat, t.Begin-at, t.Name)
		}
		at = t.End
	}
	if at != dataBytes {
		return fmt.Errorf("%w: %d bytes after the last tensor", ErrFormat, dataBytes-at)
	}
	return nil
}

// byOffset lists the tensors as they lie in the file; empty ones before those that begin at the same byte.
func (h *header) byOffset() []Tensor {
	order := make([]Tensor, 0, len(h.tensors))
	for _, t := range h.tensors {
		order = append(order, t)
	}
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name))
	})
	return order
}

// eachMember reads a JSON object and calls value, which reads the member's value, for each key. A key given twice is an error.
func eachMember(dec *json.Decoder, value func(key string) error) error {
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := stringToken(dec)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("%w: duplicate key %q", ErrFormat, key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	return delimiter(dec, '}')
}

// integers reads a JSON array of at most maxDims integers that are not negative; the result is never nil without an error.
func integers(dec *json.Decoder) ([]int64, error) {
	if err := delimiter(dec, '['); err != nil {
		return nil, err
	}
	list := []int64{}
	for dec.More() {
		if len(list) == maxDims {
			return nil, fmt.Errorf("%w: more than %d dimensions", ErrFormat, maxDims)
		}
		token, err := nextToken(dec)
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%w: %v where an integer belongs", ErrFormat, token)
		}
		n, err := strconv.ParseUint(number.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%w: number %s", ErrFormat, number)
		}
		list = append(list, int64(n))
	}
	return list, delimiter(dec, ']')
}

// stringToken reads one JSON string.
func stringToken(dec *json.Decoder) (string, error) {
	token, err := nextToken(dec)
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%w: %v where a string belongs", ErrFormat, token)
	}
	return s, nil
}

// delimiter reads one JSON delimiter.
func delimiter(dec *json.Decoder, want json.Delim) error {
	token, err := nextToken(dec)
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%w: %v where %v belongs", ErrFormat, token, want)
	}
	return nil
}

// nextToken is dec.Token with its error wrapped.
func nextToken(dec *json.Decoder) (json.Token, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: header: %v", ErrFormat, err)
	}
	return token, nil
}
