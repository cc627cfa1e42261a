package torch_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/formattest"
	"glossa/whisper/pickle"
	"glossa/whisper/safetensors"
	"glossa/whisper/torch"
)

func open(data []byte) (any, error) { return torch.New(bytes.NewReader(data), int64(len(data))) }

// archive is a file with this pickle and the storages of these tensors.
func archive(t testing.TB, pickle []byte, tensors ...formattest.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := formattest.Archive(&b, pickle, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// one is a file whose root is a tensor.
func one(t testing.TB, x formattest.Tensor) []byte {
	var p formattest.Pickle
	return archive(t, p.Op("\x80\x02").Tensor("0", x).Op(".").Bytes(), x)
}

// count are the numbers 0, 1, … n-1 as F32.
func count(n int) (data []byte) {
	for i := range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
	}
	return data
}

func TestTensorsOfEveryTypeAndStride(t *testing.T) {
	transposed := []float32{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11}
	for name, c := range map[string]struct {
		x    formattest.Tensor
		want []float32
	}{
		"float":         {formattest.Tensor{DType: "F32", Shape: []int{2, 2}, Data: count(4)}, []float32{0, 1, 2, 3}},
		"half":          {formattest.Tensor{DType: "F16", Shape: []int{2}, Data: []byte{0, 0x3c, 0, 0xc0}}, []float32{1, -2}},
		"bfloat16":      {formattest.Tensor{DType: "BF16", Shape: []int{2}, Data: []byte{0x80, 0x3f, 0, 0xc0}}, []float32{1, -2}},
		"double":        {formattest.Tensor{DType: "F64", Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.5))}, []float32{0.5}},
		"scalar":        {formattest.Tensor{DType: "F32", Shape: nil, Data: count(1)}, []float32{0}},
		"nothing":       {formattest.Tensor{DType: "F32", Shape: []int{0, 3}, Data: []byte{}}, []float32{}},
		"transposed":    {formattest.Tensor{DType: "F32", Shape: []int{3, 4}, Stride: []int{1, 3}, Data: count(12)}, transposed},
		"spread":        {formattest.Tensor{DType: "F32", Shape: []int{2, 2}, Stride: []int{6, 2}, Elements: 12, Data: count(12)}, []float32{0, 2, 6, 8}},
		"part":          {formattest.Tensor{DType: "F32", Shape: []int{1, 2}, Stride: []int{99, 1}, Elements: 3, Data: count(3)}, []float32{0, 1}},
		"permuted cube": {formattest.Tensor{DType: "F32", Shape: []int{2, 1, 3}, Stride: []int{1, 6, 2}, Data: count(6)}, []float32{0, 2, 4, 1, 3, 5}},
	} {
		root, err := open(one(t, c.x))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x := root.(*torch.Tensor)
		got, err := x.Float32()
		if err != nil || !slices.Equal(got, c.want) || !slices.Equal(x.Shape, c.x.Shape) || x.DType != c.x.DType {
			t.Errorf("%s: %v of shape %v and type %s, %v", name, got, x.Shape, x.DType, err)
		}
	}
}

// allocated is how many bytes f allocates, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileFilesAreRefusedInBoundedMemory(t *testing.T) {
	const limit = 200 << 20
	x := formattest.Tensor{DType: safetensors.F32, Shape: []int{4}, Data: count(4)}
	good := one(t, x)
	pickled := func(p *formattest.Pickle) []byte { return archive(t, p.Bytes(), x) }
	start := func() *formattest.Pickle { return new(formattest.Pickle).Op("\x80\x02") }
	view := func(change func(*formattest.Tensor)) []byte {
		v := x
		change(&v)
		return archive(t, start().Tensor("0", v).Op(".").Bytes(), x)
	}
	system := start().Global("os", "system").Op("(").Text("touch pwned").Op("tR.")
	many := start().Op("](")
	large := formattest.Tensor{DType: safetensors.F32, Shape: []int{1 << 10}}
	for range 1000 {
		many.Tensor("0", large)
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty":                     {nil, torch.ErrTruncated},
		"cut":                       {good[:len(good)/2], torch.ErrTruncated},
		"the old form":              {[]byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."), torch.ErrLegacy},
		"no pickle":                 {zipOf(t, zip.Store, "x/data/0", "abc"), torch.ErrFormat},
		"a zip bomb":                {zipOf(t, zip.Deflate, "x/data.pkl", strings.Repeat("N", 16<<20)), torch.ErrFormat},
		"a compressed pickle":       {zipOf(t, zip.Deflate, "x/data.pkl", "\x80\x02N."), torch.ErrFormat},
		"big-endian":                {zipOf(t, zip.Store, "x/data.pkl", "\x80\x02N.", "x/byteorder", "big"), torch.ErrFormat},
		"a member twice":            {zipOf(t, zip.Store, "x/data.pkl", "N.", "x/data.pkl", "N."), torch.ErrFormat},
		"a pickle too large":        {zipOf(t, zip.Store, "x/data.pkl", strings.Repeat("N", pickle.MaxBytes+1)), torch.ErrFormat},
		"a pickle bomb":             {pickled(start().Op(strings.Repeat("}", pickle.MaxBytes-10))), pickle.ErrLimit},
		"a call":                    {pickled(system), torch.ErrGlobal},
		"another global":            {pickled(start().Global("torch", "LongStorage").Op(".")), torch.ErrGlobal},
		"an object of a class":      {pickled(start().Global("collections", "OrderedDict").Op(")\x81.")), pickle.ErrInstruction},
		"a storage called":          {pickled(start().Global("torch", "FloatStorage").Op(")R.")), pickle.ErrFormat},
		"a storage that is absent":  {archive(t, start().Tensor("7", x).Op(".").Bytes(), x), torch.ErrTruncated},
		"a storage larger than it":  {view(func(v *formattest.Tensor) { v.Elements = 1 << 60 }), torch.ErrTruncated},
		"a view beyond its storage": {view(func(v *formattest.Tensor) { v.Stride = []int{2} }), torch.ErrFormat},
		"a view that repeats":       {view(func(v *formattest.Tensor) { v.Shape, v.Stride, v.Elements = []int{1 << 30, 1 << 30}, []int{0, 0}, 4 }), torch.ErrFormat},
		"strides that overflow":     {view(func(v *formattest.Tensor) { v.Shape, v.Stride = []int{2, 2}, []int{math.MaxInt64, 2} }), torch.ErrFormat},
		"strides backwards":         {view(func(v *formattest.Tensor) { v.Stride = []int{-1} }), torch.ErrFormat},
		"a thousand views":          {archive(t, many.Op("e.").Bytes(), large), torch.ErrLimit},
	} {
		var err error
		if n := allocated(func() { _, err = open(c.data) }); n > limit {
			t.Errorf("%s: %d MB were allocated", name, n>>20)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// zipOf is an archive of named members.
func zipOf(t testing.TB, method uint16, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: members[i], Method: method})
		if err == nil {
			_, err = w.Write([]byte(members[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestADirectoryOfManyMembersIsRefused(t *testing.T) {
	var members []string
	for i := range 10_000 {
		members = append(members, fmt.Sprintf("x/data/%01000d", i), "")
	}
	data := zipOf(t, zip.Store, members...)
	var err error
	n := allocated(func() { _, err = open(data) })
	if !errors.Is(err, torch.ErrFormat) || n > 100<<20 {
		t.Errorf("%v after %d MB", err, n>>20)
	}
}

// FuzzNew checks that no archive makes the reader panic.
func FuzzNew(f *testing.F) {
	f.Add(one(f, formattest.Tensor{DType: "F16", Shape: []int{2, 3}, Stride: []int{1, 2}}))
	f.Add(zipOf(f, zip.Store, "x/data.pkl", "\x80\x02N.", "x/byteorder", "little"))
	f.Fuzz(func(t *testing.T, data []byte) { checkRoot(t, data) })
}

// FuzzPickle checks that no pickle in a sound archive makes the reader panic or read more than the file has.
func FuzzPickle(f *testing.F) {
	x := formattest.Tensor{DType: "F16", Shape: []int{2, 3}, Stride: []int{1, 2}}
	f.Add(new(formattest.Pickle).Op("\x80\x02").Tensor("0", x).Op(".").Bytes())
	f.Add(new(formattest.Pickle).Global("torch._utils", "_rebuild_parameter").Op("(").Tensor("0", x).Op("tR.").Bytes())
	f.Add(new(formattest.Pickle).Global("collections", "OrderedDict").Op(")R(").Text("x").Tensor("0", x).Op("u.").Bytes())
	f.Fuzz(func(t *testing.T, pickled []byte) { checkRoot(t, archive(t, pickled, x)) })
}

// checkRoot opens a file and reads its root if that is a tensor.
func checkRoot(t *testing.T, data []byte) {
	root, err := open(data)
	if err != nil {
		return
	}
	if x, ok := root.(*torch.Tensor); ok {
		if values, err := x.Float32(); err != nil || len(values) > len(data) {
			t.Fatalf("%d elements of %d bytes, %v", len(values), len(data), err)
		}
	}
}
