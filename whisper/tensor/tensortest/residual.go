package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// residualSizes are (nRow, nIn, nOut) of linears that are added: of few rows and many, and of sizes that fill no tile.
var residualSizes = [][3]int{{0, 3, 5}, {1, 33, 65}, {1, 64, 128}, {17, 64, 128}, {128, 96, 64}, {300, 40, 70}, {300, 64, 128}}

// testLinearAdd compares linears that are added to rows, by the backend's pass or the operations that stand for it, with the sum of
// the two, in all forms: without and with bias, scales and products of low rank.
func (s *suite) testLinearAdd(t *testing.T) {
	for dtype := range s.tol.Linear {
		for _, size := range residualSizes {
			for variant := range 8 {
				s.linearAdd(t, dtype, size, variant&1 != 0, variant&2 != 0, variant&4 != 0)
			}
		}
	}
}

func (s *suite) linearAdd(t *testing.T, dtype tensor.DType, size [3]int, biased, scaled, lowRank bool) {
	b, lows, ok := s.residualOf(lowRank)
	if !ok {
		return
	}
	m := newMemory(65)
	nRow, nIn, nOut := size[0], size[1], size[2]
	x, w, bias := m.input(nRow, nIn), m.input(nOut, nIn), tensor.Mat{}
	y, parts := m.changing(nRow, nOut), m.output(nRow, nOut)
	if biased {
		bias = m.input(1, nOut)
	}
	var scales tensor.Scales
	if scaled {
		scales = tensor.Scales{In: m.input(3, nIn), Out: m.input(3, nOut), Row: m.indices(nRow, 3)}
	}
	var low []*tensor.LowRank
	if lowRank {
		factors, _, _, _ := lowRanks(t, s.backend.Backend, m, nOut, nIn, dtype)
		low = make([]*tensor.LowRank, nRow)
		for i := range low {
			if k := i*7%(len(factors)+1) - 1; k >= 0 {
				low[i] = factors[k]
			}
		}
	}
	p := s.backend.pack(t, w, dtype)
	what := fmt.Sprintf("%v %v, bias %t, scaled %t, low rank %t", dtype, size, biased, scaled, lowRank)
	s.parts(parts, x, p, bias, scales)
	if lowRank {
		lows.AddLowRank(parts, x, low)
	}
	s.backend.Add(parts, y, parts)
	b.LinearAdd(y, x, p, bias, scales, low)
	s.checkDevice(t, what)
	s.same(t, what, s.tol.Linear[dtype], y.Data, parts.Data)
	m.verify(t, what)
}

// parts computes a linear by its parts, between scales where there are some.
func (s *suite) parts(y, x tensor.Mat, p tensor.Packed, bias tensor.Mat, scales tensor.Scales) {
	if scales.In.IsZero() {
		s.backend.Linear(y, x, p, bias)
		return
	}
	z := tensor.Zeros(x.Rows, x.Cols)
	s.backend.Scale(z, x, scales.In, scales.Row)
	s.backend.Linear(y, z, p, tensor.Mat{})
	s.backend.Scale(y, y, scales.Out, scales.Row)
	if !bias.IsZero() {
		s.backend.AddBias(y, y, bias)
	}
}

// residualOf returns the backend's pass, or in host memory the operations, and with lowRank what adds products of low rank; !ok where
// it has none of these.
func (s *suite) residualOf(lowRank bool) (b tensor.ResidualLinear, lows tensor.LowRankLinear, ok bool) {
	if lows, ok = has[tensor.LowRankLinear](s.backend.Backend); !ok && lowRank {
		return nil, nil, false
	}
	if b, ok = has[tensor.ResidualLinear](s.backend.Backend); ok {
		return b, lows, true
	}
	if _, device := s.backend.Backend.(*hosted); device {
		return nil, nil, false // its operations take operands of the device
	}
	return addingOps{tensor.NewOps(s.backend.Backend)}, lows, true
}

// addingOps is [tensor.ResidualLinear] by the operations.
type addingOps struct{ *tensor.Ops }

func (o addingOps) LinearAdd(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank) {
	nOut, nIn := w.Shape()
	o.LinearAddTo(y, x, &tensor.Weight{Mat: tensor.Mat{Rows: nOut, Cols: nIn}, Packed: w}, bias, s, low)
}
