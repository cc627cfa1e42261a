package whisper

import "testing"

// TestWindowBytes checks the memory of a window against what a batch holds of it.
func TestWindowBytes(t *testing.T) {
	m := New(Dims{NMels: 80, NAudioCtx: 100, NAudioState: 8, NAudioHead: 2, NAudioLayer: 1,
		NVocab: 300, NTextCtx: 130, NTextState: 8, NTextHead: 2, NTextLayer: 3})
	for _, c := range []struct {
		options   DecodeOptions
		rows, max int // of each hypothesis' cache, and hypotheses
	}{
		{DecodeOptions{}, 128, 1}, {DecodeOptions{SampleLen: 59}, 64, 1}, {DecodeOptions{SampleLen: 60}, 128, 1},
		{DecodeOptions{BeamSize: 5, Prompt: make([]int32, 500)}, 192, 5}, {DecodeOptions{Temperature: 1, BestOf: 2, SampleLen: 1}, 64, 2},
	} {
		cache := m.Decoder.NewCache()
		for l := range cache.layer {
			for range c.rows/cacheRows*cacheRows - 1 {
				cache.layer[l].k = cache.grow(cache.layer[l].k, make([]float32, 8))
				cache.layer[l].v = cache.grow(cache.layer[l].v, make([]float32, 8))
			}
		}
		held := 0
		for _, l := range cache.layer {
			held += 4 * (cap(l.k) + cap(l.v))
		}
		const cross = 2 * 4 * 8 * 3 * 50
		if got, want := m.WindowBytes(99, c.options), cross+c.max*(held+4*300); got != want {
			t.Errorf("%d hypotheses of %d tokens: %d bytes, want %d", c.max, c.rows, got, want)
		}
	}
}
