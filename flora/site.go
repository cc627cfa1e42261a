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
	used    []bool         // by row
	placed  *tensor.Memory // of in and out on a device

	of []placed // by index
}

// placed is what the adapter of an index does at a linear, and where its scales are.
type placed struct {
	*adapted         // nil: does not adapt the linear
	first    int32   // row of the site's scales for the first term, 0 where it is not scaled
	further  []int32 // those of the further terms
}

// put sets what index i does on b, nothing where a is nil. The error is that of a device without memory for more scales;
// index i does nothing then.
func (t *site) put(b tensor.Backend, i int, a *adapted) error {
	for len(t.of) <= i {
		t.of = append(t.of, placed{})
	}
	t.free(&t.of[i])
	t.of[i] = placed{adapted: a}
	if a == nil || a.fromRows == 0 {
		return nil
	}
	in, out := t.in, t.out
	f, p := a.factors, &t.of[i]
	if f.scales() {
		p.first = t.take(f, 0)
	}
	for k := f.further(); k < f.terms(); k++ {
		p.further = append(p.further, t.take(f, k))
	}
	if err := t.place(b, p, in.Rows); err != nil {
		t.free(p)
		t.of[i], t.in, t.out = placed{}, in, out
		t.used = t.used[:min(len(t.used), max(in.Rows, 1))]
		return err
	}
	return nil
}

// place brings the scales of p to a device, or all where there were less than so many rows before.
func (t *site) place(b tensor.Backend, p *placed, before int) error {
	d, ok := b.(tensor.Device)
	if !ok {
		return nil
	}
	if t.in.Rows > before {
		m, err := tensor.Place(b, []*tensor.Mat{&t.in, &t.out}, []tensor.Mat{t.in, t.out})
		if err == nil {
			t.placed.Free() // what was called before may still use it
			t.placed = m
		}
		return err
	}
	for _, row := range append([]int32{p.first}, p.further...) {
		for _, m := range []tensor.Mat{t.in, t.out} {
			if row > 0 {
				d.Write(m.Slice(int(row), int(row)+1), m.Row(int(row)))
			}
		}
	}
	return nil
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
