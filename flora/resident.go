package flora

import (
	"fmt"
	"sync/atomic"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Resident is an adapter in the form that a [Batch] applies.
type Resident struct {
	Adapter *Adapter
	sites   map[whisper.Site]*adapted
	bytes   int64
	merged  atomic.Int64 // bytes of merged weights
}

// Bytes returns the memory that the adapter takes: its factors, as it was opened and as they are applied,
// and its merged weights. Any goroutine may call it.
func (r *Resident) Bytes() int64 { return r.bytes + r.merged.Load() }

// Strategy returns how the linear at a site is computed under the adapter, "" where it does not adapt it.
func (r *Resident) Strategy(s whisper.Site) Strategy {
	if a := r.sites[s]; a != nil {
		return a.strategy
	}
	return ""
}

// adapted is what an adapter does at one linear.
type adapted struct {
	resident *Resident
	strategy Strategy
	factors  *Factors // reduced, without magnitudes

	// fromRows is the number of rows of the adapter in a step from which on they pass a weight of their own. It
	// is never where strategy is by rows and the policy deterministic, and zero where it is not by rows.
	fromRows int

	// By rows.
	low *tensor.LowRank // nil: has none

	// By weight.
	bias   tensor.Mat // the linear's and D, where there is D
	update tensor.PackedUpdate
	kept   tensor.Weight // merged
	base   tensor.Packed // that it was merged from
}

// never is more rows than a step has.
const never = 1 << 40

// adapt returns what f does at l in the forms that its strategy needs, nil where it does nothing.
func (b *Batch) adapt(r *Resident, l *whisper.Linear, f *Factors) *adapted {
	if f = f.reduced(l.Weight.Rows); f == nil {
		return nil
	}
	dtype := tensor.F32
	if l.Weight.Packed != nil {
		dtype = l.Weight.Packed.DType()
	}
	a := &adapted{resident: r, factors: f}
	a.strategy, a.fromRows = b.options.choose(b.backend, l, f)
	if a.fromRows > 0 && (!f.U.IsZero() || !f.D.IsZero()) {
		a.low = tensor.NewLowRank(b.backend, f.U, f.V, f.D, dtype)
		r.bytes += a.low.Bytes()
	}
	if a.fromRows > 0 {
		r.bytes += 4 * int64(f.terms()) * int64(l.Weight.Rows+l.Weight.Cols)
	}
	if a.fromRows < never {
		if !f.D.IsZero() {
			a.bias = sumBias(l.Bias, f.D)
		}
		if m, ok := b.backend.(tensor.Mixer); ok {
			a.update = m.PackUpdate(f.update(), l.Weight.Rows, l.Weight.Cols)
			r.bytes += a.update.Bytes()
		}
	}
	for _, p := range f.parts() {
		r.bytes += 4 * int64(len(p.mat.Data))
	}
	return a
}

// update returns what f does to a weight.
func (f *Factors) update() tensor.Update {
	return tensor.Update{Base: f.Base, A: f.A, B: f.B, U: f.U, V: f.V}
}

// sumBias returns bias + d; bias may be the zero Mat.
func sumBias(bias, d tensor.Mat) tensor.Mat {
	sum := tensor.Zeros(1, d.Cols)
	copy(sum.Data, bias.Data)
	for i, v := range d.Data {
		sum.Data[i] += v
	}
	return sum
}

// Prepare returns a as the batch applies it. The errors are [ErrBase], and [ErrUnsupported] where a has
// magnitudes and the weights of the model cannot be looked up.
func (b *Batch) Prepare(a *Adapter) (*Resident, error) {
	if err := a.Check(b.model); err != nil {
		return nil, err
	}
	r := &Resident{Adapter: a, sites: make(map[whisper.Site]*adapted, len(a.Sites))}
	for _, l := range b.model.Linears() {
		f := a.Sites[l.Site]
		if f == nil {
			continue
		}
		f = f.withBias(l.Bias)
		if !f.M.IsZero() {
			w, ok := l.Weight.Plain(b.backend)
			if !ok {
				return nil, fmt.Errorf("adapter %s: %s: %w: %s does not look weights up", a.Name, l.Site, ErrUnsupported, b.backend.Name())
			}
			f = f.folded(f.norms(w))
		}
		if p := b.adapt(r, l, f); p != nil {
			r.sites[l.Site] = p
		}
	}
	return r, nil
}
