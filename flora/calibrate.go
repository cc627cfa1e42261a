package flora

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Probe is a pass over some linears of a model, whose time is measured.
type Probe struct {
	Kind     Kind // "": the base model
	Rank     int
	Strategy Strategy
	Load     Load

	Linears          int     // their number,
	Weights, Numbers float64 // that of their weights, and the sum of their rows and columns
}

// Measure returns the seconds that f takes, which does what p says.
type Measure func(p Probe, f func()) (seconds float64)

// Stopwatch measures by a clock: f is called until budget is over, and three times at least; the least of the times,
// without the first, is what it takes when nothing disturbs it.
func Stopwatch(now func() time.Time, budget time.Duration) Measure {
	const least = 3
	return func(_ Probe, f func()) float64 {
		f()
		best, begin := math.Inf(1), now()
		for i := 0; i < least || now().Sub(begin) < budget; i++ {
			start := now()
			f()
			best = min(best, now().Sub(start).Seconds())
		}
		return best
	}
}

// probeRows are the numbers of rows for which linears are measured: few pass through weights that come from memory, many
// through those of one layer.
var (
	fewRows  = []int{1, 4, 16, 32}
	manyRows = []int{64, 128, 256, 512, 1500}
)

const (
	fewWeights  = 24 << 20 // about what is more than a cache holds
	probeRank   = 8
	probeRow    = 16 // rows of the probes with adapters
	probeWide   = 256
	probeCopies = 4 // rank of the probe with copies
)

// Calibrate measures what the parts of strategies cost for model m on b. It takes about two seconds by a [Stopwatch] of
// [CalibrationBudget]. The weights of m are packed.
func Calibrate(m *whisper.Model, b tensor.Backend, measure Measure) (*Costs, error) {
	c := newCalibration(m, b, measure)
	defer c.free()
	if c.fault != nil {
		return nil, c.fault
	}
	costs := &Costs{}
	for _, rows := range fewRows {
		p := c.probe(c.few, Load{rows, 1})
		costs.Linear = append(costs.Linear, RowCost{rows, c.base(p) / p.Weights})
	}
	for _, rows := range manyRows {
		p := c.probe(c.many, Load{rows, 1})
		costs.Linear = append(costs.Linear, RowCost{rows, c.base(p) / p.Weights})
	}
	if err := errors.Join(c.adapters(costs), c.fault); err != nil {
		return nil, err
	}
	return costs, costs.Check()
}

// CalibrationBudget is the time for each of a calibration's measurements.
const CalibrationBudget = 80 * time.Millisecond

// calibration measures passes over linears.
type calibration struct {
	model     *whisper.Model
	backend   tensor.Backend
	ops       *tensor.Ops
	measure   Measure
	few, many []*whisper.Linear
	rows      map[int]tensor.Mat // operands by their columns
	rng       *rand.Rand
	placed    []*tensor.Memory // of rows on a device
	fault     error            // of that
}

func newCalibration(m *whisper.Model, b tensor.Backend, measure Measure) *calibration {
	c := &calibration{model: m, backend: b, ops: tensor.NewOps(b), measure: measure, rows: make(map[int]tensor.Mat), rng: rand.New(rand.NewPCG(1, 1))}
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
		c.few = append(c.few, l)
		if l.Site.Layer == 0 {
			c.many = append(c.many, l)
		}
		if _, ok := c.rows[l.Weight.Cols]; !ok {
			c.rows[l.Weight.Cols] = c.place(c.random(manyRows[len(manyRows)-1], l.Weight.Cols, 0, 1))
		}
	}
	return c
}

// place returns a matrix in the memory of the backend.
func (c *calibration) place(m tensor.Mat) tensor.Mat {
	if _, ok := c.backend.(tensor.Device); !ok {
		return m
	}
	memory, err := tensor.Place(c.backend, []*tensor.Mat{&m}, []tensor.Mat{m})
	c.placed, c.fault = append(c.placed, memory), errors.Join(c.fault, err)
	return m
}

// free gives back what was placed on a device.
func (c *calibration) free() {
	for _, m := range c.placed {
		m.Free()
	}
	c.ops.Free()
}

// random returns numbers about center.
func (c *calibration) random(rows, cols int, center, width float64) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(center + width*(2*c.rng.Float64()-1))
	}
	return m
}

// probe returns a pass over linears without adapters.
func (c *calibration) probe(linears []*whisper.Linear, load Load) Probe {
	p := Probe{Load: load, Linears: len(linears)}
	for _, l := range linears {
		p.Weights += float64(l.Weight.Rows) * float64(l.Weight.Cols)
		p.Numbers += float64(l.Weight.Rows + l.Weight.Cols)
	}
	return p
}

// base measures a pass without adapters.
func (c *calibration) base(p Probe) float64 {
	linears := c.few
	if p.Load.Rows >= manyRows[0] {
		linears = c.many
	}
	return c.measure(p, func() { c.pass(linears, &whisper.Step{}, p.Load) })
}

// pass computes linears for rows, each a sequence.
func (c *calibration) pass(linears []*whisper.Linear, s *whisper.Step, load Load) {
	s.Ops = c.ops
	s.Seg = append(s.Seg[:0], 0)
	for i := range load.Rows {
		s.Seg = append(s.Seg, int32(i+1))
	}
	for _, l := range linears {
		s.Reset()
		l.Forward(s, c.rows[l.Weight.Cols].Slice(0, load.Rows))
	}
	c.fault = errors.Join(c.fault, s.Read(nil, tensor.Mat{}))
}

// over measures how much longer a pass takes under adapters than without, one after the other.
func (c *calibration) over(kind Kind, rank int, s Strategy, load Load) (seconds float64, err error) {
	linears := c.few
	if load.Rows >= manyRows[0] {
		linears = c.many
	}
	var as []*Adapter
	for i := range load.Adapters {
		a := &Adapter{Name: fmt.Sprint(i), Kind: kind, Rank: rank, Sites: make(map[whisper.Site]*Factors)}
		for _, l := range linears {
			a.Sites[l.Site] = c.factors(kind, rank, l)
		}
		as = append(as, a)
	}
	batch, err := NewBatchWith(c.model, c.backend, Options{Strategy: s}, as...)
	if err != nil {
		return 0, err
	}
	step := &whisper.Step{Adapter: batch}
	for i := range load.Rows {
		step.AdapterOf = append(step.AdapterOf, int32(1+i%load.Adapters))
	}
	p := c.probe(linears, load)
	base := c.base(p)
	p.Kind, p.Rank, p.Strategy = kind, rank, s
	return c.measure(p, func() { c.pass(linears, step, load) }) - base, nil
}

// factors returns random factors of a kind.
func (c *calibration) factors(kind Kind, rank int, l *whisper.Linear) *Factors {
	nOut, nIn := l.Weight.Rows, l.Weight.Cols
	switch kind {
	case FLoRA, HiRA:
		return &Factors{Base: kind == HiRA, A: c.random(rank, nOut, 1, 0.1), B: c.random(rank, nIn, 1, 0.1)}
	}
	return &Factors{Base: true, U: c.random(nOut, rank, 0, 0.1), V: c.random(rank, nIn, 0, 0.1)}
}

// adapters derives the costs of adapters from how much longer passes under them take.
func (c *calibration) adapters(costs *Costs) (err error) {
	over := func(kind Kind, rank int, s Strategy, load Load) float64 {
		t, e := c.over(kind, rank, s, load)
		if e != nil && err == nil {
			err = e
		}
		return t
	}
	alone, distinct := Load{probeRow, 1}, Load{probeRow, probeRow}
	c.lowRank(costs, over(LoRA, 1, ShrinkExpand, alone), over(LoRA, probeRank, ShrinkExpand, alone),
		over(LoRA, probeRank, ShrinkExpand, distinct), over(LoRA, probeRank, ShrinkExpand, Load{probeWide, 1}))
	p := c.probe(c.few, alone)
	calls := float64(p.Linears)
	costs.Scale = positive(over(FLoRA, 1, Scales, distinct) / (probeRow * p.Numbers))
	copies := over(HiRA, probeCopies, Expand, distinct)
	copies -= p.Weights*(costs.linear(probeRow*(1+probeCopies))-costs.linear(probeRow)) + 3*calls*costs.Call
	costs.Copy = positive((copies - probeRow*p.Numbers*costs.Scale*(1+probeCopies)) / (probeRow * probeCopies * p.Numbers))
	if _, ok := c.backend.(tensor.Mixer); !ok {
		return err // rows never pass a weight of their own
	}
	thin, thick := over(LoRA, 1, Mix, alone), over(LoRA, probeRank, Mix, alone)
	costs.MixRank = positive((thick - thin) / ((probeRank - 1) * p.Weights))
	costs.Mix = positive((thin-calls*costs.Call)/p.Weights - costs.MixRank)
	return err
}

// lowRank derives the costs of products of low rank from passes of few rows under one adapter of rank one and of
// probeRank, under as many such as rows, and of many rows under one. With n numbers of factors for each rank and c calls,
//
//	one  = c Call + n (Factor + probeRow FactorRow)
//	wide = c Call + n probeRank (Factor + probeWide FactorRow)
func (c *calibration) lowRank(costs *Costs, one, same, distinct, wide float64) {
	few, many := c.probe(c.few, Load{}), c.probe(c.many, Load{})
	part := float64(many.Linears) / float64(few.Linears)
	costs.Factor = positive((distinct - same) / ((probeRow - 1) * probeRank * few.Numbers))
	one -= few.Numbers * costs.Factor
	wide -= many.Numbers*probeRank*costs.Factor + part*one
	costs.FactorRow = positive(wide / (many.Numbers*probeRank*probeWide - part*few.Numbers*probeRow))
	costs.Call = positive((one - few.Numbers*probeRow*costs.FactorRow) / float64(few.Linears))
}

// positive returns x, and zero for what noise made negative.
func positive(x float64) float64 { return max(x, 0) }

// Check reports costs that cannot be those of a machine.
func (c *Costs) Check() error {
	for _, v := range []float64{c.Call, c.Scale, c.Copy, c.Factor, c.FactorRow, c.Mix, c.MixRank} {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%w: %v seconds", ErrCosts, v)
		}
	}
	sorted := slices.IsSortedFunc(c.Linear, func(a, b RowCost) int { return a.Rows - b.Rows })
	if len(c.Linear) == 0 || !sorted {
		return fmt.Errorf("%w: linears of %v rows", ErrCosts, c.Linear)
	}
	for _, r := range c.Linear {
		if !(r.Rows > 0 && r.Seconds > 0 && r.Seconds < 1) {
			return fmt.Errorf("%w: %v seconds for %d rows", ErrCosts, r.Seconds, r.Rows)
		}
	}
	return nil
}
