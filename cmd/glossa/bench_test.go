package main

import (
	"errors"
	"math"
	"testing"
	"time"

	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// someKernels is a backend with kernels for some number formats, some of which are native.
type someKernels struct {
	backend
	has, native []tensor.DType
}

func (someKernels) Name() string { return "some" }

func (b someKernels) Native(d tensor.DType) bool {
	for _, n := range b.native {
		if n == d {
			return true
		}
	}
	return false
}

func (b someKernels) Pack(_ tensor.Mat, d tensor.DType) (tensor.Packed, error) {
	for _, h := range b.has {
		if h == d {
			return nil, nil
		}
	}
	return nil, errors.ErrUnsupported
}

func TestChooseDType(t *testing.T) {
	type formats = []tensor.DType
	for _, c := range []struct {
		name        string
		has, native formats
		want        tensor.DType
		err         string
	}{
		{"auto", formats{tensor.F32}, formats{tensor.F32}, tensor.F32, ""},
		{"auto", formats{tensor.F32, tensor.BF16, tensor.I8}, formats{tensor.F32, tensor.BF16, tensor.I8}, tensor.BF16, ""},
		{"auto", formats{tensor.F32, tensor.BF16}, formats{tensor.F32}, tensor.F32, ""},
		{"auto", formats{tensor.F32}, formats{tensor.F32, tensor.BF16}, tensor.F32, ""},
		{"f32", formats{tensor.F32, tensor.BF16}, formats{tensor.F32, tensor.BF16}, tensor.F32, ""},
		{"bf16", formats{tensor.F32, tensor.BF16}, formats{tensor.F32}, tensor.BF16, ""},
		{"int8", formats{tensor.F32, tensor.BF16}, nil, 0, "--dtype int8: no kernel for this number format on some; there is: f32 bf16"},
		{"auto", formats{tensor.F32, tensor.BF16, tensor.F16}, formats{tensor.F32, tensor.BF16, tensor.F16}, tensor.BF16, ""},
		{"auto", formats{tensor.F32, tensor.BF16, tensor.F16}, formats{tensor.F32, tensor.F16}, tensor.F16, ""},
		{"f16", formats{tensor.F32, tensor.BF16, tensor.F16}, nil, tensor.F16, ""},
		{"f16", formats{tensor.F32, tensor.BF16, tensor.I8}, nil, 0, "--dtype f16: no kernel for this number format on some; there is: f32 bf16 int8"},
	} {
		got, err := chooseDType(someKernels{has: c.has, native: c.native}, c.name)
		switch {
		case c.err != "" && (err == nil || err.Error() != c.err || !errors.Is(err, errDType)):
			t.Errorf("%s of %v: %v, want %s", c.name, c.has, err, c.err)
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%s of %v: %s %v, want %s", c.name, c.has, got, err, c.want)
		}
	}
}

func TestStepBytes(t *testing.T) {
	tiny, _ := whisper.Geometry("tiny")
	const (
		weights  = 4*14*384*384 + 51865*384
		channels = 4*(4*384+2*384+4*384+384) + 51865
		keys     = 4 * 2 * 384 // and values, of a row
	)
	for dtype, want := range map[tensor.DType]float64{
		tensor.F32:  4*weights + 8*(4*1500+4*50)*keys,
		tensor.BF16: 2*weights + 8*(2*1500+4*50)*keys,
		tensor.F16:  2*weights + 8*(2*1500+4*50)*keys,
		tensor.I8:   weights + 8*channels + 8*(1500+4*50)*keys,
	} {
		if got := stepBytes(tiny, dtype, 8, 50); got != want {
			t.Errorf("%s: %v bytes, want %v", dtype, got, want)
		}
	}
}

func TestBenchResult(t *testing.T) {
	tiny, _ := whisper.Geometry("tiny")
	times := benchTimes{
		encodeTimes{encode: 100 * time.Millisecond, cross: 20 * time.Millisecond},
		decodeTimes{first: 70 * time.Millisecond, step: 10 * time.Millisecond, prompt: 4, tokens: 100},
	}
	peaks := benchPeaks{ops: map[tensor.DType]float64{tensor.F32: 1e12}, read: 50e9}
	r := newBenchResult(tiny, benchCase{"tiny", tensor.F32, 8}, times, peaks)
	want := map[string][2]float64{
		"RTFx":         {r.RTFx, 8 * 30 / (8*0.12 + 0.07 + 99*0.01)},
		"tokens/s":     {r.TokensPerS, 800},
		"GFLOP/s":      {r.EncodeGFLOPS, 369.4},
		"peak GFLOP/s": {r.PeakGFLOPS, 1000},
		"GB/s":         {r.DecodeGBPS, stepBytes(tiny, tensor.F32, 8, 54) / 0.01 / 1e9},
		"peak GB/s":    {r.PeakGBPS, 50},
	}
	for name, v := range want {
		if math.Abs(v[0]-v[1]) > 0.001*v[1] {
			t.Errorf("%s: %v, want %v", name, v[0], v[1])
		}
	}
}

// TestFillRandomIsTheSameWhateverItsLength checks that numbers depend on the seed and their place
// alone, and that they fill their range.
func TestFillRandomIsTheSameWhateverItsLength(t *testing.T) {
	long, short := make([]float32, 3*fillChunk+7), make([]float32, fillChunk+5)
	fillRandom(long, 1, 0.5)
	fillRandom(short, 1, 0.5)
	var sum, squares float64
	for i, v := range long {
		if i < len(short) && short[i] != v || v < -0.5 || v > 0.5 {
			t.Fatalf("number %d: %v", i, v)
		}
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := float64(len(long))
	if mean, variance := sum/n, squares/n; math.Abs(mean) > 0.01 || math.Abs(variance-1.0/12) > 0.001 {
		t.Errorf("mean %v, variance %v", mean, variance)
	}
}

// TestCrossBytesAreThoseOfTheBackend checks that the bytes that a step is said to read of keys and
// values are those that they are packed in, but for scales and what fills their panels up.
func TestCrossBytesAreThoseOfTheBackend(t *testing.T) {
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, name := range []string{"tiny", "large-v3"} {
		d, _ := whisper.Geometry(name)
		for _, dtype := range dtypes {
			if !hasKernel(b, dtype) {
				continue
			}
			packed := 4 * d.NTextLayer * b.PackedKVSize(d.NAudioCtx, d.NTextState, d.NTextHead, dtype)
			if got := crossBytes(d, dtype); math.Abs(float64(got)/float64(packed)-1) > 0.02 {
				t.Errorf("%s %s: %d bytes, packed %d", name, dtype, got, packed)
			}
		}
	}
}
