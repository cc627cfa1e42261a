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

	adapters []int32 // of each row of x, where some have further terms

	row []int32           // of the scales, for each row of the pass
	low []*tensor.LowRank // for each row

	// Copies of rows for their further terms stand behind the rows.
	source []int32 // row of x of each row and copy
	sum    []int32 // row of the pass that each copy is added to

	from, to int
	stacked  func() tensor.Mat // p.computeStacked, made once
}

func (p *pass) begin() { p.stacked = p.computeStacked }

// start sets what is at hand, and end forgets it.
func (p *pass) start(s *whisper.Step, l *whisper.Linear, at *site, y, x tensor.Mat, gelu bool) {
	p.s, p.l, p.at, p.x, p.y, p.gelu = s, l, at, x, y, gelu
}

func (p *pass) end() { p.start(nil, nil, nil, tensor.Mat{}, tensor.Mat{}, false) }

// stackRows is about the most rows and copies that pass a weight at once, so that their memory is bounded.
const stackRows = 4096

// byRows computes rows from:to of y.
func (p *pass) byRows(from, to int) {
	copies := 0
	for i := range p.s.Seg.Len() {
		if first, end := p.s.Seg.Range(i); first < to && end > from {
			copies = max(copies, len(p.at.of[index(p.s, i)].further))
		}
	}
	if copies == 0 {
		scales, low := p.operands(p.s, p.at, from, to)
		p.s.LinearTo(p.y.Slice(from, to), p.x.Slice(from, to), &p.l.Weight, p.l.Bias, scales, low, p.gelu)
		return
	}
	p.adapters = p.s.AdapterRows()
	size := max(stackRows/(1+copies), 1)
	for ; from < to; from += size {
		p.from, p.to = from, min(from+size, to)
		p.s.Scope(p.stacked)
	}
}

// list sets the scales of the first term at a site and the product of low rank of rows from:to of a step. It reports whether any has either.
func (p *pass) list(s *whisper.Step, at *site, from, to int) (scaled, lowRank bool) {
	n := to - from
	p.row, p.low = slices.Grow(p.row[:0], n)[:n], slices.Grow(p.low[:0], n)[:n]
	for i := range s.Seg.Len() {
		first, end := s.Seg.Range(i)
		first, end = max(first, from)-from, min(end, to)-from
		if first >= end {
			continue
		}
		a := &at.of[index(s, i)]
		var l *tensor.LowRank
		if a.adapted != nil {
			l = a.low
		}
		fill(p.row[first:end], a.first)
		fill(p.low[first:end], l)
		scaled, lowRank = scaled || a.first > 0, lowRank || l != nil
	}
	return scaled, lowRank
}

func fill[T any](x []T, v T) {
	for i := range x {
		x[i] = v
	}
}

// operands returns the scales and the products of low rank of rows from:to of a step, which have no further terms at a site.
func (p *pass) operands(s *whisper.Step, at *site, from, to int) (scales tensor.Scales, low []*tensor.LowRank) {
	scaled, lowRank := p.list(s, at, from, to)
	if scaled {
		scales = tensor.Scales{In: at.in, Out: at.out, Row: p.row}
	}
	if lowRank {
		low = p.low
	}
	return scales, low
}

// computeStacked computes rows p.from:p.to, of which some have further terms: each of these is a copy of its
// row, scaled otherwise. It returns nothing.
func (p *pass) computeStacked() tensor.Mat {
	n := p.to - p.from
	lowRank := p.stack()
	l := p.l
	all := p.s.New(len(p.row), l.Weight.Rows)
	x := p.s.Embed(p.x, p.source)
	p.s.LinearTo(all, x, &l.Weight, tensor.Mat{}, tensor.Scales{In: p.at.in, Out: p.at.out, Row: p.row}, nil, false)
	y := p.y.Slice(p.from, p.to)
	p.s.CopyTo(y, all.Slice(0, n))
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

// stack lists rows p.from:p.to, and then their copies. It reports whether any has a product of low rank.
func (p *pass) stack() (lowRank bool) {
	_, lowRank = p.list(p.s, p.at, p.from, p.to)
	adapters := p.adapters[p.from:p.to]
	p.source, p.sum = p.source[:0], p.sum[:0]
	for i := range adapters {
		p.source = append(p.source, int32(p.from+i))
	}
	for i, k := range adapters {
		for _, row := range p.at.of[k].further {
			p.row, p.source = append(p.row, row), append(p.source, int32(p.from+i))
			p.sum = append(p.sum, int32(i))
		}
	}
	return lowRank
}
