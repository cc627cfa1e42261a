package ggml_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/formattest"
	"glossa/whisper/ggml"
	"glossa/whisper/safetensors"
)

var header = ggml.Header{NVocab: 300, NAudioCtx: 10, NAudioState: 64, NMels: 8, FType: 2008}

// write is a file with these tensors and three tokens.
func write(t testing.TB, h ggml.Header, tensors ...formattest.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := formattest.GGML(&b, h, [][]byte{[]byte("a"), {}, {0xff, 0}}, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte) (*ggml.File, error) {
	return ggml.New(bytes.NewReader(data), int64(len(data)))
}

// scale is a number that binary16 holds, and its bits.
type scale struct {
	value float32
	bits  uint16
}

var scales = []scale{{1, 0x3c00}, {-0.5, 0xb800}, {0.125, 0x3000}, {65504, 0x7bff}, {0x1p-24, 0x0001}, {0, 0}}

// block is a quantised block: element j is d*(q[j]-zero) + m.
type block struct {
	d, m scale
	q    [32]int
}

// pack lays a block out as ggml-common.h describes its type, one bit at a time.
func (b block) pack(dtype safetensors.DType) (data []byte, zero float32) {
	data = binary.LittleEndian.AppendUint16(nil, b.d.bits)
	if strings.HasSuffix(string(dtype), "_1") {
		data = binary.LittleEndian.AppendUint16(data, b.m.bits)
	}
	if dtype == "Q8_0" {
		for _, q := range b.q {
			data = append(data, byte(int8(q-128)))
		}
		return data, 128
	}
	if strings.HasPrefix(string(dtype), "Q5") {
		var fifth [4]byte
		for j, q := range b.q {
			fifth[j/8] |= byte(q>>4&1) << (j % 8)
		}
		data = append(data, fifth[:]...)
		zero = 16
	} else {
		zero = 8
	}
	for j := range 16 {
		data = append(data, byte(b.q[j]&15|b.q[j+16]&15<<4))
	}
	if strings.HasSuffix(string(dtype), "_1") {
		zero = 0
	}
	return data, zero
}

func TestQuantisedBlocksAreReadAsTheirDefinitionSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for dtype, values := range map[safetensors.DType]int{"Q4_0": 16, "Q4_1": 16, "Q5_0": 32, "Q5_1": 32, "Q8_0": 256} {
		const rows, cols = 40, 96
		var data []byte
		var want []float32
		for range rows * cols / 32 {
			b := block{d: scales[rng.IntN(len(scales))], m: scales[rng.IntN(len(scales))]}
			for j := range b.q {
				b.q[j] = rng.IntN(values)
			}
			packed, zero := b.pack(dtype)
			data = append(data, packed...)
			for _, q := range b.q {
				v := b.d.value * (float32(q) - zero)
				if strings.HasSuffix(string(dtype), "_1") {
					v += b.m.value
				}
				want = append(want, v)
			}
		}
		f, err := open(write(t, header, formattest.Tensor{Name: "x", DType: dtype, Shape: []int{rows, cols}, Data: data}))
		if err != nil {
			t.Fatal(err)
		}
		x := f.Tensors()[0]
		got, err := x.Float32()
		if err != nil || !slices.Equal(x.Shape, []int{rows, cols}) || x.DType != dtype {
			t.Fatalf("%s: %v of shape %v, %v", dtype, x.DType, x.Shape, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", dtype, got, want)
		}
	}
}

func TestHeaderTokensAndPlainTensors(t *testing.T) {
	half := []byte{0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x80, 0x00, 0x38}
	var single []byte
	for _, v := range []float32{1, -2, math.MaxFloat32} {
		single = binary.LittleEndian.AppendUint32(single, math.Float32bits(v))
	}
	big := make([]byte, 4*70000) // more than a chunk
	binary.LittleEndian.PutUint32(big[len(big)-4:], math.Float32bits(7))
	f, err := open(write(t, header,
		formattest.Tensor{Name: "half", DType: "F16", Shape: []int{3, 2}, Data: half},
		formattest.Tensor{Name: "single", DType: "F32", Shape: []int{3, 1}, Data: single},
		formattest.Tensor{Name: "big", DType: "F32", Shape: []int{7, 100, 100}, Data: big}))
	if err != nil {
		t.Fatal(err)
	}
	if f.Header != header || f.NMel != 8 || f.NFFT != 201 {
		t.Errorf("header %+v, filters (%d, %d)", f.Header, f.NMel, f.NFFT)
	}
	if !slices.EqualFunc(f.Tokens, [][]byte{[]byte("a"), {}, {0xff, 0}}, bytes.Equal) {
		t.Errorf("tokens %q", f.Tokens)
	}
	want := map[string][]float32{"half": {1, -2, 65504, 0x1p-24, 0, 0.5}, "single": {1, -2, math.MaxFloat32}}
	for _, x := range f.Tensors() {
		got, err := x.Float32()
		if err != nil {
			t.Error(err)
		}
		if x.Name == "big" {
			if len(got) != 70000 || got[69999] != 7 || got[69998] != 0 || !slices.Equal(x.Shape, []int{7, 100, 100}) {
				t.Errorf("big: %d elements, shape %v", len(got), x.Shape)
			}
		} else if !slices.Equal(got, want[x.Name]) {
			t.Errorf("%s: %v, want %v", x.Name, got, want[x.Name])
		}
	}
}

// patch is data with the little-endian number at byte at replaced.
func patch(data []byte, at int, v int32) []byte {
	data = slices.Clone(data)
	binary.LittleEndian.PutUint32(data[at:], uint32(v))
	return data
}

// offsets of the counts in what write returns.
const (
	atFType   = 44
	atMel     = 48
	atTokens  = 56 + 8*201*4
	atToken   = atTokens + 4
	atTensors = atToken + 3*4 + 1 + 2
)

func TestHostileFilesAreRefused(t *testing.T) {
	good := write(t, header, formattest.Tensor{Name: "x", DType: "Q5_1", Shape: []int{2, 32}})
	if _, err := open(good); err != nil {
		t.Fatal(err)
	}
	const huge = math.MaxInt32
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty":               {nil, ggml.ErrTruncated},
		"other magic":         {patch(good, 0, 0x46554747), ggml.ErrFormat},
		"old blocks":          {patch(good, atFType, 1008), ggml.ErrType},
		"filters huge":        {patch(good, atMel, huge), ggml.ErrFormat},
		"filters negative":    {patch(good, atMel, -1), ggml.ErrFormat},
		"filters beyond":      {patch(patch(good, atMel, 1000), atMel+4, 60000), ggml.ErrTruncated},
		"tokens huge":         {patch(good, atTokens, huge), ggml.ErrFormat},
		"tokens beyond":       {patch(good, atTokens, 1<<18), ggml.ErrFormat},
		"tokens negative":     {patch(good, atTokens, -1), ggml.ErrFormat},
		"token huge":          {patch(good, atToken, huge), ggml.ErrFormat},
		"token negative":      {patch(good, atToken, -5), ggml.ErrFormat},
		"axes":                {patch(good, atTensors, 5), ggml.ErrFormat},
		"name huge":           {patch(good, atTensors+4, huge), ggml.ErrFormat},
		"name empty":          {patch(good, atTensors+4, 0), ggml.ErrFormat},
		"k-quants":            {patch(good, atTensors+8, 12), ggml.ErrType},
		"axis zero":           {patch(good, atTensors+16, 0), ggml.ErrFormat},
		"axis huge":           {patch(good, atTensors+16, huge), ggml.ErrTruncated},
		"both axes huge":      {patch(patch(good, atTensors+16, huge), atTensors+12, huge-31), ggml.ErrTruncated},
		"axis one too many":   {patch(good, atTensors+16, 3), ggml.ErrTruncated},
		"row not of blocks":   {patch(good, atTensors+12, 31), ggml.ErrFormat},
		"bytes after the end": {append(slices.Clone(good), 1, 2), ggml.ErrTruncated},
		"tensor twice":        {append(slices.Clone(good), good[atTensors:]...), ggml.ErrFormat},
	} {
		if _, err := open(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for n := range good {
		if _, err := open(good[:n]); err == nil && n != atTensors {
			t.Fatalf("the first %d bytes of %d open", n, len(good))
		}
	}
}

// FuzzNew checks that no file makes the reader panic or allocate more than a few times its own size, and that what opens can be
// read.
func FuzzNew(f *testing.F) {
	small := header
	small.NMels = 0
	for _, dtype := range []safetensors.DType{"F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"} {
		f.Add(write(f, small, formattest.Tensor{Name: "encoder.conv1.bias", DType: dtype, Shape: []int{2, 32}}, formattest.Tensor{Name: "x", DType: "F32", Shape: []int{1}}))
	}
	f.Add([]byte(ggml.Magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := open(data)
		if err != nil {
			if !errors.Is(err, ggml.ErrFormat) && !errors.Is(err, ggml.ErrTruncated) && !errors.Is(err, ggml.ErrType) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		for _, x := range file.Tensors() {
			values, err := x.Float32()
			if err != nil || len(values) > 2*len(data) || len(values) != x.Len() {
				t.Fatalf("%s of shape %v: %d elements of %d bytes, %v", x.Name, x.Shape, len(values), len(data), err)
			}
		}
	})
}
