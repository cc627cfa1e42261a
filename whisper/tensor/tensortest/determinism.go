package tensortest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"glossa/whisper/tensor"
)

// rowKernel is a kernel whose row i of y depends on row i of x and on nothing else of x.
type rowKernel struct {
	name      string
	nIn, nOut int       // columns of x and of y
	tol       Tolerance // of a backend that [MayRegroup]

	// call computes y for x, which are the rows from … of the whole.
	call func(y, x tensor.Mat, from int)
}

// rowKernels returns the kernels of independent rows of the backend for n rows.
func (s *suite) rowKernels(t *testing.T, m *memory, n, nIn, nOut int, dtypes []tensor.DType) []rowKernel {
	const nScale = 7
	b, exact, product := s.backend, Tolerance{}, s.tol.MatMul
	w, v, bias := m.input(nOut, nIn), m.input(nIn, nOut), m.input(1, nOut)
	gamma, beta, scale, other := m.input(1, nIn), m.input(1, nIn), m.input(nScale, nIn), m.input(n, nIn)
	index := m.indices(n, nScale)
	ks := []rowKernel{
		{"MatMul", nIn, nOut, product, func(y, x tensor.Mat, _ int) { b.MatMul(y, x, v, tensor.NoTrans, false) }},
		{"MatMul TransB", nIn, nOut, product, func(y, x tensor.Mat, _ int) { b.MatMul(y, x, w, tensor.TransB, false) }},
		{"MatMul TransA", nIn, nOut, product, func(y, x tensor.Mat, _ int) { b.MatMul(y, transpose(x), v, tensor.TransA, false) }},
		{"MatMul accumulate", nIn, nOut, product, func(y, x tensor.Mat, _ int) {
			for i := range y.Data {
				y.Data[i] = bias.Data[i%nOut]
			}
			b.MatMul(y, x, w, tensor.TransB, true)
		}},
		{"Add", nIn, nIn, exact, func(y, x tensor.Mat, from int) { b.Add(y, x, other.Slice(from, from+x.Rows)) }},
		{"AddBias", nIn, nIn, exact, func(y, x tensor.Mat, _ int) { b.AddBias(y, x, beta) }},
		{"Scale", nIn, nIn, exact, func(y, x tensor.Mat, from int) { b.Scale(y, x, scale, index[from:from+x.Rows]) }},
		{"LayerNorm", nIn, nIn, exact, func(y, x tensor.Mat, _ int) { b.LayerNorm(y, x, gamma, beta) }},
		{"GELU", nIn, nIn, exact, func(y, x tensor.Mat, _ int) { b.GELU(y, x) }},
		{"LogSoftmax", nIn, nIn, exact, func(y, x tensor.Mat, _ int) { b.LogSoftmax(y, x) }},
		{"Embed", nIn, nIn, exact, func(y, x tensor.Mat, from int) { b.Embed(y, scale, index[from:from+x.Rows]) }},
	}
	for _, dtype := range dtypes {
		p := b.pack(t, w, dtype)
		ks = append(ks,
			rowKernel{"Linear " + dtype.String(), nIn, nOut, s.tol.Linear[dtype], func(y, x tensor.Mat, _ int) { b.Linear(y, x, p, tensor.Mat{}) }},
			rowKernel{"Linear " + dtype.String() + " with bias", nIn, nOut, s.tol.Linear[dtype], func(y, x tensor.Mat, _ int) { b.Linear(y, x, p, bias) }})
	}
	return ks
}

func transpose(x tensor.Mat) tensor.Mat {
	y := tensor.Zeros(x.Cols, x.Rows)
	for i := range x.Rows {
		for j, v := range x.Row(i) {
			y.Data[j*x.Rows+i] = v
		}
	}
	return y
}

// testDeterminism checks the law of package tensor: a row, or a sequence of an attention, has
// bitwise the same result alone and within any number of others.
func (s *suite) testDeterminism(t *testing.T) {
	var dtypes []tensor.DType
	for dtype := range s.tol.Linear {
		dtypes = append(dtypes, dtype)
	}
	slices.Sort(dtypes)
	few := []int{1, 2, 5, 12, 13, 70}
	for _, c := range []struct {
		nRow, nIn, nOut int
		batches         []int
		long            bool // left out under the race detector
	}{
		{101, 1, 1, few, false},
		{101, 5, 3, few, false},
		{101, 33, 17, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 23, 24, 25, 31, 32, 33, 48, 64, 65, 100}, false},
		{101, 130, 65, few, true},
		{101, 1030, 40, []int{1, 13}, true},
		{101, 130, 520, []int{1, 12, 70}, true},
	} {
		if c.long && raceDetector {
			continue
		}
		m := newMemory(40)
		x := m.inputWithin(c.nRow, c.nIn, -3, 3)
		for _, k := range s.rowKernels(t, m, c.nRow, c.nIn, c.nOut, dtypes) {
			t.Run(fmt.Sprintf("%s/%dx%d", k.name, c.nIn, c.nOut), func(t *testing.T) { s.testRows(t, k, x, c.batches) })
		}
		m.verify(t, "determinism")
	}
	t.Run("Attention", s.testAttentionAlone)
}

// testRows compares runs over some rows of x with a run over all.
func (s *suite) testRows(t *testing.T, k rowKernel, x tensor.Mat, batches []int) {
	all := tensor.Zeros(x.Rows, k.nOut)
	k.call(all, x, 0)
	for _, n := range batches {
		for _, from := range []int{0, 1, (x.Rows - n) / 2, x.Rows - n} {
			from = min(from, x.Rows-n)
			y := tensor.Zeros(n, k.nOut)
			k.call(y, x.Slice(from, from+n), from)
			what := fmt.Sprintf("rows %d:%d of %d", from, from+n, x.Rows)
			if !s.same(t, what, k.tol, y.Data, all.Slice(from, from+n).Data) {
				return
			}
		}
	}
}

// deterministicShape mixes the sequences of an encoder, a prompt, and single decoding steps.
var deterministicShape = [][2]int{{1, 30}, {64, 64}, {0, 0}, {1, 7}, {5, 21}, {1, 1}, {1, 200}, {33, 150}, {17, 17}}

// testAttentionAlone compares each sequence alone, in pairs, and in reversed order with all.
func (s *suite) testAttentionAlone(t *testing.T) {
	for _, h := range heads {
		for _, causal := range []bool{false, true} {
			m := newMemory(41)
			a := newAttention(m, deterministicShape, h[0], h[1], causal, 3)
			all := tensor.Zeros(a.q.Rows, a.q.Cols)
			a.run(s.backend, all)
			var orders [][]int
			var reversed []int
			for i := range a.kv {
				orders = append(orders, []int{i}, []int{i, (i + 3) % len(a.kv)}, []int{i, i, i})
				reversed = append([]int{i}, reversed...)
			}
			for _, order := range append(orders, reversed) {
				p := a.pick(m, order...)
				y := m.output(p.q.Rows, p.q.Cols)
				p.run(s.backend, y)
				for i, sequence := range order {
					from, to := a.seg.Range(sequence)
					pFrom, pTo := p.seg.Range(i)
					what := fmt.Sprintf("sequence %d within %v of %v", sequence, order, a)
					if !s.same(t, what, s.tol.Attention, y.Slice(pFrom, pTo).Data, all.Slice(from, to).Data) {
						return
					}
				}
			}
			m.verify(t, a.String())
		}
	}
}

// testConcurrency runs the same kernels from several goroutines at once, each over its own
// operands, and compares the results with those of running alone.
func (s *suite) testConcurrency(t *testing.T) {
	const nGoroutine, nCall, nIn, nOut = 4, 3, 96, 64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range nGoroutine {
		m := newMemory(43 + uint64(g))
		a := newAttention(m, deterministicShape, 2, 32, true, 1)
		nRow := a.q.Rows
		x := m.input(nRow, nIn)
		ks := append(s.rowKernels(t, m, nRow, nIn, nOut, []tensor.DType{tensor.F32}),
			rowKernel{"Attention", nIn, a.q.Cols, s.tol.Attention, func(y, _ tensor.Mat, _ int) { a.run(s.backend, y) }})
		want := make([]tensor.Mat, len(ks))
		for i, k := range ks {
			want[i] = tensor.Zeros(nRow, k.nOut)
			k.call(want[i], x, 0)
		}
		wg.Go(func() {
			<-start
			for n := range nCall * len(ks) {
				k := ks[n%len(ks)]
				y := tensor.Zeros(nRow, k.nOut)
				k.call(y, x, 0)
				if !s.same(t, k.name+" beside other kernels", Tolerance{}, y.Data, want[n%len(ks)].Data) {
					return
				}
			}
			m.verify(t, "concurrent kernels")
		})
	}
	close(start)
	wg.Wait()
}
