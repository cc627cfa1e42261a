//go:build cuda && linux

package flora_test

import (
	"slices"
	"testing"

	"glossa/flora"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/cudatest"
)

// TestGPUGoldenAdapters holds the GPU backend to the goldens of adapters of all kinds, together in one batch. On the fake driver the decoder
// is held to one clip, in texts of up to 40 tokens, on states that the host has encoded, and the encoder is held to a
// few adapters; on a GPU all is.
func TestGPUGoldenAdapters(t *testing.T) {
	host := openGoldenRun(t, openKit(t), tensor.F32)
	host.encode(t, "zh", host.every())
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		t.Run(dtype.String(), func(t *testing.T) {
			k := openKit(t)
			k.Backend = cudatest.Open(t)
			if cudatest.Fake() {
				k.Clip, k.MaxTokens = "zh", 40
			}
			r := openGoldenRun(t, k, dtype)
			for clip := range r.g.Rows["none"].Clips {
				if !k.Takes(clip, 0) {
					continue
				}
				index := r.every()
				if cudatest.Fake() {
					index = index[:0]
					for _, name := range encodedOnFake[dtype] {
						index = append(index, int32(slices.Index(r.names, name)))
					}
				}
				r.encode(t, clip, index)
				r.checkStates(t, clip, index)
				if cudatest.Fake() {
					r.states, r.seg = host.states, host.seg
				}
				r.check(t, clip, r.cross(t, r.states))
			}
		})
	}
}

// TestGPUCalibration checks that all that costs are derived from is measured on the GPU backend, and what it took is given back.
func TestGPUCalibration(t *testing.T) {
	b := cudatest.Open(t)
	m := goldentest.Tiny(t, b, 1)
	if err := m.Pack(b, tensor.BF16); err != nil {
		t.Fatal(err)
	}
	strategies := map[flora.Strategy]bool{}
	calibrate := func() {
		costs, err := flora.Calibrate(m, b, encodeLoad(m), func(p flora.Probe, f func()) float64 {
			if f(); p.Phase == flora.Encode {
				strategies[p.Strategy] = true
			}
			return 1e-3
		})
		if err != nil {
			t.Fatal(err)
		}
		if costs.Encode == nil {
			t.Error("encoding was not measured")
		}
	}
	calibrate() // until there is the memory that the backend keeps
	before, _ := b.MemoryInfo()
	calibrate()
	if after, _ := b.MemoryInfo(); after < before {
		t.Errorf("%d bytes less are free than before", before-after)
	}
	if len(strategies) != 1+len(flora.Strategies()) {
		t.Errorf("of all strategies, %v were measured in encoding", strategies)
	}
}

// encodedOnFake are the adapters under which the encoder is run on the fake driver, on which a window takes long.
var encodedOnFake = map[tensor.DType][]string{tensor.F32: {"lora-encoder-regex", "flora-r3"}, tensor.BF16: {"hira-r4"}}
