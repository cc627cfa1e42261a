package tensortest

import (
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
)

// rowCounts are the numbers of rows that kernels of independent rows are tried with: none, one,
// and both sides of the heights that register tiles commonly have.
var rowCounts = []int{0, 1, 2, 3, 4, 5, 8, 12, 13, 17, 33}

// colCounts are the numbers of columns that row kernels are tried with: both sides of the widths
// of vector registers and of a few of them.
var colCounts = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 127, 384}

// innerOuter are inner and outer dimensions (nIn, nOut) of a product.
var innerOuter = [][2]int{{1, 1}, {1, 17}, {2, 3}, {7, 31}, {16, 16}, {17, 33}, {64, 65}, {129, 64}, {100, 257}}

func (s *suite) runForward(t *testing.T) {
	t.Run("Pack", s.testPack)
	t.Run("Linear", s.testLinear)
	t.Run("MatMul", s.testMatMul)
	t.Run("Add", s.testAdd)
	t.Run("Scale", s.testScale)
	t.Run("AddBias", s.testAddBias)
	t.Run("LayerNorm", s.testLayerNorm)
	t.Run("GELU", s.testGELU)
	t.Run("LogSoftmax", s.testLogSoftmax)
	t.Run("Attention", s.testAttention)
	t.Run("AttentionByQuery", s.testAttentionByQuery)
	t.Run("PackedAttention", s.testPackedAttention)
	t.Run("LinearGELU", s.testLinearGELU)
	t.Run("ScaledLinear", s.testScaledLinear)
	t.Run("LinearAdd", s.testLinearAdd)
	t.Run("LowRankLinear", s.testLowRankLinear)
	t.Run("AddRows", s.testAddRows)
	t.Run("Mix", s.testMix)
	t.Run("GroupedLinear", s.testGroupedLinear)
	t.Run("Embed", s.testEmbed)
	t.Run("EmbedPacked", s.testEmbedPacked)
	t.Run("Unfold", s.testUnfold)
}

func (s *suite) testPack(t *testing.T) {
	const unknown tensor.DType = 250
	if _, err := s.backend.Pack(tensor.Zeros(3, 5), unknown); err == nil {
		t.Errorf("packed as %v, a format that does not exist", unknown)
	}
	for dtype := range s.tol.Linear {
		m := newMemory(1)
		w, x, alone, y := m.changing(19, 23), m.input(4, 23), m.output(4, 19), m.output(4, 19)
		p := s.backend.pack(t, w, dtype)
		if nOut, nIn := p.Shape(); nOut != w.Rows || nIn != w.Cols {
			t.Errorf("%v: shape (%d, %d), want (%d, %d)", dtype, nOut, nIn, w.Rows, w.Cols)
		}
		if p.DType() != dtype {
			t.Errorf("packed as %v, says %v", dtype, p.DType())
		}
		s.backend.Linear(alone, x, p, tensor.Mat{})
		clear(w.Data)
		s.backend.Linear(y, x, p, tensor.Mat{})
		s.same(t, fmt.Sprintf("%v: product after the weight was overwritten", dtype), Tolerance{}, y.Data, alone.Data)
		m.verify(t, dtype.String())
	}
}

func (s *suite) testLinear(t *testing.T) {
	for dtype, tol := range s.tol.Linear {
		t.Run(dtype.String(), func(t *testing.T) {
			for _, d := range innerOuter {
				for _, nRow := range rowCounts {
					s.linear(t, dtype, tol, nRow, d[0], d[1])
				}
			}
			s.linear(t, dtype, tol, 13, 2100, 40)
			s.linear(t, dtype, tol, 130, 513, 100)
			s.linear(t, dtype, tol, 3, 65, 5003)
		})
	}
}

func (s *suite) linear(t *testing.T, dtype tensor.DType, tol Tolerance, nRow, nIn, nOut int) {
	m := newMemory(2)
	x, w := m.input(nRow, nIn), m.input(nOut, nIn)
	for _, bias := range []tensor.Mat{{}, m.input(1, nOut)} {
		y := m.output(nRow, nOut)
		what := fmt.Sprintf("x (%d, %d), w (%d, %d), bias %t", nRow, nIn, nOut, nIn, !bias.IsZero())
		s.agree(t, what, tol, m, func(k kernels) {
			format := dtype
			if k == s.reference {
				format = tensor.F32
			}
			k.Linear(y, x, k.pack(t, w, format), bias)
		}, y)
	}
}

func (s *suite) testMatMul(t *testing.T) {
	for _, mode := range []tensor.Transpose{tensor.NoTrans, tensor.TransA, tensor.TransB, tensor.TransA | tensor.TransB} {
		for _, d := range innerOuter {
			for _, nRow := range rowCounts {
				s.matMul(t, mode, nRow, d[1], d[0])
			}
		}
		s.matMul(t, mode, 5, 7, 0)
		s.matMul(t, mode, 5, 0, 7)
		s.matMul(t, mode, 33, 20, 1501)
		s.matMul(t, mode, 130, 97, 300)
	}
}

// matMul compares c (rows, cols) = op(a) op(b) over an inner dimension.
func (s *suite) matMul(t *testing.T, mode tensor.Transpose, rows, cols, inner int) {
	m := newMemory(3)
	a, b := m.input(rows, inner), m.input(inner, cols)
	if mode&tensor.TransA != 0 {
		a = m.input(inner, rows)
	}
	if mode&tensor.TransB != 0 {
		b = m.input(cols, inner)
	}
	for _, c := range []tensor.Mat{m.output(rows, cols), m.changing(rows, cols)} {
		accumulate := len(c.Data) > 0 && c.Data[0] == c.Data[0]
		what := fmt.Sprintf("mode %d, c (%d, %d), inner %d, accumulate %t", mode, rows, cols, inner, accumulate)
		s.agree(t, what, s.tol.MatMul, m, func(k kernels) { k.MatMul(c, a, b, mode, accumulate) }, c)
	}
}

func (s *suite) testAdd(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(4)
		a, b := m.input(rows, cols), m.input(rows, cols)
		y, z := m.output(rows, cols), m.changing(rows, cols)
		what := fmt.Sprintf("(%d, %d)", rows, cols)
		s.agree(t, what, s.tol.Add, m, func(k kernels) { k.Add(y, a, b) }, y)
		s.agree(t, what+", y is a", s.tol.Add, m, func(k kernels) { k.Add(z, z, b) }, z)
		s.agree(t, what+", y is b", s.tol.Add, m, func(k kernels) { k.Add(z, a, z) }, z)
		s.agree(t, what+", y is a and b", s.tol.Add, m, func(k kernels) { k.Add(z, z, z) }, z)
	})
}

func (s *suite) testScale(t *testing.T) {
	const nScale = 5
	eachShape(func(rows, cols int) {
		m := newMemory(5)
		x, one, many := m.input(rows, cols), m.input(1, cols), m.input(nScale, cols)
		y, z, index := m.output(rows, cols), m.changing(rows, cols), m.indices(rows, nScale)
		what := fmt.Sprintf("(%d, %d)", rows, cols)
		s.agree(t, what, s.tol.Scale, m, func(k kernels) { k.Scale(y, x, one, nil) }, y)
		s.agree(t, what+", indexed", s.tol.Scale, m, func(k kernels) { k.Scale(y, x, many, index) }, y)
		s.agree(t, what+", y is x", s.tol.Scale, m, func(k kernels) { k.Scale(z, z, one, nil) }, z)
		s.agree(t, what+", indexed, y is x", s.tol.Scale, m, func(k kernels) { k.Scale(z, z, many, index) }, z)
	})
}

func (s *suite) testAddBias(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(6)
		x, bias, y, z := m.input(rows, cols), m.input(1, cols), m.output(rows, cols), m.changing(rows, cols)
		what := fmt.Sprintf("(%d, %d)", rows, cols)
		s.agree(t, what, s.tol.AddBias, m, func(k kernels) { k.AddBias(y, x, bias) }, y)
		s.agree(t, what+", y is x", s.tol.AddBias, m, func(k kernels) { k.AddBias(z, z, bias) }, z)
	})
}

func (s *suite) testLayerNorm(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(7)
		gamma, beta := m.input(1, cols), m.input(1, cols)
		// Constant rows have no variance but epsilon; a mean far from zero shows a variance
		// that is computed as a difference of squares.
		for _, within := range [][2]float32{{-1, 1}, {-30, 30}, {9, 11}, {0, 0}, {2, 2}} {
			x, y := m.inputWithin(rows, cols, within[0], within[1]), m.output(rows, cols)
			what := fmt.Sprintf("(%d, %d) within %v", rows, cols, within)
			s.agree(t, what, s.tol.LayerNorm, m, func(k kernels) { k.LayerNorm(y, x, gamma, beta) }, y)
		}
	})
}

func (s *suite) testGELU(t *testing.T) {
	eachShape(func(rows, cols int) {
		m := newMemory(8)
		for _, most := range []float32{1, 6, 20, 1e4} {
			x, y := m.inputWithin(rows, cols, -most, most), m.output(rows, cols)
			what := fmt.Sprintf("(%d, %d) within ±%g", rows, cols, most)
			s.agree(t, what, s.tol.GELU, m, func(k kernels) { k.GELU(y, x) }, y)
		}
	})
}

func (s *suite) testLogSoftmax(t *testing.T) {
	one := func(rows, cols int) {
		m := newMemory(9)
		for _, most := range []float32{0, 1, 30, 1000} {
			x, y, z := m.inputWithin(rows, cols, -most, most), m.output(rows, cols), m.changing(rows, cols)
			what := fmt.Sprintf("(%d, %d) within ±%g", rows, cols, most)
			s.agree(t, what, s.tol.LogSoftmax, m, func(k kernels) { k.LogSoftmax(y, x) }, y)
			s.agree(t, what+", y is x", s.tol.LogSoftmax, m, func(k kernels) { k.LogSoftmax(z, z) }, z)
		}
	}
	eachShape(one)
	one(3, 5003)
}

func (s *suite) testEmbed(t *testing.T) {
	const nVocab = 41
	eachShape(func(rows, cols int) {
		m := newMemory(10)
		table, y, id := m.input(nVocab, cols), m.output(rows, cols), m.indices(rows, nVocab)
		s.agree(t, fmt.Sprintf("(%d, %d)", rows, cols), Tolerance{}, m, func(k kernels) { k.Embed(y, table, id) }, y)
	})
}

// testEmbedPacked checks the rows of packed weights: those that the weight packed has, told by its products with unit vectors,
// which round no number of the weight again.
func (s *suite) testEmbedPacked(t *testing.T) {
	b, ok := has[tensor.PackedEmbedder](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: rows of packed weights on backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		exact := Tolerance{}
		if dtype == tensor.I8 {
			exact.Rel = 1e-6 // the unit is 127 times a 127th
		}
		for _, shape := range [][2]int{{1, 1}, {33, 7}, {97, 64}, {16, 65}} {
			nOut, nIn := shape[0], shape[1]
			m := newMemory(11)
			table, y, id := m.input(nOut, nIn), m.output(nOut, nIn), m.indices(nOut, nOut)
			w := s.backend.pack(t, table, dtype)
			unit, columns := tensor.Zeros(nIn, nIn), tensor.Zeros(nIn, nOut)
			for i := range nIn {
				unit.Row(i)[i] = 1
			}
			s.backend.Linear(columns, unit, w, tensor.Mat{})
			b.EmbedPacked(y, w, id)
			for i, row := range id {
				for j, v := range y.Row(i) {
					want := columns.Row(j)[row]
					if d := math.Abs(float64(v - want)); !(d <= exact.Rel*math.Abs(float64(want))) {
						t.Fatalf("%v (%d, %d): element (%d, %d) is %v, want %v", dtype, nOut, nIn, row, j, v, want)
					}
				}
			}
		}
	}
}

// unfolding is the geometry of an Unfold over sequences of odd lengths, some of them empty.
type unfolding struct {
	kernel, stride, channels int
	xSeg, ySeg               tensor.Segments
}

func eachUnfolding(f func(what string, u unfolding)) {
	lengths := [][]int{{}, {0}, {1}, {2}, {3, 0, 1, 4}, {0, 5, 0, 12, 1, 2}, {50, 33}}
	for _, kernel := range []int{1, 3, 5} {
		for _, stride := range []int{1, 2, 3} {
			for _, channels := range []int{1, 5, 16, 80} {
				for _, length := range lengths {
					u := unfolding{kernel, stride, channels, tensor.NewSegments(length...), tensor.NewSegments()}
					for _, n := range length {
						u.ySeg = append(u.ySeg, int32(u.ySeg.Rows()+(n+stride-1)/stride))
					}
					f(fmt.Sprintf("kernel %d, stride %d, %d channels, lengths %v", kernel, stride, channels, length), u)
				}
			}
		}
	}
}

func (s *suite) testUnfold(t *testing.T) {
	eachUnfolding(func(what string, u unfolding) {
		m := newMemory(11)
		x, y := m.input(u.xSeg.Rows(), u.channels), m.output(u.ySeg.Rows(), u.kernel*u.channels)
		s.agree(t, what, Tolerance{}, m, func(k kernels) { k.Unfold(y, x, u.ySeg, u.xSeg, u.kernel, u.stride) }, y)
	})
}

// eachShape calls f with the shapes that element-wise kernels and row kernels are tried on.
func eachShape(f func(rows, cols int)) {
	for _, rows := range []int{0, 1, 2, 5, 33} {
		for _, cols := range colCounts {
			f(rows, cols)
		}
	}
	f(300, 1031)
}
