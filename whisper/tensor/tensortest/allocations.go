package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// testAllocations checks that forward kernels allocate nothing once they are warm.
func (s *suite) testAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("SKIP: exact counts of allocations absent under the race detector")
	}
	const nIn, nOut, kernel, stride = 256, 320, 3, 2
	for _, nRow := range []int{1, 70} {
		m := newMemory(50)
		x := m.input(nRow, nIn)
		a := newAttention(m, deterministicShape, 2, 32, true, 1)
		y := m.output(a.q.Rows, a.q.Cols)
		xSeg, ySeg := tensor.NewSegments(nRow), tensor.NewSegments((nRow+stride-1)/stride)
		unfolded := m.output(ySeg.Rows(), kernel*nIn)
		ks := []rowKernel{
			{"Attention", nIn, nIn, Tolerance{}, func(_, _ tensor.Mat, _ int) { a.run(s.backend, y) }},
			{"Unfold", nIn, nIn, Tolerance{}, func(_, x tensor.Mat, _ int) {
				s.backend.Unfold(unfolded, x, ySeg, xSeg, kernel, stride)
			}},
		}
		for _, k := range s.rowKernels(t, m, nRow, nIn, nOut, []tensor.DType{tensor.F32}) {
			if k.name != "MatMul TransA" { // allocates its transposed operand
				ks = append(ks, k)
			}
		}
		at, v, z := m.input(nIn, nRow), m.input(nIn, nOut), m.output(nRow, nOut)
		ks = append(ks, rowKernel{"MatMul TransA", nIn, nOut, Tolerance{}, func(_, _ tensor.Mat, _ int) {
			s.backend.MatMul(z, at, v, tensor.TransA, false)
		}})
		for _, k := range ks {
			y := m.output(nRow, k.nOut)
			t.Run(fmt.Sprintf("%s/%d", k.name, nRow), func(t *testing.T) {
				for range 3 {
					k.call(y, x, 0)
				}
				if n := testing.AllocsPerRun(20, func() { k.call(y, x, 0) }); n != 0 {
					t.Errorf("%g allocations a call, want 0", n)
				}
			})
		}
	}
}
