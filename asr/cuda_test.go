//go:build cuda && linux

package asr

import (
	"testing"

	"glossa/flora"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/cuda/cudatest"
)

// TestGPU serves on a GPU, alone and with the processor in its place when it is lost: the texts are those of the processor.
func TestGPU(t *testing.T) {
	gpu := cudatest.Open(t)
	f := newFleet(t, few()...)
	m := newModel(t, gpu, true)
	on := &fleet{model: m, backend: gpu, adapters: []*flora.Adapter{newAdapter(t, m, "cs", flora.FLoRA), newAdapter(t, m, "de", flora.LoRA)}, requests: f.requests}
	host, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 2, 7} { // the operation at which it is lost, 0 for none
		o := sized(4, 9000)
		o.Fallback = func() (Device, error) { return Device{"spare", f.model, host}, nil }
		e := on.engine(t, 1, o)
		if at > 0 {
			watchDevices(e)[0].fail = failsAt(t, at)
		}
		results, err := on.run(t, e)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if want := f.alone[i]; r.Err != nil || r.Text != want.Text || r.Language != want.Language {
				t.Errorf("lost at %d, request %d: %q in %s, error %v; by the processor %q in %s", at, i, r.Text, r.Language, r.Err, want.Text, want.Language)
			}
		}
	}
}
