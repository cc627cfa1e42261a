package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// attention is the operands of one Attention, each of them guarded on its own.
type attention struct {
	q      tensor.Mat
	seg    tensor.Segments
	kv     []tensor.KeyValue
	nHead  int
	causal bool
}

// queryKeys are the (nQuery, nKey) of the sequences of one call, with no fewer keys than queries.
var queryKeys = [][][2]int{
	{},
	{{0, 0}},
	{{1, 1}},
	{{1, 17}, {0, 5}, {5, 5}, {0, 0}, {3, 9}, {1, 1}},
	{{16, 16}, {1, 33}, {33, 40}, {2, 64}},
	{{64, 64}, {65, 130}, {1, 448}},
}

// heads are (nHead, nCol/nHead).
var heads = [][2]int{{1, 1}, {2, 3}, {3, 8}, {1, 17}, {2, 32}, {4, 64}}

// newAttention returns operands with scores of about ±sharpness, which softmax is the nearer to
// one key for the larger it is.
func newAttention(m *memory, shape [][2]int, nHead, nColHead int, causal bool, sharpness float32) attention {
	a := attention{nHead: nHead, causal: causal, seg: tensor.NewSegments()}
	nCol := nHead * nColHead
	for _, s := range shape {
		a.seg = append(a.seg, int32(a.seg.Rows()+s[0]))
		a.kv = append(a.kv, tensor.KeyValue{K: m.input(s[1], nCol), V: m.input(s[1], nCol)})
	}
	a.q = m.inputWithin(a.seg.Rows(), nCol, -sharpness, sharpness)
	return a
}

func (a attention) String() string {
	text := fmt.Sprintf("%d heads of %d, causal %t, (queries, keys)", a.nHead, a.q.Cols/a.nHead, a.causal)
	for i, s := range a.kv {
		from, to := a.seg.Range(i)
		text += fmt.Sprintf(" (%d, %d)", to-from, s.K.Rows)
	}
	return text
}

func (a attention) run(k kernels, y tensor.Mat) { k.Attention(y, a.q, a.seg, a.kv, a.nHead, a.causal) }

// pick returns the attention of the given sequences of a, in that order.
func (a attention) pick(m *memory, sequences ...int) attention {
	p := attention{nHead: a.nHead, causal: a.causal, seg: tensor.NewSegments()}
	var rows []float32
	for _, s := range sequences {
		from, to := a.seg.Range(s)
		rows = append(rows, a.q.Slice(from, to).Data...)
		p.seg = append(p.seg, int32(p.seg.Rows()+to-from))
		p.kv = append(p.kv, a.kv[s])
	}
	p.q = m.output(p.seg.Rows(), a.q.Cols)
	copy(p.q.Data, rows)
	m.freeze(p.q)
	return p
}

func eachAttention(f func(m *memory, a attention)) {
	for i, h := range heads {
		for _, shape := range queryKeys {
			m := newMemory(12)
			f(m, newAttention(m, shape, h[0], h[1], false, []float32{1, 20}[i%2]))
			f(m, newAttention(m, shape, h[0], h[1], true, []float32{20, 1}[i%2]))
		}
	}
}

func (s *suite) testAttention(t *testing.T) {
	eachAttention(func(m *memory, a attention) {
		y := m.output(a.q.Rows, a.q.Cols)
		s.agree(t, a.String(), s.tol.Attention, m, func(k kernels) { a.run(k, y) }, y)
	})
	m := newMemory(13)
	a := newAttention(m, [][2]int{{3, 20}, {1, 20}, {4, 20}}, 2, 16, false, 1)
	a.kv[1], a.kv[2] = a.kv[0], a.kv[0]
	y := m.output(a.q.Rows, a.q.Cols)
	s.agree(t, "three sequences with the same keys", s.tol.Attention, m, func(k kernels) { a.run(k, y) }, y)
	wide := newAttention(m, [][2]int{{2, 1500}, {100, 1500}}, 2, 64, false, 1)
	z := m.output(wide.q.Rows, wide.q.Cols)
	s.agree(t, wide.String(), s.tol.Attention, m, func(k kernels) { wide.run(k, z) }, z)
}

// testAttentionByQuery compares each query alone with all queries of its sequence: the step of a
// decoder with a cache is the last row of a pass over the whole prefix. The law of determinism is
// about sequences, so the two may differ by rounding.
func (s *suite) testAttentionByQuery(t *testing.T) {
	for _, h := range heads {
		for _, causal := range []bool{false, true} {
			m := newMemory(16)
			a := newAttention(m, [][2]int{{40, 70}}, h[0], h[1], causal, 3)
			all, y := m.output(a.q.Rows, a.q.Cols), m.output(1, a.q.Cols)
			a.run(s.backend, all)
			for i := range a.q.Rows {
				kv := a.kv[0]
				if causal {
					n := kv.K.Rows - a.q.Rows + i + 1
					kv = tensor.KeyValue{K: kv.K.Slice(0, n), V: kv.V.Slice(0, n)}
				}
				s.backend.Attention(y, a.q.Slice(i, i+1), tensor.NewSegments(1), []tensor.KeyValue{kv}, h[0], causal)
				s.tol.Attention.compare(t, fmt.Sprintf("query %d alone, of %v", i, a), y, all.Row(i))
			}
			m.verify(t, a.String())
		}
	}
}

func (s *suite) testAttentionBackward(t *testing.T) {
	eachAttention(func(m *memory, a attention) { s.attentionBackward(t, m, a, true, true, true) })
	for wanted := range 8 {
		m := newMemory(14)
		a := newAttention(m, [][2]int{{5, 9}, {0, 2}, {3, 3}}, 2, 8, true, 1)
		s.attentionBackward(t, m, a, wanted&1 != 0, wanted&2 != 0, wanted&4 != 0)
	}
	m := newMemory(15)
	a := newAttention(m, [][2]int{{3, 20}, {1, 20}, {4, 20}}, 2, 16, false, 1)
	a.kv[1], a.kv[2] = a.kv[0], a.kv[0]
	dq, dy := m.changing(a.q.Rows, a.q.Cols), m.input(a.q.Rows, a.q.Cols)
	shared := tensor.KeyValue{K: m.changing(20, a.q.Cols), V: m.changing(20, a.q.Cols)}
	dkv := []tensor.KeyValue{shared, shared, shared}
	s.agree(t, "three sequences with the same keys", s.tol.AttentionBackward, m, func(k kernels) {
		k.AttentionBackward(dq, dkv, dy, a.q, a.seg, a.kv, a.nHead, a.causal)
	}, dq, shared.K, shared.V)
}

// attentionBackward compares the gradients of a, of which only the wanted ones have destinations.
func (s *suite) attentionBackward(t *testing.T, m *memory, a attention, wantQ, wantK, wantV bool) {
	dy := m.input(a.q.Rows, a.q.Cols)
	var dq tensor.Mat
	var outs []tensor.Mat
	destination := func(wanted bool, rows int) (d tensor.Mat) {
		if wanted {
			d = m.changing(rows, a.q.Cols)
			outs = append(outs, d)
		}
		return d
	}
	dq = destination(wantQ, a.q.Rows)
	dkv := make([]tensor.KeyValue, len(a.kv))
	for i, kv := range a.kv {
		dkv[i] = tensor.KeyValue{K: destination(wantK, kv.K.Rows), V: destination(wantV, kv.V.Rows)}
	}
	what := fmt.Sprintf("%v, dq %t, dk %t, dv %t", a, wantQ, wantK, wantV)
	s.agree(t, what, s.tol.AttentionBackward, m, func(k kernels) {
		k.AttentionBackward(dq, dkv, dy, a.q, a.seg, a.kv, a.nHead, a.causal)
	}, outs...)
}
