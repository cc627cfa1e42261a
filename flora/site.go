package flora

import (
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// site is what the adapters do at one linear, so that a step looks for it in one place.
type site struct {
	linear *whisper.Linear

	// in (nRow, nIn) and out (nRow, nOut) are the scales of all terms of all adapters; row 0, the identity's, is
	// ones. They have no rows until a term is scaled.
	in, out tensor.Mat
	used    []bool // by row

	of []placed // by index
}

// placed is what the adapter of an index does at a linear, and where its scales are.
type placed struct {
	*adapted         // nil: does not adapt the linear
	first    int32   // row of the site's scales for the first term, 0 where it is not scaled
	further  []int32 // those of the further terms
}

// put sets what index i does, nothing where a is nil.
func (t *site) put(i int, a *adapted) {
	for len(t.of) <= i {
		t.of = append(t.of, placed{})
	}
	t.free(&t.of[i])
	t.of[i] = placed{adapted: a}
	if a == nil || a.fromRows == 0 {
		return
	}
	f, p := a.factors, &t.of[i]
	if f.scales() {
		p.first = t.take(f, 0)
	}
	for k := f.further(); k < f.terms(); k++ {
		p.further = append(p.further, t.take(f, k))
	}
}

// take returns a row of scales that is free, and sets it to those of term k.
func (t *site) take(f *Factors, k int) int32 {
	if len(t.used) == 0 {
		t.used = append(t.used, true)
	}
	row := 1
	for row < len(t.used) && t.used[row] {
		row++
	}
	if row == len(t.used) {
		t.used = append(t.used, false)
	}
	t.used[row] = true
	t.in, t.out = withRows(t.in, len(t.used), t.linear.Weight.Cols), withRows(t.out, len(t.used), t.linear.Weight.Rows)
	set := func(to []float32, m tensor.Mat) {
		if m.IsZero() {
			setOnes(to)
		} else {
			copy(to, m.Row(k))
		}
	}
	set(t.in.Row(row), f.B)
	set(t.out.Row(row), f.A)
	return int32(row)
}

// free lets others have the rows of scales of p.
func (t *site) free(p *placed) {
	if p.first > 0 {
		t.used[p.first] = false
	}
	for _, row := range p.further {
		t.used[row] = false
	}
}

// withRows returns m with at least so many rows, those that it did not have of ones.
func withRows(m tensor.Mat, rows, cols int) tensor.Mat {
	if m.Rows >= rows {
		return m
	}
	grown := tensor.Zeros(max(rows, 2*m.Rows), cols)
	setOnes(grown.Data[copy(grown.Data, m.Data):])
	return grown
}
