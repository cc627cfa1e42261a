package flora

import (
	"math"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Options say how a [Batch] computes. The zero value is the default of each.
type Options struct {
	// Strategy forces a strategy: one by weight for all adapters, one by rows stands for that of them which an
	// adapter takes. The default value lets costs decide.
	Strategy Strategy

	// Costs are what a strategy is chosen by. The default value is [DefaultCosts].
	Costs *Costs

	// Policy is what else it is chosen by. The default value is [DefaultPolicy].
	Policy *Policy

	decodeBytes int64 // of the weights of decoding
}

// Policy says what strategies are chosen for.
type Policy struct {
	// Deterministic lets the strategy depend on the linear and the adapter alone, so that what stands beside a
	// sequence does not change its bits. Without it, the rows that an adapter has in a step decide whether they
	// pass a weight of their own.
	Deterministic bool

	// Encode and Decode are the steps that costs are predicted for.
	Encode, Decode Load

	// MergedBytes is the memory for merged weights, which those adapters have that were used last. The default value is 0: none is
	// kept. What it is too little for is mixed at each use.
	MergedBytes int64
}

// Load is what a linear is called with.
type Load struct {
	Rows     int // of all sequences
	Adapters int // different ones, with as many rows each
}

// of returns the load of a phase.
func (p *Policy) of(phase Phase) Load {
	if phase == Encode {
		return p.Encode
	}
	return p.Decode
}

// designRows is the number of hypotheses that a step of the decoder is planned for, each under an adapter of its own.
const designRows = 16

// DefaultPolicy returns the policy for model m: deterministic; a window is encoded under one adapter, and
// sixteen are decoded together under as many.
func DefaultPolicy(m *whisper.Model) *Policy {
	return &Policy{Deterministic: true, Encode: Load{m.Dims.NAudioCtx, 1}, Decode: Load{designRows, designRows}}
}

// check reports with [ErrStrategy] what is wrong with options.
func (o *Options) check() error {
	if o.Strategy == "" {
		return nil
	}
	return o.Strategy.Check()
}

// withDefaults returns o with its defaults for model m on b.
func (o Options) withDefaults(m *whisper.Model, b tensor.Backend) Options {
	if o.Costs == nil {
		o.Costs = DefaultCosts(modelDType(m))
	}
	if o.Policy == nil {
		o.Policy = DefaultPolicy(m)
	}
	o.decodeBytes = 0
	for _, l := range m.Linears() {
		if l.Weight.Packed != nil && PhaseOf(l.Site) == Decode {
			o.decodeBytes += tensor.PackedBytes(l.Weight.Packed)
		}
	}
	return o
}

// modelDType returns the format of the weights of a model's linears.
func modelDType(m *whisper.Model) tensor.DType {
	for _, l := range m.Linears() {
		if l.Weight.Packed != nil {
			return l.Weight.Packed.DType()
		}
	}
	return tensor.F32
}

// choose returns the strategy of a linear under factors, and from how many rows of the adapter in a step on they pass
// a weight of their own: zero, never, or what the policy leaves open.
func (o *Options) choose(b tensor.Backend, l *whisper.Linear, f *Factors) (s Strategy, fromRows int) {
	byRows := f.ByRows()
	switch _, mixes := b.(tensor.Mixer); {
	case o.Strategy.byWeight():
		return o.Strategy, 0
	case o.Strategy != "", !mixes || l.Weight.Packed == nil:
		return byRows, never
	}
	j := newJob(l, f)
	phase := PhaseOf(l.Site)
	load := o.Policy.of(phase)
	costs := o.Costs.of(phase)
	s = costs.best(j, load, o.mergeable(phase))
	if !s.byWeight() {
		fromRows = never
	}
	if !o.Policy.Deterministic && s != Merged {
		s, fromRows = byRows, costs.evenRows(j, load)
	}
	return s, fromRows
}

// mergeable returns whether there is memory for merged weights in a phase: some in encoding, where those that it is too
// little for are made at each use, and those of all adapters that are planned for in decoding.
func (o *Options) mergeable(phase Phase) bool {
	if phase == Encode {
		return o.Policy.MergedBytes > 0
	}
	return o.Policy.MergedBytes >= int64(o.Policy.Decode.Adapters)*o.decodeBytes && o.Policy.MergedBytes > 0
}

// job is a linear under an adapter, as far as its costs go.
type job struct {
	nOut, nIn int
	strategy  Strategy // by rows
	scaled    bool     // the first term
	further   int      // terms
	terms     int      // of the sum, that scale
	rank      int      // of U and V
}

func newJob(l *whisper.Linear, f *Factors) job {
	return job{
		nOut: l.Weight.Rows, nIn: l.Weight.Cols, strategy: f.ByRows(), scaled: f.scales(),
		further: f.terms() - min(f.further(), f.terms()), terms: f.terms(), rank: f.V.Rows,
	}
}

// Costs are what the parts of strategies take on a machine, for weights of one format: seconds.
type Costs struct {
	// Linear is what a linear takes for each of its weights, by the number of its rows, in ascending order.
	Linear []RowCost `json:"linear"`

	Call      float64 `json:"call"`               // of one more pass over rows
	Scale     float64 `json:"scale"`              // for each number of a row that is scaled, of the operand and of the product
	Copy      float64 `json:"copy"`               // for each number of a copy of a row, likewise
	LowRank   float64 `json:"low_rank,omitempty"` // for each number of a row that has U and V, likewise, whatever their rank
	Factor    float64 `json:"factor"`             // for each number of the factors U and V, of each adapter
	FactorRow float64 `json:"factor_row"`         // and of each row
	Mix       float64 `json:"mix"`                // for each weight that is mixed
	MixRank   float64 `json:"mix_rank"`           // and each row of the factors

	// Encode is what holds for encoding where it was measured apart, at the load of that phase. Nil: the same.
	Encode *Costs `json:"encode,omitempty"`
}

// of returns the costs of a phase.
func (c *Costs) of(phase Phase) *Costs {
	if phase == Encode && c.Encode != nil {
		return c.Encode
	}
	return c
}

// RowCost is what a linear of so many rows takes for each of its weights.
type RowCost struct {
	Rows    int     `json:"rows"`
	Seconds float64 `json:"seconds"`
}

// linear returns what a linear of so many rows takes for each of its weights: between those that are known in
// proportion, beyond them as the last for each row.
func (c *Costs) linear(rows float64) float64 {
	before := RowCost{0, 0}
	for _, at := range c.Linear {
		if rows <= float64(at.Rows) {
			if before.Rows == 0 {
				return at.Seconds // a few rows take as long as one
			}
			part := (rows - float64(before.Rows)) / float64(at.Rows-before.Rows)
			return before.Seconds + part*(at.Seconds-before.Seconds)
		}
		before = at
	}
	return before.Seconds * rows / float64(before.Rows)
}

// over returns how much longer a linear takes under a strategy than without adapters, in seconds.
func (c *Costs) over(s Strategy, j job, load Load) float64 {
	rows, adapters := float64(load.Rows), float64(load.Adapters)
	weights, numbers := float64(j.nOut)*float64(j.nIn), float64(j.nOut+j.nIn)
	if s.byWeight() {
		own := adapters*weights*c.linear(rows/adapters) - weights*c.linear(rows) + (adapters-1)*c.Call
		if s == Mix {
			own += adapters * (c.Call + weights*(c.Mix+c.MixRank*float64(j.rank+j.terms)))
		}
		return own
	}
	var t float64
	if j.scaled || j.further > 0 {
		t += rows * numbers * c.Scale
	}
	if j.further > 0 {
		copies := rows * float64(j.further)
		t += 3*c.Call + weights*(c.linear(rows+copies)-c.linear(rows)) + copies*numbers*(c.Scale+c.Copy)
	}
	if j.rank > 0 {
		t += c.Call + rows*numbers*c.LowRank + float64(j.rank)*numbers*(adapters*c.Factor+rows*c.FactorRow)
	}
	return t
}

// best returns the strategy that takes the least time.
func (c *Costs) best(j job, load Load, mergeable bool) Strategy {
	best, least := j.strategy, c.over(j.strategy, j, load)
	others := []Strategy{Mix}
	if mergeable {
		others = append(others, Merged)
	}
	for _, s := range others {
		if t := c.over(s, j, load); t < least {
			best, least = s, t
		}
	}
	return best
}

// evenRows returns the rows of an adapter from which on mixing takes less time than its strategy by rows, beside
// others that have the rest of the load.
func (c *Costs) evenRows(j job, load Load) int {
	for rows := 1; rows <= 1<<16; rows += 1 + rows/16 {
		with := Load{rows, 1}
		beside := max(load.Rows, rows)
		base := float64(j.nOut) * float64(j.nIn) * (c.linear(float64(beside)) - c.linear(float64(beside-rows)))
		own := float64(j.nOut) * float64(j.nIn) * c.linear(float64(rows))
		if c.over(Mix, j, with)+own < c.over(j.strategy, j, with)+base {
			return rows
		}
	}
	return never
}

// DefaultCosts returns costs for weights of a format that were measured on a machine with two Zen 4 cores.
func DefaultCosts(dtype tensor.DType) *Costs {
	c := Costs{Call: 3e-6, Scale: 0.1e-9, Copy: 0.3e-9, Factor: 0.1e-9, FactorRow: 0.02e-9, Mix: 0.1e-9, MixRank: 0.03e-9}
	read, multiply := 0.14e-9, 0.0100e-9
	switch dtype {
	case tensor.BF16, tensor.F16:
		read, multiply = 0.07e-9, 0.0050e-9
	case tensor.I8:
		read, multiply = 0.04e-9, 0.0027e-9
	}
	for rows := 1; rows <= 2048; rows *= 2 {
		c.Linear = append(c.Linear, RowCost{rows, math.Max(read, multiply*float64(rows))})
	}
	return &c
}
