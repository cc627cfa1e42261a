package tensortest

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
)

// testGroupedLinear compares linears whose rows pass several weights with those of each group by itself.
func (s *suite) testGroupedLinear(t *testing.T) {
	b, ok := has[tensor.GroupedLinear](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: linears of groups of rows of backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		for _, size := range [][3]int{{12, 64, 128}, {30, 33, 65}, {300, 64, 128}, {420, 40, 70}} {
			s.groupedLinear(t, b, dtype, size, false, false)
			s.groupedLinear(t, b, dtype, size, true, false)
			s.groupedLinear(t, b, dtype, size, false, true)
		}
	}
}

// groupedLinear computes rows of the sizes (nRow, nIn, nOut): some of two adapters whose weights are made together, one of which has rows in two
// places; of a third whose weight takes the place of the first's; of a fourth whose weight was made before; and of two that pass the linear's
// weight, the second between scales and beside products of low rank.
func (s *suite) groupedLinear(t *testing.T, b tensor.GroupedLinear, dtype tensor.DType, size [3]int, gelu, add bool) {
	t.Helper()
	m := newMemory(67)
	nRow, nIn, nOut := size[0], size[1], size[2]
	x, w, biases := m.input(nRow, nIn), m.input(nOut, nIn), m.input(6, nOut)
	y, want := m.changing(nRow, nOut), m.output(nRow, nOut)
	scales := tensor.Scales{In: m.input(3, nIn), Out: m.input(3, nOut), Row: m.indices(nRow, 3)}
	p := s.backend.pack(t, w, dtype)
	made := func(u tensor.Update) (own tensor.Packed, change tensor.PackedUpdate) {
		change, err := b.PackUpdate(u, nOut, nIn)
		if err != nil {
			t.Fatal(err)
		}
		if own, err = b.NewMixed(p); err != nil {
			t.Fatal(err)
		}
		return own, change
	}
	us := updates(m, nOut, nIn)
	first, ofFirst := made(us["LoRA 5"])
	second, ofSecond := made(us["fLoRA 1"])
	third, ofThird := made(us["all"])
	fourth, ofFourth := made(us["HiRA 3"])
	for own, change := range map[tensor.Packed]tensor.PackedUpdate{first: ofFirst, second: ofSecond, third: ofThird, fourth: ofFourth} {
		b.Mix(own, p, change) // those of the first three are what the groups by themselves pass
	}
	scratch := [2]tensor.Packed{}
	for i := range scratch {
		scratch[i], _ = made(tensor.Update{Base: true})
	}
	low := make([]*tensor.LowRank, nRow)
	if lows, ok := has[tensor.LowRankLinear](s.backend.Backend); ok {
		factors, _, _, _ := lowRanks(t, lows.(tensor.Backend), m, nOut, nIn, dtype)
		for i := range low {
			low[i] = factors[i%len(factors)]
		}
	}

	at := func(part int) int { return part * nRow / 7 }
	groups := []tensor.RowGroup{
		{From: at(0), To: at(1), Weight: scratch[0], Update: ofFirst, Bias: biases.Slice(0, 1)},
		{From: at(3), To: at(4), Weight: scratch[0], Bias: biases.Slice(0, 1)},
		{From: at(1), To: at(2), Weight: scratch[1], Update: ofSecond},
		{From: at(4), To: at(5), Weight: scratch[0], Update: ofThird, Bias: biases.Slice(1, 2)},
		{From: at(2), To: at(3), Weight: fourth, Bias: biases.Slice(2, 3)},
		{From: at(5), To: at(6), Bias: biases.Slice(3, 4)},
		{From: at(6), To: nRow, Bias: biases.Slice(4, 5), Low: low[at(6):],
			Scales: tensor.Scales{In: scales.In, Out: scales.Out, Row: scales.Row[at(6):]}},
	}
	for i, own := range []tensor.Packed{first, first, second, third, fourth, p, p} {
		g := &groups[i]
		z := want.Slice(g.From, g.To)
		s.parts(z, x.Slice(g.From, g.To), own, g.Bias, g.Scales)
		if g.Low != nil {
			b.(tensor.LowRankLinear).AddLowRank(z, x.Slice(g.From, g.To), g.Low)
		}
	}
	switch {
	case gelu:
		s.backend.GELU(want, want)
	case add:
		s.backend.Add(want, y, want)
	}
	what := fmt.Sprintf("%v %v, GELU %t, added %t", dtype, size, gelu, add)
	b.GroupedLinear(y, x, p, groups, gelu, add)
	s.checkDevice(t, what)
	s.same(t, what, s.tol.Linear[dtype], y.Data, want.Data)
	m.verify(t, what)
}
