// Package tensortest holds a [tensor.Backend] to its contract: every kernel against the reference
// within a stated tolerance, nothing read or written outside its operands, NaN and infinity kept
// in the rows that they came in, the determinism law bit by bit, and no allocation.
package tensortest

import (
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// Tolerance bounds the error of one element: |got - want| <= Abs + Rel |want|. Its zero value
// asks for equality.
type Tolerance struct{ Abs, Rel float64 }

// Tolerances is the error that each kernel of a backend is allowed, on operands of order one and
// inner dimensions up to a few thousand. Embed and Unfold only copy, and are always exact.
type Tolerances struct {
	// Linear has an entry for each number format that the backend packs weights in.
	Linear map[tensor.DType]Tolerance

	MatMul, Add, Scale, AddBias, LayerNorm, GELU, LogSoftmax, Attention Tolerance

	PackedAttention Tolerance // of keys and values of 16 bits

	SumRows, ScaleBackward, LayerNormBackward, GELUBackward, AttentionBackward Tolerance
	EmbedBackward, UnfoldBackward                                              Tolerance
}

// Exact returns the tolerances that nothing but the reference itself meets.
func Exact() Tolerances {
	return Tolerances{Linear: map[tensor.DType]Tolerance{tensor.F32: {}}}
}

// Float32 returns the tolerances of a backend that computes and accumulates in float32.
func Float32() Tolerances {
	product := Tolerance{Abs: 3e-5, Rel: 1e-5}
	rounding := Tolerance{Abs: 1e-7, Rel: 2e-7}
	return Tolerances{
		Linear:     map[tensor.DType]Tolerance{tensor.F32: product},
		MatMul:     product,
		Add:        rounding,
		Scale:      rounding,
		AddBias:    rounding,
		LayerNorm:  Tolerance{Abs: 1e-5, Rel: 1e-5},
		GELU:       Tolerance{Abs: 1e-6, Rel: 2e-6},
		LogSoftmax: Tolerance{Abs: 1e-5, Rel: 1e-6},
		Attention:  Tolerance{Abs: 2e-5, Rel: 2e-5},

		PackedAttention: Tolerance{Abs: 0.05},

		SumRows:           Tolerance{Abs: 1e-5, Rel: 1e-5},
		ScaleBackward:     Tolerance{Abs: 1e-5, Rel: 1e-5},
		LayerNormBackward: Tolerance{Abs: 5e-5, Rel: 2e-5},
		GELUBackward:      Tolerance{Abs: 2e-6, Rel: 2e-6},
		AttentionBackward: Tolerance{Abs: 5e-5, Rel: 5e-5},
		EmbedBackward:     Tolerance{Abs: 1e-5, Rel: 1e-5},
		UnfoldBackward:    Tolerance{Abs: 1e-6, Rel: 1e-6},
	}
}

// Option relaxes what [Run] asks.
type Option uint8

const (
	// MayAllocate lets kernels allocate, as those of the reference do, and those of a device, whose numbers come
	// from the host and go back.
	MayAllocate Option = iota + 1

	// MayRegroup lets products and attention differ by the rows beside, within the tolerances, against the law
	// of determinism.
	MayRegroup
)

// Run tests b, and its kernels for gradients where it has them, as subtests of t. The matrices of a
// [tensor.Device] are written to its memory before each call, and read after it; what else it must do is tested too.
func Run(t *testing.T, b tensor.Backend, tol Tolerances, options ...Option) {
	reference := ref.New()
	device, onDevice := b.(tensor.Device)
	if onDevice {
		b = &hosted{Device: device}
		options = append(options, MayAllocate)
	}
	g := gradientsOf(b)
	s := &suite{
		backend:     kernels{b, g},
		reference:   kernels{reference, reference},
		tol:         tol,
		mayAllocate: slices.Contains(options, MayAllocate),
		mayRegroup:  slices.Contains(options, MayRegroup),
	}
	if onDevice {
		t.Run("Device", func(t *testing.T) { s.testDevice(t, device) })
	}
	t.Run("Name", func(t *testing.T) {
		if b.Name() == "" {
			t.Error("the backend has no name")
		}
	})
	s.runForward(t)
	t.Run("Chooser", s.testChooser)
	t.Run("Pick", s.testPick)
	if g, ok := device.(tensor.Spectrographer); ok {
		t.Run("LogMel", func(t *testing.T) { testLogMel(t, g) })
	}
	t.Run("Gradients", func(t *testing.T) {
		if g == nil {
			t.Skipf("SKIP: gradients of backend %s absent", b.Name())
		}
		s.runBackward(t)
	})
	t.Run("NotFinite", s.testNotFinite)
	t.Run("Determinism", s.testDeterminism)
	t.Run("Concurrency", s.testConcurrency)
	t.Run("Allocations", func(t *testing.T) {
		if s.mayAllocate {
			t.Skipf("SKIP: backend %s may allocate", b.Name())
		}
		s.testAllocations(t)
		t.Run("Pick", s.testPickAllocations)
	})
	s.checkDevice(t, "device")
}

// kernels are all kernels of one backend; Gradients is nil where it has none.
type kernels struct {
	tensor.Backend
	tensor.Gradients
}

// pack packs w, or ends the test.
func (k kernels) pack(t *testing.T, w tensor.Mat, dtype tensor.DType) tensor.Packed {
	t.Helper()
	p, err := k.Pack(w, dtype)
	if err != nil {
		t.Fatalf("pack (%d, %d) as %v: %v", w.Rows, w.Cols, dtype, err)
	}
	return p
}

type suite struct {
	backend, reference      kernels
	tol                     Tolerances
	mayAllocate, mayRegroup bool
}

// counts reports whether kernels are held to allocate nothing.
func (s *suite) counts() bool { return !raceDetector && !s.mayAllocate }

// same reports the first element of got that does not have the bits of want; of a backend that may regroup, elements
// that differ by more than two results within tol may.
func (s *suite) same(t *testing.T, what string, tol Tolerance, got, want []float32) bool {
	t.Helper()
	if !s.mayRegroup {
		return identical(t, what, got, want)
	}
	return Tolerance{2 * tol.Abs, 2 * tol.Rel}.compare(t, what, tensor.Vector(got), want)
}

// checkDevice reports what went wrong on a device since the last call.
func (s *suite) checkDevice(t *testing.T, what string) {
	t.Helper()
	if h, ok := s.backend.Backend.(*hosted); ok {
		if err := h.fault(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// agree runs call on the reference and then on the backend, over the same operands, and compares
// the values that they leave in outs; m is the memory of all operands.
func (s *suite) agree(t *testing.T, what string, tol Tolerance, m *memory, call func(k kernels), outs ...tensor.Mat) {
	t.Helper()
	before := values(outs)
	call(s.reference)
	want := values(outs)
	for i, o := range outs {
		copy(o.Data, before[i])
	}
	call(s.backend)
	s.checkDevice(t, what)
	m.verify(t, what)
	for i, o := range outs {
		tol.compare(t, what, o, want[i])
	}
}
