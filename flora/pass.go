package flora

import (
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
