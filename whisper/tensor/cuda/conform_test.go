//go:build cuda && linux

package cuda

import (
	"flag"
	"strings"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/fake"
	"glossa/whisper/tensor/tensortest"
)

// tolerances are the errors that kernels are allowed: those of float32, and of formats of 16 bits where weights and keys are of them.
func tolerances() tensortest.Tolerances {
	t := tensortest.Float32()
	t.Linear[tensor.BF16] = tensortest.Tolerance{Abs: 0.1, Rel: 0.02}
	t.Linear[tensor.F16] = tensortest.Tolerance{Abs: 0.0125, Rel: 0.0025} // three bits more
	return t
}

// TestConformance holds the backend to the contract of one, and checks that no kernel is left out.
func TestConformance(t *testing.T) {
	b := openPlainly(t)
	if err := b.device.Profile(true); err != nil {
		t.Fatal(err)
	}
	tensortest.Run(t, b, tolerances(), tensortest.MayRegroup)
	timings, err := b.device.Timings()
	if err != nil {
		t.Fatal(err)
	}
	if flag.Lookup("test.run").Value.String() != "" || b.info.Major < 8 {
		return
	}
	ran := make(map[string]bool)
	for _, timing := range timings {
		ran[timing.Name] = true
	}
	for name := range b.k.names() {
		if !ran[name] && !strings.HasSuffix(name, "_sm75") && !strings.HasPrefix(name, "attention_rows") && !strings.HasPrefix(name, "layer_norm_warp") { // see TestAttentionRows, TestManyNorms
			t.Errorf("kernel %s was not run", name)
		}
	}
}

// TestConformanceRounded holds the backend that rounds the factors of products to the contract of one. It has no kernels of its own, and so
// is left out under the race detector.
func TestConformanceRounded(t *testing.T) {
	if raceDetector && fake.Used() {
		t.Skip("SKIP: all of the suite for products in bf16 absent under the race detector")
	}
	b := openPlainly(t)
	r := b.Rounded(tensor.BF16)
	if (r != nil) != (b.productsOf(tensor.BF16) != nil) {
		t.Errorf("products rounded to bf16 %v, of %s", r != nil, b.Device())
	}
	if r == nil { // a device from before tensor cores had the format
		return
	}
	for _, dtype := range []tensor.DType{tensor.F32, tensor.I8, tensor.F16} {
		if b.Rounded(dtype) != nil {
			t.Errorf("products rounded to %v", dtype)
		}
	}
	tol := tolerances()
	tol.MatMul = tol.Linear[tensor.BF16]
	tensortest.Run(t, r, tol, tensortest.MayRegroup)
}
