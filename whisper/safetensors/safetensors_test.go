package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fileOf is the bytes of a file with the given header text and data.
func fileOf(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// openBytes is New on bytes.
func openBytes(b []byte) (*File, error) { return New(bytes.NewReader(b), int64(len(b))) }

func TestWriteThenReadGivesTheSameTensors(t *testing.T) {
	tensors := []Values{
		{Name: "b.weight", Shape: []int{2, 3}, Data: []float32{0, 1, -1.5, 65504, 0.5, -0.25}},
		{Name: "a \"quoted\" <name>", Shape: []int{1}, Data: []float32{3}, DType: F32},
		{Name: "empty", Shape: []int{0, 7}},
		{Name: "scalar", Shape: nil, Data: []float32{-2}},
	}
	metadata := map[string]string{"format": "pt", "a": "b"}
	for _, d := range []DType{F32, F16} {
		var first bytes.Buffer
		if err := Write(&first, tensors, metadata, d); err != nil {
			t.Fatal(err)
		}
		shuffled := slices.Clone(tensors)
		slices.Reverse(shuffled)
		var second bytes.Buffer
		if err := Write(&second, shuffled, metadata, d); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: the order of the arguments changes the file", d)
		}
		f, err := openBytes(first.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Metadata(); len(got) != 2 || got["format"] != "pt" || got["a"] != "b" {
			t.Errorf("%s: metadata %v", d, got)
		}
		if len(f.Names()) != len(tensors) {
			t.Errorf("%s: names %q", d, f.Names())
		}
		for _, want := range tensors {
			data, shape, err := f.Float32(want.Name)
			if err != nil || !slices.Equal(data, want.Data) || !slices.Equal(shape, want.Shape) {
				t.Errorf("%s: %s: %v %v %v, want %v %v", d, want.Name, data, shape, err, want.Data, want.Shape)
			}
		}
	}
}

func TestEveryHalfAndBrainNumberRoundTrips(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		v := HalfToFloat32(h)
		if v != v {
			if h&0x7c00 != 0x7c00 || h&0x3ff == 0 {
				t.Fatalf("half %#x is NaN", h)
			}
		} else if got := float32ToHalf(v); got != h {
			t.Fatalf("half %#x is %v, back %#x", h, v, got)
		}
		b := math.Float32frombits(uint32(i) << 16)
		if b == b {
			if got := float32ToBrain(b); got != h {
				t.Fatalf("bfloat16 %#x is %v, back %#x", h, b, got)
			}
		}
	}
}

func TestHalfRoundsToNearestEven(t *testing.T) {
	for lower := uint16(0); lower < 0x7bff; lower++ {
		a, b := float64(HalfToFloat32(lower)), float64(HalfToFloat32(lower+1))
		middle := float32((a + b) / 2)
		even := lower + lower&1
		for _, c := range []struct {
			v    float32
			want uint16
		}{{middle, even}, {math.Nextafter32(middle, 0), lower}, {math.Nextafter32(middle, 1e9), lower + 1}} {
			if got := float32ToHalf(c.v); got != c.want {
				t.Fatalf("%v is %#x, want %#x", c.v, got, c.want)
			}
			if got := float32ToHalf(-c.v); got != c.want|0x8000 {
				t.Fatalf("%v is %#x, want %#x", -c.v, got, c.want|0x8000)
			}
		}
	}
	for v, want := range map[float32]uint16{65519.996: 0x7bff, 65520: 0x7c00, float32(math.Inf(-1)): 0xfc00, 1e-10: 0} {
		if got := float32ToHalf(v); got != want {
			t.Errorf("%v is %#x, want %#x", v, got, want)
		}
	}
	if got := float32ToHalf(float32(math.NaN())); HalfToFloat32(got) == HalfToFloat32(got) {
		t.Errorf("NaN is %#x", got)
	}
	if got := float32ToBrain(float32(math.NaN())); got&0x7f == 0 {
		t.Errorf("NaN is %#x", got)
	}
}

// malformed are headers that must be refused, each with the data that follows and the error.
var malformed = []struct {
	name, header, data string
	want               error
}{
	{"no object", `[]`, "", ErrFormat},
	{"no JSON", `{"a"`, "", ErrFormat},
	{"bytes after the object", `{} {}`, "", ErrFormat},
	{"entry is no object", `{"a":1}`, "", ErrFormat},
	{"unknown type", `{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, "abcd", ErrDType},
	{"type is no string", `{"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"no type", `{"a":{"shape":[1],"data_offsets":[0,4]}}`, "abcd", ErrDType},
	{"no shape", `{"a":{"dtype":"F32","data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"no offsets", `{"a":{"dtype":"F32","shape":[1]}}`, "abcd", ErrFormat},
	{"three offsets", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`, "abcd", ErrFormat},
	{"unknown member", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}}`, "abcd", ErrFormat},
	{"negative shape", `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"fraction", `{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"nested shape", `{"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"shape and offsets differ", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"reversed offsets", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "abcd", ErrFormat},
	{"shape overflows", `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"size overflows", `{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, "", ErrFormat},
	{"number overflows", `{"a":{"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,4]}}`, "abcd", ErrFormat},
	{"17 dimensions", `{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, "a", ErrFormat},
	{"data too short", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, "abcd", ErrTruncated},
	{"bytes after the data", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "abcde", ErrFormat},
	{"gap", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "ab", ErrFormat},
	{"overlap", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, "abc", ErrFormat},
	{"twice the same bytes", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, "a", ErrFormat},
	{"duplicate tensor", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "ab", ErrFormat},
	{"duplicate member", `{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, "a", ErrFormat},
	{"metadata is no string", `{"__metadata__":{"a":1}}`, "", ErrFormat},
}

func TestMalformedFilesAreRefused(t *testing.T) {
	for _, c := range malformed {
		if _, err := openBytes(fileOf(c.header, c.data)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	good := fileOf(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "abcd")
	for n := range good {
		if _, err := openBytes(good[:n]); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	huge := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	if _, err := openBytes(append(huge, "{}"...)); !errors.Is(err, ErrFormat) {
		t.Errorf("huge header: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrFormat) {
		t.Errorf("directory: %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestErrorsNameTheTensor(t *testing.T) {
	data := string(binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.Inf(1))))) + "\x01\x02"
	f, err := openBytes(fileOf(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"I16","shape":[],"data_offsets":[4,6]}}   `, data))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Float32("x"); !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("infinity: %v", err)
	}
	f.AllowNotFinite = true
	if v, _, err := f.Float32("x"); err != nil || !math.IsInf(float64(v[0]), 1) {
		t.Errorf("infinity allowed: %v %v", v, err)
	}
	if _, _, err := f.Float32("y"); !errors.Is(err, ErrDType) || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("integer: %v", err)
	}
	if raw, err := f.Raw("y"); err != nil || string(raw) != "\x01\x02" {
		t.Errorf("raw: %q %v", raw, err)
	}
	if _, err := f.Raw("z"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), `"z"`) {
		t.Errorf("absent: %v", err)
	}
	for _, d := range []DType{F16, F32, BF16} {
		err := Write(io.Discard, []Values{{Name: "n", Shape: []int{2}, Data: []float32{1, float32(math.NaN())}}}, nil, d)
		if !errors.Is(err, ErrNotFinite) {
			t.Errorf("writing NaN as %s: %v", d, err)
		}
	}
	if err := Write(io.Discard, []Values{{Name: "n", Shape: []int{1}, Data: []float32{70000}}}, nil, F16); !errors.Is(err, ErrNotFinite) {
		t.Errorf("writing 70000 as F16: %v", err)
	}
	if err := Write(io.Discard, []Values{{Name: "n"}}, nil, F64); !errors.Is(err, ErrDType) {
		t.Errorf("writing F64: %v", err)
	}
}

func TestWideElementTypes(t *testing.T) {
	data := binary.LittleEndian.AppendUint64(nil, math.Float64bits(-1.25))
	data = binary.LittleEndian.AppendUint16(data, 0xc000)
	f, err := openBytes(fileOf(`{"d":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}`, string(data)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float32{"d": -1.25, "b": -2} {
		if v, _, err := f.Float32(name); err != nil || v[0] != want {
			t.Errorf("%s: %v %v, want %v", name, v, err, want)
		}
	}
}

// countingReaderAt counts the bytes that are read through it.
type countingReaderAt struct {
	io.ReaderAt
	n int64
}

func (c *countingReaderAt) ReadAt(p []byte, at int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, at)
}

// TestOneTensorOfALargeFileReadsOnlyItsBytes has the matrices of a state of 1280, enough of them to pass 2^31 bytes.
func TestOneTensorOfALargeFileReadsOnlyItsBytes(t *testing.T) {
	const nState, nLayer = 1280, 96
	var h strings.Builder
	var at int64
	entry := func(name string, shape []int, bytes int64) {
		fmt.Fprintf(&h, `%q:{"dtype":"F16","shape":%s,"data_offsets":[%d,%d]},`, name, strings.ReplaceAll(fmt.Sprint(shape), " ", ","), at, at+bytes)
		at += bytes
	}
	for l := range nLayer {
		entry(fmt.Sprintf("layers.%d.fc1.weight", l), []int{4 * nState, nState}, 2*4*nState*nState)
		entry(fmt.Sprintf("layers.%d.fc2.weight", l), []int{nState, 4 * nState}, 2*4*nState*nState)
	}
	last := []float32{1, 2, 3, 4}
	entry("last", []int{4}, 8)
	head := fileOf("{"+strings.TrimSuffix(h.String(), ",")+"}", "")

	path := filepath.Join(t.TempDir(), "large.safetensors")
	osFile, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer osFile.Close()
	size := int64(len(head)) + at
	if err := osFile.Truncate(size); err != nil {
		t.Skipf("SKIP: a file system with sparse files of %d bytes is absent: %v", size, err)
	}
	tail := make([]byte, 8)
	F16.encode(tail, last)
	for offset, b := range map[int64][]byte{0: head, size - 8: tail} {
		if _, err := osFile.WriteAt(b, offset); err != nil {
			t.Fatal(err)
		}
	}
	r := &countingReaderAt{ReaderAt: osFile}
	f, err := New(r, size)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := f.Float32("last")
	if err != nil || !slices.Equal(got, last) {
		t.Fatalf("%v %v", got, err)
	}
	if want := int64(len(head)) + 8; r.n != want {
		t.Errorf("%d bytes of %d were read, want %d", r.n, size, want)
	}
	if size < 1<<31 {
		t.Errorf("the file has %d bytes, too few to pass 31 bits", size)
	}
}

func FuzzNew(f *testing.F) {
	for _, c := range malformed {
		f.Add(fileOf(c.header, c.data))
	}
	var b bytes.Buffer
	Write(&b, []Values{{Name: "a", Shape: []int{2, 2}, Data: []float32{1, 2, 3, 4}}, {Name: "s", Data: []float32{5}}}, map[string]string{"format": "pt"}, F16)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := openBytes(b)
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			raw, err := file.Raw(name)
			if err != nil {
				t.Fatalf("raw %q: %v", name, err)
			}
			total += len(raw)
			if v, shape, err := file.Float32(name); err == nil {
				n := 1
				for _, d := range shape {
					n *= d
				}
				if n != len(v) {
					t.Fatalf("%q: %d values, shape %v", name, len(v), shape)
				}
			}
		}
		if total > len(b) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, len(b))
		}
	})
}

func BenchmarkFloat32(b *testing.B) {
	const n = 4 << 20
	for _, d := range []DType{F32, F16, BF16} {
		b.Run(string(d), func(b *testing.B) {
			var file bytes.Buffer
			if err := Write(&file, []Values{{Name: "w", Shape: []int{n}, Data: make([]float32, n)}}, nil, d); err != nil {
				b.Fatal(err)
			}
			f, err := openBytes(file.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(n * d.Size()))
			for b.Loop() {
				if _, _, err := f.Float32("w"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
