package main

import (
	"testing"

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
