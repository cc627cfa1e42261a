package tensortest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
)

// lowRankRanks are ranks that kernels take whole, and ones that they do not.
var lowRankRanks = []int{0, 1, 2, 3, 4, 5, 8, 13, 16}

// lowRanks returns factors of every rank for a linear (nOut, nIn), and their numbers. Those of rank 0, and every
// other one, add to the bias.
func lowRanks(t *testing.T, b tensor.Backend, m *memory, nOut, nIn int, dtype tensor.DType) (packed []*tensor.LowRank, u, v, d []tensor.Mat) {
	for i, rank := range lowRankRanks {
		var added, out, in tensor.Mat
		if rank > 0 {
			out, in = m.input(nOut, rank), m.input(rank, nIn)
		}
		if i%2 == 0 {
			added = m.input(1, nOut)
		}
		u, v, d = append(u, out), append(v, in), append(d, added)
		l, err := tensor.NewLowRank(b, out, in, added, dtype)
		if err != nil {
			t.Fatal(err)
		}
		packed = append(packed, l)
	}
	return packed, u, v, d
}

// testLowRankLinear holds products of low rank beside a linear to their equation, and to the law of determinism.
func (s *suite) testLowRankLinear(t *testing.T) {
	b, ok := has[tensor.LowRankLinear](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: products of low rank of backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		for _, c := range [][3]int{{0, 3, 5}, {1, 33, 65}, {12, 64, 128}, {40, 70, 31}, {300, 40, 70}} {
			s.lowRankLinear(t, b, dtype, c)
		}
	}
}

// lowRankLinear compares products of the sizes (nRow, nIn, nOut), whose rows have factors of every rank and none.
func (s *suite) lowRankLinear(t *testing.T, b tensor.LowRankLinear, dtype tensor.DType, size [3]int) {
	m := newMemory(64)
	nRow, nIn, nOut := size[0], size[1], size[2]
	x, w, bias := m.input(nRow, nIn), m.input(nOut, nIn), m.input(1, nOut)
	scales := tensor.Scales{In: m.input(2, nIn), Out: m.input(2, nOut), Row: m.indices(nRow, 2)}
	factors, u, v, d := lowRanks(t, s.backend.Backend, m, nOut, nIn, dtype)
	low, which := make([]*tensor.LowRank, nRow), make([]int, nRow)
	for i := range low {
		if which[i] = i*7%(len(factors)+1) - 1; which[i] >= 0 {
			low[i] = factors[which[i]]
		}
	}
	p, product := s.backend.pack(t, w, dtype), s.tol.Linear[dtype]
	for _, sc := range []tensor.Scales{{}, scales} {
		what := fmt.Sprintf("%v %v, scaled %t", dtype, size, !sc.In.IsZero())
		y, base, alone, added := m.output(nRow, nOut), m.output(nRow, nOut), m.output(1, nOut), m.output(nRow, nOut)
		b.LowRankLinear(base, x, p, bias, sc, make([]*tensor.LowRank, nRow), false)
		b.LowRankLinear(y, x, p, bias, sc, low, false)
		copy(added.Data, base.Data)
		b.AddLowRank(added, x, low)
		s.same(t, what+", added after", product, y.Data, added.Data)
		for i := range nRow {
			if low[i] == nil {
				s.same(t, fmt.Sprintf("%s, row %d without factors", what, i), product, y.Row(i), base.Row(i))
				continue
			}
			k := which[i]
			compareLowRank(t, fmt.Sprintf("%s, rank %d", what, lowRankRanks[k]), y.Row(i), base.Row(i), x.Row(i), u[k], v[k], d[k], dtype)
			one := sc
			if sc.Row != nil {
				one.Row = sc.Row[i : i+1]
			}
			b.LowRankLinear(alone, x.Slice(i, i+1), p, bias, one, low[i:i+1], false)
			s.same(t, fmt.Sprintf("%s, row %d alone", what, i), product, alone.Row(0), y.Row(i))
		}
		s.backend.GELU(added, y)
		b.LowRankLinear(y, x, p, bias, sc, low, true)
		s.same(t, what+", GELU", product, y.Data, added.Data)
		m.verify(t, what)
		if s.counts() {
			if n := testing.AllocsPerRun(20, func() { b.LowRankLinear(y, x, p, bias, sc, low, true) }); n != 0 {
				t.Errorf("%s: %g allocations", what, n)
			}
		}
	}
}

// compareLowRank compares y with base + (x vᵀ) uᵀ + d, of factors that are rounded to 16 bits beside weights of less
// than 32.
func compareLowRank(t *testing.T, what string, y, base, x []float32, u, v, d tensor.Mat, dtype tensor.DType) {
	t.Helper()
	rounding := 0x1p-7
	switch dtype {
	case tensor.F32:
		rounding = 2e-6
	case tensor.F16:
		rounding = 0x1p-10
	}
	for j := range y {
		want, size := float64(base[j]), math.Abs(float64(base[j]))
		for k := range v.Rows {
			for i, xi := range x {
				term := float64(xi) * float64(v.Row(k)[i]) * float64(u.Row(j)[k])
				want, size = want+term, size+math.Abs(term)
			}
		}
		if !d.IsZero() {
			want += float64(d.Data[j])
		}
		if e := math.Abs(float64(y[j]) - want); !(e <= rounding*(size+1)) {
			t.Fatalf("%s: column %d is %v, want %v", what, j, y[j], want)
		}
	}
}

// testAddRows compares rows that are added with the sums.
func (s *suite) testAddRows(t *testing.T) {
	b, ok := has[tensor.RowAdder](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: sums of rows of backend %s absent", s.backend.Name())
	}
	eachShape(func(rows, cols int) {
		m := newMemory(65)
		y, x, row := m.changing(5, cols), m.input(rows, cols), m.indices(rows, 5)
		want := append([]float32(nil), y.Data...)
		for i, to := range row {
			for j, v := range x.Row(i) {
				want[int(to)*cols+j] += v
			}
		}
		b.AddRows(y, x, row)
		identical(t, fmt.Sprintf("(%d, %d)", rows, cols), y.Data, want)
		m.verify(t, "rows that are added")
	})
}

// updates are those of every kind of adapter for a weight (nOut, nIn).
func updates(m *memory, nOut, nIn int) map[string]tensor.Update {
	a, b, u, v := m.input(3, nOut), m.input(3, nIn), m.input(nOut, 5), m.input(5, nIn)
	return map[string]tensor.Update{
		"nothing": {Base: true},
		"fLoRA 1": {A: a.Slice(0, 1), B: b.Slice(0, 1)},
		"fLoRA 3": {A: a, B: b},
		"HiRA 3":  {Base: true, A: a, B: b},
		"LoRA 5":  {Base: true, U: u, V: v},
		"DoRA 5":  {A: a.Slice(1, 2), U: u, V: v},
		"IA3":     {B: b.Slice(1, 2)},
		"UV":      {U: u, V: v},
		"all":     {Base: true, A: a, B: b, U: u, V: v},
	}
}

// testMix compares updates of packed weights with the equation.
func (s *suite) testMix(t *testing.T) {
	b, ok := has[tensor.Mixer](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: updates of packed weights of backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		for _, size := range [][2]int{{1, 1}, {31, 7}, {64, 128}, {31, 136}, {70, 33}, {96, 513}} {
			for _, balanced := range []bool{false, true} {
				s.mix(t, b, dtype, size[0], size[1], balanced)
			}
		}
	}
}

func (s *suite) mix(t *testing.T, b tensor.Mixer, dtype tensor.DType, nOut, nIn int, balanced bool) {
	m := newMemory(66)
	w, x := m.input(nOut, nIn), m.input(3, nIn)
	p := s.backend.pack(t, w, dtype)
	if packer, ok := has[tensor.BalancedPacker](s.backend.Backend); ok && balanced {
		ranges := m.inputWithin(1, nIn, 0.1, 3)
		p, _ = packer.PackBalanced(w, dtype, ranges.Data)
	}
	packed := tensor.Weight{Mat: tensor.Mat{Rows: nOut, Cols: nIn}, Packed: p}
	before, ok, err := packed.Plain(s.backend.Backend)
	if !ok || err != nil {
		t.Fatalf("backend %s updates weights, and cannot look them up: %v", s.backend.Name(), err)
	}
	for name, u := range updates(m, nOut, nIn) {
		what := fmt.Sprintf("%s of %v (%d, %d), balanced %t", name, dtype, nOut, nIn, balanced)
		change, err := b.PackUpdate(u, nOut, nIn)
		room, err2 := b.NewMixed(p)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		mixed := tensor.Weight{Mat: packed.Mat, Packed: room}
		b.Mix(mixed.Packed, p, change)
		got, _, _ := mixed.Plain(s.backend.Backend)
		compareMixed(t, what, got, u.Apply(before), dtype, balanced)
		y, again := m.output(3, nOut), m.output(3, nOut)
		s.backend.Linear(y, x, mixed.Packed, tensor.Mat{})
		b.Mix(mixed.Packed, p, change)
		s.backend.Linear(again, x, mixed.Packed, tensor.Mat{})
		identical(t, what+", again", again.Data, y.Data)
		if s.counts() {
			if n := testing.AllocsPerRun(20, func() { b.Mix(mixed.Packed, p, change) }); n != 0 {
				t.Errorf("%s: %g allocations", what, n)
			}
		}
	}
	after, _, _ := packed.Plain(s.backend.Backend)
	identical(t, "the weight that was not to be changed", after.Data, before.Data)
	m.verify(t, "updates")
}

// compareMixed compares a mixed weight with the equation's, which a format rounds.
func compareMixed(t *testing.T, what string, got, want tensor.Mat, dtype tensor.DType, balanced bool) {
	t.Helper()
	for i := range want.Rows {
		greatest := 0.0
		for _, v := range want.Row(i) {
			greatest = max(greatest, math.Abs(float64(v)))
		}
		for j, v := range want.Row(i) {
			allowed := 2e-6 * (greatest + 1)
			switch {
			case dtype == tensor.BF16:
				allowed += 0x1p-8 * math.Abs(float64(v))
			case dtype == tensor.F16:
				allowed += 0x1p-11 * math.Abs(float64(v))
			case dtype == tensor.I8 && balanced: // columns differ in what they round to
				allowed += greatest / 10
			case dtype == tensor.I8:
				allowed += greatest / 253
			}
			if e := math.Abs(float64(got.Row(i)[j] - v)); !(e <= allowed) {
				t.Fatalf("%s: element (%d, %d) is %v, want %v", what, i, j, got.Row(i)[j], v)
			}
		}
	}
}
