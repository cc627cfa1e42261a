package tensortest

import (
	"math"
	"testing"

	"glossa/whisper/tensor"
)

var (
	nan         = float32(math.NaN())
	infinity    = float32(math.Inf(1))
	negInfinity = float32(math.Inf(-1))
)

// testNotFinite checks that NaN and infinity go where arithmetic takes them, as in the reference,
// and nowhere else: a kernel may neither lose one (a clamp, a maximum, a skipped zero) nor spread
// it to another row.
func (s *suite) testNotFinite(t *testing.T) {
	for _, v := range []float32{nan, infinity, negInfinity} {
		s.notFiniteProducts(t, v)
		s.notFiniteElementwise(t, v)
		s.notFiniteRows(t, v)
	}
	t.Run("LogSoftmax", s.testLogSoftmaxMasked)
	t.Run("Attention", s.testAttentionNaN)
}

// spoiled returns an input with v in element cols/3 of the middle row and as the last element.
func (m *memory) spoiled(rows, cols int, v float32) tensor.Mat {
	x := m.changing(rows, cols)
	x.Row(rows / 2)[cols/3] = v
	x.Data[len(x.Data)-1] = v
	m.freeze(x)
	return x
}

func (s *suite) notFiniteProducts(t *testing.T, v float32) {
	const nIn, nOut = 37, 45
	for _, nRow := range []int{1, 2, 13, 31} {
		m := newMemory(30)
		x, w, bias, y := m.changing(nRow, nIn), m.input(nOut, nIn), m.input(1, nOut), m.output(nRow, nOut)
		x.Row(nRow / 2)[5] = v
		x.Row(0)[nIn/3], x.Row(0)[nIn-1] = 0, 0 // meet what is spoiled of the weight
		m.freeze(x)
		for _, spoilt := range []tensor.Mat{w, m.spoiled(nOut, nIn, v), m.zeroColumn(nOut, nIn, 5)} {
			what := labelled("Linear", v)
			s.agree(t, what, s.tol.Linear[tensor.F32], m, func(k kernels) {
				k.Linear(y, x, k.pack(t, spoilt, tensor.F32), bias)
			}, y)
			s.agree(t, labelled("MatMul", v), s.tol.MatMul, m, func(k kernels) {
				k.MatMul(y, x, spoilt, tensor.TransB, false)
			}, y)
		}
		a, b, c := m.spoiled(nIn, nRow, v), m.input(nIn, nOut), m.changing(nRow, nOut)
		s.agree(t, labelled("MatMul of a transposed", v), s.tol.MatMul, m, func(k kernels) {
			k.MatMul(c, a, b, tensor.TransA, true)
		}, c)
	}
}

// zeroColumn returns a random input with a column of zeros, times which infinity is NaN.
func (m *memory) zeroColumn(rows, cols, column int) tensor.Mat {
	x := m.changing(rows, cols)
	for i := range rows {
		x.Row(i)[column] = 0
	}
	m.freeze(x)
	return x
}

func labelled(what string, v float32) string {
	switch v {
	case infinity:
		return what + " with +Inf"
	case negInfinity:
		return what + " with -Inf"
	}
	return what + " with NaN"
}

func (s *suite) notFiniteElementwise(t *testing.T, v float32) {
	for _, cols := range []int{1, 7, 16, 45} {
		m := newMemory(31)
		x, z, bias, y := m.spoiled(9, cols, v), m.spoiled(9, cols, -v), m.input(1, cols), m.output(9, cols)
		id := m.indices(9, 9)
		s.agree(t, labelled("Add", v), s.tol.Add, m, func(k kernels) { k.Add(y, x, z) }, y)
		s.agree(t, labelled("Scale", v), s.tol.Scale, m, func(k kernels) { k.Scale(y, z, x, id) }, y)
		s.agree(t, labelled("AddBias", v), s.tol.AddBias, m, func(k kernels) { k.AddBias(y, x, bias) }, y)
		s.agree(t, labelled("Embed", v), Tolerance{}, m, func(k kernels) { k.Embed(y, x, id) }, y)
		if v != negInfinity {
			s.agree(t, labelled("GELU", v), s.tol.GELU, m, func(k kernels) { k.GELU(y, x) }, y)
		}
	}
	if v == negInfinity {
		s.geluOfNegInfinity(t)
	}
}

// geluOfNegInfinity accepts both the value of the formula, -∞·0 = NaN, and its limit 0.
func (s *suite) geluOfNegInfinity(t *testing.T) {
	m := newMemory(32)
	x, y, want := m.spoiled(3, 20, negInfinity), m.output(3, 20), m.output(3, 20)
	s.backend.GELU(y, x)
	s.reference.GELU(want, x)
	m.verify(t, "GELU of -Inf")
	for i, v := range x.Data {
		if v == negInfinity {
			if y.Data[i] != 0 && y.Data[i] == y.Data[i] {
				t.Errorf("GELU of -Inf is %g, want 0 or NaN", y.Data[i])
			}
			y.Data[i] = want.Data[i]
		}
	}
	s.tol.GELU.compare(t, "GELU beside -Inf", y, want.Data)
}

func (s *suite) notFiniteRows(t *testing.T, v float32) {
	for _, cols := range []int{2, 7, 16, 45, 200} {
		m := newMemory(33)
		x, gamma, beta, y := m.spoiled(9, cols, v), m.input(1, cols), m.input(1, cols), m.output(9, cols)
		s.agree(t, labelled("LayerNorm", v), s.tol.LayerNorm, m, func(k kernels) { k.LayerNorm(y, x, gamma, beta) }, y)
		s.agree(t, labelled("LogSoftmax", v), s.tol.LogSoftmax, m, func(k kernels) { k.LogSoftmax(y, x) }, y)
	}
}

// testLogSoftmaxMasked checks rows in which logit filters have set all but some, or all, to -Inf.
func (s *suite) testLogSoftmaxMasked(t *testing.T) {
	for _, cols := range []int{1, 7, 16, 45, 5003} {
		m := newMemory(34)
		x, y := m.changing(6, cols), m.output(6, cols)
		for i := range x.Rows {
			for j := range x.Row(i) {
				if i == 0 || j%(i+1) != 0 {
					x.Row(i)[j] = negInfinity
				}
			}
		}
		m.freeze(x)
		s.agree(t, "LogSoftmax of masked rows", s.tol.LogSoftmax, m, func(k kernels) { k.LogSoftmax(y, x) }, y)
	}
}

// testAttentionNaN checks that NaN in a query, key or value reaches the rows that see it and stays
// in its sequence and head.
func (s *suite) testAttentionNaN(t *testing.T) {
	const nHead, nColHead = 3, 16
	shape := [][2]int{{5, 9}, {20, 20}, {1, 33}, {3, 70}}
	for _, causal := range []bool{false, true} {
		for operand, what := range []string{"NaN in a query", "NaN in the last key", "NaN in the last value"} {
			m := newMemory(35)
			a := newAttention(m, shape, nHead, nColHead, causal, 1)
			spoilt := []tensor.Mat{a.q, a.kv[1].K, a.kv[1].V}[operand]
			spoilt.Row(spoilt.Rows - 1)[nColHead+4] = nan
			m.freeze(spoilt)
			y := m.output(a.q.Rows, a.q.Cols)
			s.agree(t, what+" of "+a.String(), s.tol.Attention, m, func(k kernels) {
				a.run(k, y)
				if causal && operand == 2 {
					// The earlier queries do not see the value, which a kernel may multiply by
					// their probability of zero: that column of theirs is not compared.
					from, to := a.seg.Range(1)
					for i := from; i < to-1; i++ {
						y.Row(i)[nColHead+4] = 0
					}
				}
			}, y)
		}
	}
}
