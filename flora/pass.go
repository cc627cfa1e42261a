package flora

import (
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// pass computes rows of a linear that pass the base model's weight together, each under its adapter. The
// terms are added in an order that is the same for all: the first, the bias, the further ones, the product
// of U and V, what is added to the bias.
type pass struct {
	s    *whisper.Step
	l    *whisper.Linear
	at   *site
	x, y tensor.Mat
	gelu bool

	row []int32           // of the scales, for each row of the pass
	low []*tensor.LowRank // for each row

	// Copies of rows for their further terms stand behind the rows.
	source []int32 // row of x of each row and copy
	sum    []int32 // row of the pass that each copy is added to

	from, to int
	stacked  func() tensor.Mat // p.computeStacked, made once
}

func (p *pass) begin() { p.stacked = p.computeStacked }

// stackRows is about the most rows and copies that pass a weight at once, so that their memory is bounded.
const stackRows = 4096

// byRows computes rows from:to of y.
func (p *pass) byRows(from, to int) {
	adapters := p.s.AdapterRows()
	copies := 0
	for _, k := range adapters[from:to] {
		copies = max(copies, len(p.at.of[k].further))
	}
	if copies == 0 {
		p.direct(adapters, from, to)
		return
	}
	size := max(stackRows/(1+copies), 1)
	for ; from < to; from += size {
		p.from, p.to = from, min(from+size, to)
		p.s.Scope(p.stacked)
	}
}

// direct computes rows that have no further terms.
func (p *pass) direct(adapters []int32, from, to int) {
	p.row, p.low = p.row[:0], p.low[:0]
	scaled, lowRank := false, false
	for _, k := range adapters[from:to] {
		a := &p.at.of[k]
		p.row = append(p.row, a.first)
		scaled = scaled || a.first > 0
		var l *tensor.LowRank
		if a.adapted != nil {
			l = a.low
		}
		p.low = append(p.low, l)
		lowRank = lowRank || l != nil
	}
	scales, low := tensor.Scales{}, []*tensor.LowRank(nil)
	if scaled {
		scales = tensor.Scales{In: p.at.in, Out: p.at.out, Row: p.row}
	}
	if lowRank {
		low = p.low
	}
	p.s.LinearTo(p.y.Slice(from, to), p.x.Slice(from, to), &p.l.Weight, p.l.Bias, scales, low, p.gelu)
}

// computeStacked computes rows p.from:p.to, of which some have further terms: each of these is a copy of its
// row, scaled otherwise. It returns nothing.
func (p *pass) computeStacked() tensor.Mat {
	n := p.to - p.from
	lowRank := p.stack(p.s.AdapterRows()[p.from:p.to])
	l := p.l
	all := p.s.New(len(p.row), l.Weight.Rows)
	x := p.s.Embed(p.x, p.source)
	p.s.LinearTo(all, x, &l.Weight, tensor.Mat{}, tensor.Scales{In: p.at.in, Out: p.at.out, Row: p.row}, nil, false)
	y := p.y.Slice(p.from, p.to)
	copy(y.Data, all.Data)
	if !l.Bias.IsZero() {
		p.s.AddBiasTo(&y, l.Bias)
	}
	p.s.AddRowsTo(y, all.Slice(n, all.Rows), p.sum)
	if lowRank {
		p.s.AddLowRankTo(y, p.x.Slice(p.from, p.to), p.low)
	}
	if p.gelu {
		p.s.GELUTo(&y)
	}
	return tensor.Mat{}
}

// stack lists rows under adapters, and then their copies. It reports whether any has a product of low rank.
func (p *pass) stack(adapters []int32) (lowRank bool) {
	p.row, p.low, p.source, p.sum = p.row[:0], p.low[:0], p.source[:0], p.sum[:0]
	for i, k := range adapters {
		a := &p.at.of[k]
		p.row, p.source = append(p.row, a.first), append(p.source, int32(p.from+i))
		var l *tensor.LowRank
		if a.adapted != nil {
			l = a.low
		}
		p.low = append(p.low, l)
		lowRank = lowRank || l != nil
	}
	for i, k := range adapters {
		for _, row := range p.at.of[k].further {
			p.row, p.source = append(p.row, row), append(p.source, int32(p.from+i))
			p.sum = append(p.sum, int32(i))
		}
	}
	return lowRank
}

// weights are those that adapters have of their own.
type weights struct {
	scratch []tensor.Packed // one of each shape
	mixed   tensor.Weight
	merged  int64 // bytes
}

// of returns the weight of a linear under an adapter, until the next call.
func (t *weights) of(b *Batch, l *whisper.Linear, a *adapted) *tensor.Weight {
	w := l.Weight.Packed
	m, ok := b.backend.(tensor.Mixer)
	if !ok || w == nil {
		t.mixed = b.remade(l, a)
		return &t.mixed
	}
	if a.strategy == Merged {
		if a.kept.Packed != nil && a.base == w {
			return &a.kept
		}
		t.drop(a)
		if size := tensor.PackedBytes(w); t.merged+size <= b.options.Policy.MergedBytes {
			t.merged += size
			a.resident.merged.Add(size)
			a.base, a.kept = w, tensor.Weight{Mat: l.Weight.Mat, Packed: m.NewMixed(w)}
			m.Mix(a.kept.Packed, w, a.update)
			return &a.kept
		}
	}
	t.mixed = tensor.Weight{Mat: tensor.Mat{Rows: l.Weight.Rows, Cols: l.Weight.Cols}, Packed: t.room(m, w)}
	m.Mix(t.mixed.Packed, w, a.update)
	return &t.mixed
}

// room returns memory for an update of w.
func (t *weights) room(m tensor.Mixer, w tensor.Packed) tensor.Packed {
	nOut, nIn := w.Shape()
	i := slices.IndexFunc(t.scratch, func(p tensor.Packed) bool {
		rows, cols := p.Shape()
		return rows == nOut && cols == nIn && p.DType() == w.DType()
	})
	if i < 0 {
		t.scratch = append(t.scratch, m.NewMixed(w))
		i = len(t.scratch) - 1
	}
	return t.scratch[i]
}

// drop forgets a merged weight.
func (t *weights) drop(a *adapted) {
	if a.kept.Packed == nil {
		return
	}
	size := tensor.PackedBytes(a.kept.Packed)
	t.merged -= size
	a.resident.merged.Add(-size)
	a.kept, a.base = tensor.Weight{}, nil
}

// forget drops the merged weights of a resident.
func (t *weights) forget(r *Resident) {
	for _, a := range r.sites {
		t.drop(a)
	}
}

// remade returns the weight of a linear under an adapter, where the backend does not mix: made of the plain one.
func (b *Batch) remade(l *whisper.Linear, a *adapted) tensor.Weight {
	plain, ok := l.Weight.Plain(b.backend)
	if !ok {
		panic("flora: weights of " + l.Site.String() + " cannot be looked up")
	}
	u := a.factors.update()
	w := tensor.Weight{Mat: u.Apply(plain)}
	if p := l.Weight.Packed; p != nil {
		var err error
		if w.Packed, err = b.backend.Pack(w.Mat, p.DType()); err != nil {
			panic("flora: " + err.Error()) // of a format that it packed before
		}
	}
	return w
}
