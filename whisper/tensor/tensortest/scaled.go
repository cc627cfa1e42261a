package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// testScaledLinear holds the fused pass to the bits of its parts.
func (s *suite) testScaledLinear(t *testing.T) {
	b, ok := has[tensor.ScaledLinear](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: fused scales of backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		for _, c := range [][3]int{{0, 3, 5}, {1, 33, 65}, {5, 7, 3}, {17, 64, 128}, {300, 40, 70}} {
			for _, nScale := range []int{1, 4} {
				s.scaledLinear(t, b, dtype, c, nScale)
			}
		}
	}
}

// scaledLinear compares products of the sizes (nRow, nIn, nOut) under nScale scales, with and without
// bias and GELU, as often as it takes to see that none allocates.
func (s *suite) scaledLinear(t *testing.T, b tensor.ScaledLinear, dtype tensor.DType, size [3]int, nScale int) {
	m := newMemory(63)
	nRow, nIn, nOut := size[0], size[1], size[2]
	x, w, bias := m.input(nRow, nIn), m.input(nOut, nIn), m.input(1, nOut)
	scales := tensor.Scales{In: m.input(nScale, nIn), Out: m.input(nScale, nOut)}
	if nScale > 1 {
		scales.Row = m.indices(nRow, nScale)
	}
	p := s.backend.pack(t, w, dtype)
	for variant := range 4 {
		gelu, added := variant&1 != 0, tensor.Mat{}
		if variant&2 != 0 {
			added = bias
		}
		y, scaled, parts := m.output(nRow, nOut), m.output(nRow, nIn), m.output(nRow, nOut)
		s.backend.Scale(scaled, x, scales.In, scales.Row)
		s.backend.Linear(parts, scaled, p, tensor.Mat{})
		s.backend.Scale(parts, parts, scales.Out, scales.Row)
		if !added.IsZero() {
			s.backend.AddBias(parts, parts, added)
		}
		if gelu {
			s.backend.GELU(parts, parts)
		}
		what := fmt.Sprintf("%v %v, %d scales, bias %t, GELU %t", dtype, size, nScale, !added.IsZero(), gelu)
		b.ScaledLinear(y, x, p, added, scales, gelu)
		s.same(t, what, s.tol.Linear[dtype], y.Data, parts.Data)
		m.verify(t, what)
		if s.counts() {
			if n := testing.AllocsPerRun(3, func() { b.ScaledLinear(y, x, p, added, scales, gelu) }); n != 0 {
				t.Errorf("%s: %g allocations", what, n)
			}
		}
	}
}
