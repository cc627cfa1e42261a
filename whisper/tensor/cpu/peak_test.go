package cpu

import (
	"testing"

	"glossa/whisper/tensor"
)

func TestPeakOfWhatIsNative(t *testing.T) {
	for _, k := range available() {
		b := newBackend(2, k)
		defer b.Close()
		if !b.Native(tensor.F32) {
			t.Errorf("%s: f32 is not native", b.Name())
		}
		for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.I8} {
			if rate := b.Peak(dtype); (rate > 0) != b.Native(dtype) {
				t.Errorf("%s: %v op/s of %s, native %v", b.Name(), rate, dtype, b.Native(dtype))
			}
		}
	}
}

func TestXorReadsEveryWord(t *testing.T) {
	for n := range 20 {
		words := make([]uint64, n)
		for i := range words {
			words[i] = 1 << i
		}
		if got := xor(words); got != 1<<n-1 {
			t.Errorf("%d words: %b", n, got)
		}
	}
}
