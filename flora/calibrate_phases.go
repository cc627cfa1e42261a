package flora

import (
	"slices"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Rows for which linears of decoding are measured: few pass through weights that come from memory, many through those of one layer.
var (
	fewRows  = []int{1, 4, 16, 32}
	manyRows = []int{64, 128, 256, 512, 1500}
)

const (
	fewWeights = 24 << 20 // about what is more than a cache holds
	probeRow   = 16       // rows of the probes with adapters
	probeWide  = 256
)

// decoding are passes over linears of decoding one by one, of sequences of a row.
type decoding struct {
	*calibration
	few, many []*whisper.Linear
	rows      map[int]tensor.Mat // operands by their columns
}

func newDecoding(m *whisper.Model, b tensor.Backend, measure Measure) *calibration {
	d := &decoding{calibration: newCalibration(Decode, m, b, measure), rows: make(map[int]tensor.Mat)}
	d.of = d
	weights := 0
	for _, l := range m.Linears() {
		if PhaseOf(l.Site) != Decode {
			continue
		}
		n := l.Weight.Rows * l.Weight.Cols
		if l.Site.Layer > 0 && weights+n > fewWeights {
			break
		}
		weights += n
		d.few = append(d.few, l)
		if l.Site.Layer == 0 {
			d.many = append(d.many, l)
		}
		if _, ok := d.rows[l.Weight.Cols]; !ok {
			d.rows[l.Weight.Cols] = d.place(d.random(manyRows[len(manyRows)-1], l.Weight.Cols, 0, 1))
		}
	}
	return d.calibration
}

func (d *decoding) sequence() int { return 1 }

func (d *decoding) linears(rows int) []*whisper.Linear {
	if rows >= manyRows[0] {
		return d.many
	}
	return d.few
}

func (d *decoding) forward(s *whisper.Step, rows int) {
	for _, l := range d.linears(rows) {
		s.Reset()
		l.Forward(s, d.rows[l.Weight.Cols].Slice(0, rows))
	}
}

func (d *decoding) derive(costs *Costs) {
	for _, rows := range append(slices.Clone(fewRows), manyRows...) {
		p := d.probe(Load{rows, 1})
		costs.Linear = append(costs.Linear, RowCost{rows, d.base(p) / p.Weights})
	}
	d.lowRank(costs)
	d.scales(costs, Load{probeRow, probeRow})
	if _, ok := d.backend.(tensor.Mixer); ok { // else rows never pass a weight of their own
		d.mixes(costs, Load{probeRow, 1})
	}
}

// lowRank derives the costs of products of low rank from passes of few rows under one adapter of rank one and of
// probeRank, under as many such as rows, and of many rows under one. With n numbers of factors for each rank and c calls,
//
//	one  = c Call + n (Factor + probeRow FactorRow)
//	wide = c Call + n probeRank (Factor + probeWide FactorRow)
func (d *decoding) lowRank(costs *Costs) {
	alone, distinct, many := Load{probeRow, 1}, Load{probeRow, probeRow}, Load{probeWide, 1}
	one, same := d.over(LoRA, 1, ShrinkExpand, alone), d.over(LoRA, probeRank, ShrinkExpand, alone)
	apart, wide := d.over(LoRA, probeRank, ShrinkExpand, distinct), d.over(LoRA, probeRank, ShrinkExpand, many)
	p, q := d.probe(alone), d.probe(many)
	part := float64(q.Linears) / float64(p.Linears)
	costs.Factor = positive((apart - same) / ((probeRow - 1) * probeRank * p.Numbers))
	one -= p.Numbers * costs.Factor
	wide -= q.Numbers*probeRank*costs.Factor + part*one
	costs.FactorRow = positive(wide / (q.Numbers*probeRank*probeWide - part*p.Numbers*probeRow))
	costs.Call = positive((one - p.Numbers*probeRow*costs.FactorRow) / float64(p.Linears))
}

// encoding are passes over a block of the encoder, and keys and values of cross-attention, of windows that are under an adapter each. What a
// block does beside its linears, which is the same under all strategies, counts as theirs.
type encoding struct {
	*calibration
	load   Load
	states tensor.Mat // (load.Rows, NAudioState)
	layer  []*whisper.Linear
}

func newEncoding(m *whisper.Model, b tensor.Backend, windows, window int, measure Measure) *calibration {
	e := &encoding{calibration: newCalibration(Encode, m, b, measure), load: Load{windows * window, windows}}
	e.of = e
	for _, l := range m.Linears() {
		if PhaseOf(l.Site) == Encode && l.Site.Layer == 0 {
			e.layer = append(e.layer, l)
		}
	}
	e.states = e.place(e.random(e.load.Rows, m.Dims.NAudioState, 0, 1))
	return e.calibration
}

func (e *encoding) sequence() int { return e.load.Rows / e.load.Adapters }

func (e *encoding) linears(int) []*whisper.Linear { return e.layer }

func (e *encoding) forward(s *whisper.Step, rows int) {
	s.Reset()
	x := s.New(rows, e.states.Cols)
	s.CopyTo(x, e.states) // a block's result takes the place of its operand
	x = s.Scope(func() tensor.Mat { return e.model.Encoder.Blocks[0].Forward(s, x) })
	e.model.Decoder.Blocks[0].Cross.KeyValue(s, e.model.Encoder.Norm.Forward(s, x))
}

// derive derives the costs at one load. Call and Factor are none: what another group of rows, and the factors of another adapter, take is part of
// what its rows do.
func (e *encoding) derive(costs *Costs) {
	p := e.probe(e.load)
	rows, windows := float64(e.load.Rows), float64(e.load.Adapters)
	base := e.base(p)
	merged := base + positive(e.over(LoRA, 1, Merged, e.load)) // windows pass a weight of their own each
	costs.Linear = []RowCost{{e.sequence(), merged / (windows * p.Weights)}}
	if e.load.Adapters > 1 {
		costs.Linear = append(costs.Linear, RowCost{e.load.Rows, base / p.Weights})
	}
	thin, thick := e.over(LoRA, 1, ShrinkExpand, e.load), e.over(LoRA, probeRank, ShrinkExpand, e.load)
	costs.FactorRow = positive((thick - thin) / ((probeRank - 1) * rows * p.Numbers))
	costs.LowRank = positive(thin/(rows*p.Numbers) - costs.FactorRow)
	e.scales(costs, e.load)
	e.mixes(costs, e.load)
}
