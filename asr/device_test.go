package asr

import (
	"reflect"
	"testing"

	"glossa/flora"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/tensortest"
)

// TestEngineOnDevice checks that an engine on a device writes what one on the host backend writes that the device computes
// with: languages that are detected, adapters, and times of words. Without the interfaces that the host has, sums are
// rounded otherwise, and the text is the same.
func TestEngineOnDevice(t *testing.T) {
	host, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	results := func(b tensor.Backend) []*Result {
		m := newModel(t, b, true)
		adapters := []*flora.Adapter{newAdapter(t, m, "cs", flora.FLoRA), newAdapter(t, m, "de", flora.LoRA)}
		e, err := New(m, b, adapters, map[string]string{"cs": "cs", "de": "de"}, sized(3, 400))
		if err != nil {
			t.Fatal(err)
		}
		e.spectra.remove(0) // whose log-mels are rounded otherwise
		return transcribe(t, e,
			chirp(300, 5, Request{Language: "cs", Words: new(WordOptions)}), chirp(400, 3, Request{Language: "de"}), chirp(500, 2, Request{}),
			chirp(200, 4, Request{Language: "en", Words: new(WordOptions)}), chirp(350, 7, Request{Language: "cs", Adapter: None}))
	}
	want := results(host)
	for name, device := range map[string]tensor.Backend{
		"plain": tensortest.Simulate(host, tensortest.DeviceOptions{}),
		"fused": tensortest.SimulateFused(host, tensortest.DeviceOptions{}),
	} {
		for i, got := range results(device) {
			same := name == "plain" || reflect.DeepEqual(got.Segments, want[i].Segments)
			if got.Err != nil || got.Text == "" || got.Text != want[i].Text || got.Language != want[i].Language || !same {
				t.Errorf("%s, request %d: %q in %q, error %v; on the host %q in %q", name, i, got.Text, got.Language, got.Err, want[i].Text, want[i].Language)
			}
		}
	}
}
