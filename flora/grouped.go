package flora

import (
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Weights that are mixed together for a backend that takes all rows at once are so many at most, and take so many bytes where there is more than one.
const (
	mixedTogether      = 8
	mixedTogetherBytes = 64 << 20
)

// groups reports whether the backend takes all rows of a linear at once.
func (b *Batch) groups(l *whisper.Linear) bool {
	_, ok := b.backend.(tensor.GroupedLinear)
	return ok && l.Weight.Packed != nil
}

// computeGrouped computes the linear at hand by a backend that takes all rows at once, with add to what is in y. No row has copies for further terms.
func (b *Batch) computeGrouped(add bool) {
	p, t := &b.pass, &b.weights
	mixed := b.listRows()
	scratch, err := b.scratch(mixed)
	if err != nil {
		p.s.Fail(err)
	} else {
		assign(t.rows, scratch)
		p.s.GroupedLinearTo(p.y, p.x, &p.l.Weight, t.rows, p.gelu, add)
	}
	for _, w := range scratch {
		t.put(w) // whatever is mixed there next, is after these rows have passed it
	}
	clear(t.rows)
	t.rows = t.rows[:0]
}

// listRows lists the rows of the linear at hand by the weights that they pass. Those of an adapter whose weight is to be mixed have its update, and no
// weight; there are so many such adapters.
func (b *Batch) listRows() (mixed int) {
	p, t := &b.pass, &b.weights
	s, l := p.s, p.l
	scales, low := p.operands(s, p.at, 0, p.x.Rows)
	b.runs(func(from, to int) {
		g := tensor.RowGroup{From: from, To: to, Bias: l.Bias, Scales: scales}
		if g.Scales.Row != nil {
			g.Scales.Row = scales.Row[from:to]
		}
		if low != nil {
			g.Low = low[from:to]
		}
		t.rows = append(t.rows, g)
	}, func(k int32, first int) {
		a := p.at.of[k].adapted
		g := tensor.RowGroup{Bias: a.biasOf(l)}
		if own := b.kept(a); own != nil {
			g.Weight = own.Packed
		} else {
			g.Update = a.update
			mixed++
		}
		runsOf(s, k, first, func(from, to int) {
			g.From, g.To = from, to
			t.rows = append(t.rows, g)
		})
	})
	return mixed
}

// scratch returns memory for some of the weights of the linear at hand that are to be mixed: one at least, where there are any.
func (b *Batch) scratch(mixed int) (scratch []*tensor.Weight, err error) {
	if mixed == 0 {
		return nil, nil
	}
	l := b.pass.l
	m := b.backend.(tensor.Mixer)
	most := max(1, min(mixed, mixedTogether, int(mixedTogetherBytes/tensor.PackedBytes(l.Weight.Packed))))
	first, err := b.taken(m, l)
	if err != nil {
		return nil, err
	}
	scratch = append(scratch, first)
	for len(scratch) < most {
		w, err := b.weights.take(m, l)
		if err != nil {
			break // there is less room
		}
		scratch = append(scratch, w)
	}
	return scratch, nil
}

// assign has weights that are to be mixed be made in scratch, one after the other and again from the beginning: each for the first rows that pass it.
func assign(rows []tensor.RowGroup, scratch []*tensor.Weight) {
	mixed := 0
	var last tensor.PackedUpdate
	for i := range rows {
		g := &rows[i]
		switch {
		case g.Update == nil:
			continue
		case g.Update == last:
			g.Weight, g.Update = rows[i-1].Weight, nil
			continue
		}
		g.Weight, last = scratch[mixed%len(scratch)].Packed, g.Update
		mixed++
	}
}
