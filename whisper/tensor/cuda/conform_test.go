//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/tensortest"
)

// open returns the backend of the first device.
func open(t *testing.T) *Backend {
	t.Helper()
	b, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.(*Backend).Close() })
	return b.(*Backend)
}

// tolerances are the errors that kernels are allowed: those of float32, and of bfloat16 where weights and keys are of it.
func tolerances() tensortest.Tolerances {
	t := tensortest.Float32()
	t.Linear[tensor.BF16] = tensortest.Tolerance{Abs: 0.1, Rel: 0.02}
	return t
}

// TestConformance holds the backend to the contract of one.
func TestConformance(t *testing.T) {
	tensortest.Run(t, open(t), tolerances(), tensortest.MayRegroup)
}
