package cpu_test

import (
	"errors"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/tensortest"
)

// TestConformanceRounded holds a backend that rounds the factors of products to the contract of one, with
// the errors of that rounding.
func TestConformanceRounded(t *testing.T) {
	b, err := cpu.New(cpu.Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	rounded := b.Rounded(tensor.BF16)
	if rounded == nil {
		t.Skipf("SKIP: products of bfloat16 absent from %s", b.Name())
	}
	tolerances := tensortest.Float32()
	tolerances.Linear[tensor.BF16] = tensortest.Tolerance{Abs: 0.1, Rel: 0.02}
	tolerances.Linear[tensor.I8] = tensortest.Tolerance{Abs: 0.3, Rel: 0.02}
	tolerances.MatMul = tolerances.Linear[tensor.BF16]
	tolerances.Attention = tensortest.Tolerance{Abs: 0.05}
	tolerances.AttentionBackward = tensortest.Tolerance{Abs: 0.25, Rel: 0.05}
	tensortest.Run(t, rounded, tolerances)
}

// TestConformance holds every instruction set to the contract of a backend, with more threads
// than small machines have cores.
func TestConformance(t *testing.T) {
	for _, isa := range []string{"avx512", "avx2", "go"} {
		t.Run(isa, func(t *testing.T) {
			b, err := cpu.New(cpu.Options{ISA: isa, Threads: 3})
			if errors.Is(err, cpu.ErrISA) {
				t.Skipf("SKIP: instruction set %s absent: %v", isa, err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			tolerances := tensortest.Float32()
			tolerances.Linear[tensor.BF16] = tensortest.Tolerance{Abs: 0.1, Rel: 0.02}
			tolerances.Linear[tensor.I8] = tensortest.Tolerance{Abs: 0.3, Rel: 0.02}
			tensortest.Run(t, b, tolerances)
		})
	}
}
