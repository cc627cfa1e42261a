package main

import (
	"path/filepath"
	"reflect"
	"testing"

	"glossa/flora"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// roomyGPU stands for a GPU.
type roomyGPU struct{ *tensortest.Fused }

func (roomyGPU) Device() string { return "A100" }

// TestMergedMemory checks what merged weights have by default on a processor and a GPU, and that a flag overrides it.
func TestMergedMemory(t *testing.T) {
	const memory = 1 << 30
	d := tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{Memory: memory})
	m := goldentest.Tiny(t, d, 1)
	gpu := computer{"cuda:0", roomyGPU{d}}
	host, err := computeFlags{}.openCPU()
	if err != nil {
		t.Fatal(err)
	}
	free, _ := d.MemoryInfo()
	usual := (free - batchMemory(m.Dims, tensor.F32, 4, gpuEncodes)) / 4
	for _, c := range []struct {
		text      string
		on        computer
		batch     int
		want      int64
		formatted string
	}{
		{"", gpu, 4, usual, ""},
		{"", gpu, 1 << 20, 0, ""},
		{"", host, 4, 0, ""},
		{"none", gpu, 4, 0, "none"},
		{"3GB", gpu, 4, 3e9, "3GB"},
		{"500MB", host, 4, 5e8, "500MB"},
	} {
		var f mergedMemory
		if c.text != "" {
			if err := f.UnmarshalText([]byte(c.text)); err != nil {
				t.Fatal(err)
			}
		}
		if got := f.on(m, c.on, c.batch); got != c.want || got < 0 || f.String() != c.formatted {
			t.Errorf("%q on %s with batches of %d: %d bytes as %q, want %d as %q", c.text, c.on.name, c.batch, got, f, c.want, c.formatted)
		}
	}
	if usual <= memory/8 || usual >= memory/4 {
		t.Errorf("%d bytes of %d", usual, memory)
	}
	if err := new(mergedMemory).UnmarshalText([]byte("some")); err == nil {
		t.Error("some is a size")
	}
}

// TestEncodeLoad checks what costs of encoding are measured and chosen for: a window on a processor, several of different adapters on a GPU, by
// costs that were measured for as many.
func TestEncodeLoad(t *testing.T) {
	d := tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{})
	m := goldentest.Tiny(t, d, 1)
	host, err := computeFlags{}.openCPU()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encodeLoad(m, host), flora.DefaultPolicy(m).Encode; got != want {
		t.Errorf("on a processor %v, want %v", got, want)
	}
	gpu := computer{"cuda:0", roomyGPU{d}}
	if got, want := encodeLoad(m, gpu), (flora.Load{Rows: 8 * m.Dims.NAudioCtx, Adapters: 8}); got != want {
		t.Errorf("on a GPU %v, want %v", got, want)
	}
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	kept := flora.DefaultCosts(tensor.F32)
	kept.Encode = flora.DefaultCosts(tensor.BF16)
	key := flora.NewCostsKey(m, gpu.backend, threadsOf(gpu.backend), "A100", encodeLoad(m, gpu))
	if _, err := flora.CachedCosts(filepath.Join(dir, "glossa"), key, func() (*flora.Costs, error) { return kept, nil }); err != nil {
		t.Fatal(err)
	}
	o, err := strategyOptions(m, gpu, 4, mergedMemory{})
	if err != nil {
		t.Fatal(err)
	}
	if o.Policy.Encode != encodeLoad(m, gpu) || !reflect.DeepEqual(o.Costs, kept) {
		t.Errorf("on a GPU encoding of %v is chosen by %v", o.Policy.Encode, o.Costs.Encode)
	}
}
