package ref_test

import (
	"errors"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

// TestConformance checks that the reference obeys what tensortest asks beyond the values, such as
// guard bands, aliasing and the determinism law; the values it compares with themselves.
func TestConformance(t *testing.T) {
	tensortest.Run(t, ref.New(), tensortest.Exact(), tensortest.MayAllocate)
}

func TestPackRefusesOtherFormats(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.I8} {
		if _, err := ref.New().Pack(tensor.Zeros(2, 3), dtype); !errors.Is(err, ref.ErrDType) {
			t.Errorf("%v: error %v, want ErrDType", dtype, err)
		}
	}
}
