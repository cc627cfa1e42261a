//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// TestPeaks checks that there is a rate of products in each format that weights may have, and of copies, that measuring leaves the memory as
// it was, and that it takes smaller operands, or gives no rate, where there is little room.
func TestPeaks(t *testing.T) {
	little(t, 128<<20)
	b := openPlainly(t)
	before := b.device.Stats()
	measure := func() map[string]float64 {
		return map[string]float64{"f32": b.Peak(tensor.F32), "bf16": b.Peak(tensor.BF16), "f16": b.Peak(tensor.F16), "copies": b.PeakRead()}
	}
	for what, rate := range measure() {
		if !(rate > 1e6) {
			t.Errorf("%s: %.3g a second", what, rate)
		}
		t.Logf("%s: %.3g a second", what, rate)
	}
	if rate := b.Peak(tensor.I8); rate != 0 {
		t.Errorf("int8, which has no products: %v", rate)
	}
	if after := b.device.Stats(); after.UsedBytes != before.UsedBytes || after.ReservedBytes > before.ReservedBytes {
		t.Errorf("%d bytes in use and %d reserved after measuring, before %d and %d", after.UsedBytes, after.ReservedBytes, before.UsedBytes, before.ReservedBytes)
	}

	taken := fill(t, b)
	for what, rate := range measure() {
		if rate != 0 {
			t.Errorf("%s, without room: %.3g a second", what, rate)
		}
	}
	b.Free(taken[0]) // the largest
	if fake.Used() { // of a GPU that is room for all
		for what, rate := range measure() {
			if rate == 0 {
				t.Errorf("%s, with some room: no rate", what)
			}
		}
	}
	for _, at := range taken[1:] {
		b.Free(at)
	}
	if err := b.Read(nil, tensor.Mat{}); err != nil {
		t.Error(err)
	}
}
