package tensortest

import (
	"fmt"
	"math"
	"sync/atomic"
	"testing"

	"glossa/whisper/tensor"
)

// testChooser compares the kernels for choosing tokens with the reference's, on rows in which some
// logits are suppressed.
func (s *suite) testChooser(t *testing.T) {
	got, ok := has[tensor.Chooser](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: kernels for choosing tokens of backend %s absent", s.backend.Name())
	}
	var want tensor.PlainChooser
	tol := Tolerance{Abs: 1e-7, Rel: 2e-5}
	for _, n := range append([]int{0, 511, 51865}, colCounts...) {
		m := newMemory(80)
		x := m.changing(1, n)
		for i := range x.Data {
			x.Data[i] *= 30
			if i%7 == 3 {
				x.Data[i] = negInfinity
			}
		}
		m.freeze(x)
		what := fmt.Sprintf("%d logits", n)
		top := want.Max(x.Data)
		if most := got.Max(x.Data); most != top {
			t.Errorf("%s: maximum %g, want %g", what, most, top)
		}
		if n == 0 {
			continue
		}
		compare := func(kernel string, got, want float32) {
			if !tol.accepts(got, want) {
				t.Errorf("%s: %s is %g, want %g", what, kernel, got, want)
			}
		}
		compare("SumExp", got.SumExp(x.Data, top), want.SumExp(x.Data, top))
		for _, scale := range []float32{0.5, 1, 4, 1e30} {
			y, z := m.output(1, n), m.output(1, n)
			compare("Exp", got.Exp(y.Data, x.Data, top, scale), want.Exp(z.Data, x.Data, top, scale))
			tol.compare(t, fmt.Sprintf("%s: Exp by %g", what, scale), y, z.Data)
		}
		m.verify(t, what)
		if x.Data[0] = nan; !math.IsNaN(float64(got.SumExp(x.Data, 0))) {
			t.Errorf("%s, one of them NaN: the sum is a number", what)
		}
	}
	s.testEach(t, got)
}

// testEach checks that each call is made once, and that none allocates.
func (s *suite) testEach(t *testing.T, c tensor.Chooser) {
	var calls [100]atomic.Int32
	f := func(i int) { calls[i].Add(1) }
	for _, n := range []int{0, 1, 2, len(calls)} {
		c.Each(n, f)
		for i := range calls {
			if k := calls[i].Swap(0); (k == 1) != (i < n) {
				t.Errorf("%d calls: call %d was made %d times", n, i, k)
			}
		}
	}
	if s.counts() {
		if n := testing.AllocsPerRun(20, func() { c.Each(len(calls), f) }); n != 0 {
			t.Errorf("Each: %g allocations a call, want 0", n)
		}
	}
}
