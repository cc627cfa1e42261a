//go:build cuda && linux

package cuda

import (
	"maps"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestBiasInProducts checks that products of many rows add their bias themselves, be they added to rows or written over them.
func TestBiasInProducts(t *testing.T) {
	testBiasInProducts(t, "product 300 x 128 x 64, with bias", 1)
}

// TestFakeBiasBesideProducts checks that where cuBLASLt is absent another kernel adds it, to the same result.
func TestFakeBiasBesideProducts(t *testing.T) {
	t.Setenv("FAKECUDA_NO_CUBLASLT", "1")
	testBiasInProducts(t, "product 300 x 128 x 64, 1 times", 2)
}

// testBiasInProducts wants a product of a name, and so many epilogues: the first rounds its operand.
func testBiasInProducts(t *testing.T, product string, epilogues int) {
	for dtype, allowed := range map[tensor.DType]float64{tensor.BF16: 0.1, tensor.F16: 0.0125} {
		for _, add := range []bool{false, true} {
			b := open(t)
			r := newRoom(t, b)
			x, w, bias, y := r.random(300, 64), r.random(128, 64), r.random(1, 128), r.random(300, 128)
			p, err := b.Pack(host(w), dtype)
			if err != nil {
				t.Fatal(err)
			}
			sum := tensor.Zeros(300, 128)
			ref.New().MatMul(sum, host(x), host(w), tensor.TransB, false)
			ref.New().AddBias(sum, sum, host(bias))
			if add {
				ref.New().Add(sum, sum, host(y))
			}
			if err := b.Profile(true); err != nil {
				t.Fatal(err)
			}
			if add {
				b.LinearAdd(y, x, p, bias, tensor.Scales{}, nil)
			} else {
				b.Linear(y, x, p, bias)
			}
			near(t, dtype.String(), r.read(y), sum, allowed)
			timings, err := b.Timings()
			if err != nil {
				t.Fatal(err)
			}
			calls := make(map[string]int)
			for _, o := range timings {
				calls[o.Name] = o.Calls
			}
			if want := map[string]int{product: 1, "epilogue": epilogues}; !maps.Equal(calls, want) {
				t.Errorf("%v, add %t: %v, want %v", dtype, add, calls, want)
			}
		}
	}
}
