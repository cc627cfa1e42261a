package flora

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Probe is a pass over some linears of a model, whose time is measured.
type Probe struct {
	Phase    Phase
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

// Ranks that are measured.
const (
	probeRank   = 8
	probeCopies = 4 // of what has copies
)

// Calibrate measures what the parts of strategies cost for model m on b, by linears of decoding. It takes about two seconds by a [Stopwatch] of
// [CalibrationBudget]. The weights of m are packed.
//
// Where encode, the load of encoding, is of several adapters, what the parts cost at that load is measured too, for [Costs.Encode], in about two
// seconds more: of windows under an adapter each, as many as there are adapters, or half of them, and so on, where a device lacks the memory. The
// error wraps tensor.ErrMemory where it lacks that of one window.
func Calibrate(m *whisper.Model, b tensor.Backend, encode Load, measure Measure) (*Costs, error) {
	costs, err := newDecoding(m, b, measure).costs()
	if _, mixes := b.(tensor.Mixer); err != nil || !mixes || encode.Adapters < 2 {
		return costs, err
	}
	window := encode.Rows / encode.Adapters
	for n := encode.Adapters; n > 0; n /= 2 {
		costs.Encode, err = newEncoding(m, b, n, window, measure).costs()
		if !errors.Is(err, tensor.ErrMemory) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return costs, nil
}

// CalibrationBudget is the time for each of a calibration's measurements.
const CalibrationBudget = 80 * time.Millisecond

// calibration measures passes of a phase over linears.
type calibration struct {
	of      passes
	phase   Phase
	model   *whisper.Model
	backend tensor.Backend
	ops     *tensor.Ops
	measure Measure
	rng     *rand.Rand
	placed  []*tensor.Memory // on a device
	fault   error            // the first: then nothing more is measured
}

// passes are those of a phase.
type passes interface {
	linears(rows int) []*whisper.Linear // that a pass of so many rows is over
	forward(s *whisper.Step, rows int)  // the pass
	sequence() int                      // the rows of each of its sequences
	derive(costs *Costs)                // from the times of some
}

func newCalibration(phase Phase, m *whisper.Model, b tensor.Backend, measure Measure) *calibration {
	return &calibration{phase: phase, model: m, backend: b, ops: tensor.NewOps(b), measure: measure, rng: rand.New(rand.NewPCG(1, 1))}
}

// costs measures the costs of the phase, and gives back what it took of a device for it.
func (c *calibration) costs() (*Costs, error) {
	costs := &Costs{}
	if c.fault == nil {
		c.of.derive(costs)
	}
	for _, m := range c.placed {
		m.Free()
	}
	c.ops.Free()
	if c.fault != nil {
		return nil, c.fault
	}
	return costs, costs.Check()
}

// fail keeps the first error.
func (c *calibration) fail(err error) {
	if c.fault == nil {
		c.fault = err
	}
}

// place returns a matrix in the memory of the backend.
func (c *calibration) place(m tensor.Mat) tensor.Mat {
	if _, ok := c.backend.(tensor.Device); !ok {
		return m
	}
	memory, err := tensor.Place(c.backend, []*tensor.Mat{&m}, []tensor.Mat{m})
	c.fail(err)
	c.placed = append(c.placed, memory)
	return m
}

// random returns numbers about center.
func (c *calibration) random(rows, cols int, center, width float64) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = float32(center + width*(2*c.rng.Float64()-1))
	}
	return m
}

// probe returns a pass without adapters.
func (c *calibration) probe(load Load) Probe {
	linears := c.of.linears(load.Rows)
	p := Probe{Phase: c.phase, Load: load, Linears: len(linears)}
	for _, l := range linears {
		p.Weights += float64(l.Weight.Rows) * float64(l.Weight.Cols)
		p.Numbers += float64(l.Weight.Rows + l.Weight.Cols)
	}
	return p
}

// time measures what f does, which p says.
func (c *calibration) time(p Probe, f func()) (seconds float64) {
	if c.fault != nil {
		return 0
	}
	return c.measure(p, f)
}

// base measures a pass without adapters.
func (c *calibration) base(p Probe) float64 {
	return c.time(p, func() { c.pass(&whisper.Step{}, p.Load) })
}

// pass computes linears for rows, whose sequences are under the adapters by turns.
func (c *calibration) pass(s *whisper.Step, load Load) {
	s.Ops = c.ops
	s.Seg, s.AdapterOf = append(s.Seg[:0], 0), s.AdapterOf[:0]
	for n := c.of.sequence(); s.Seg.Rows() < load.Rows; {
		if s.Adapter != nil {
			s.AdapterOf = append(s.AdapterOf, int32(1+s.Seg.Len()%load.Adapters))
		}
		s.Seg = append(s.Seg, int32(s.Seg.Rows()+n))
	}
	c.of.forward(s, load.Rows)
	c.fail(s.Read(nil, tensor.Mat{}))
}

// over measures how much longer a pass takes under adapters than without, one after the other.
func (c *calibration) over(kind Kind, rank int, s Strategy, load Load) (seconds float64) {
	p := c.probe(load)
	p.Kind, p.Rank, p.Strategy = kind, rank, s
	batch := c.batch(p)
	defer discard(batch)
	step := &whisper.Step{Adapter: batch}
	base := c.base(c.probe(load))
	return c.time(p, func() {
		c.pass(step, load)
		if kept := &batch.weights.merged; s == Merged && kept.bytes < batch.options.Policy.MergedBytes {
			c.fail(fmt.Errorf("%w: merged weights have %d bytes", tensor.ErrMemory, kept.bytes))
		}
	}) - base
}

// batch returns one with the adapters of a probe, with room for their merged weights where it is for these.
func (c *calibration) batch(p Probe) *Batch {
	policy, linears := DefaultPolicy(c.model), c.of.linears(p.Load.Rows)
	for _, l := range linears {
		if p.Strategy == Merged {
			policy.MergedBytes += int64(p.Load.Adapters) * tensor.PackedBytes(l.Weight.Packed)
		}
	}
	batch, err := NewBatchWith(c.model, c.backend, Options{Strategy: p.Strategy, Policy: policy})
	c.fail(err)
	for i := 0; i < p.Load.Adapters && c.fault == nil; i++ {
		a := &Adapter{Name: fmt.Sprint(i), Kind: p.Kind, Rank: p.Rank, Sites: make(map[whisper.Site]*Factors)}
		for _, l := range linears {
			a.Sites[l.Site] = c.factors(p.Kind, p.Rank, l)
		}
		r, err := batch.Prepare(a)
		if c.fail(err); err != nil {
			break
		}
		if _, err := batch.Put(r); err != nil {
			r.Free()
			c.fail(err)
		}
	}
	return batch
}

// discard gives back what a batch has of a device, which is of no more use.
func discard(b *Batch) {
	b.Trim()
	for _, r := range b.residents[1:] {
		if r != nil {
			r.Free()
		}
	}
	for _, t := range b.sites {
		t.placed.Free()
	}
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

// scales derives the costs of scales and copies from passes under adapters that have them.
func (c *calibration) scales(costs *Costs, load Load) {
	p := c.probe(load)
	rows := float64(load.Rows)
	costs.Scale = positive(c.over(FLoRA, 1, Scales, load) / (rows * p.Numbers))
	copies := c.over(HiRA, probeCopies, Expand, load)
	copies -= p.Weights*(costs.linear(rows*(1+probeCopies))-costs.linear(rows)) + 3*float64(p.Linears)*costs.Call
	costs.Copy = positive((copies - rows*p.Numbers*costs.Scale*(1+probeCopies)) / (rows * probeCopies * p.Numbers))
}

// mixes derives the costs of mixing from passes under adapters whose weights are mixed at each use, which takes longer than merged ones do.
func (c *calibration) mixes(costs *Costs, load Load) {
	p := c.probe(load)
	rows, adapters, calls := float64(load.Rows), float64(load.Adapters), float64(p.Linears)
	thin, thick := c.over(LoRA, 1, Mix, load), c.over(LoRA, probeRank, Mix, load)
	costs.MixRank = positive((thick - thin) / ((probeRank - 1) * adapters * p.Weights))
	merged := p.Weights*(adapters*costs.linear(rows/adapters)-costs.linear(rows)) + (adapters-1)*calls*costs.Call
	costs.Mix = positive((thin-merged-adapters*calls*costs.Call)/(adapters*p.Weights) - costs.MixRank)
}

// positive returns x, and zero for what noise made negative.
func positive(x float64) float64 { return max(x, 0) }
