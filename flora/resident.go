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
	holding []*adapted   // those that have one
	used    int64        // when one was needed last
}

// Bytes returns the memory that the adapter takes: its factors, as it was opened and as they are applied,
// and its merged weights. Any goroutine may call it.
func (r *Resident) Bytes() int64 { return r.bytes + r.merged.Load() }

// factorBytes is Bytes without merged weights.
func (r *Resident) factorBytes() int64 { return r.bytes }

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
	placed *tensor.Memory
	update tensor.PackedUpdate
	kept   tensor.Weight // merged
	base   tensor.Packed // that it was merged from
}

// never is more rows than a step has.
const never = 1 << 40

// adapt adds what f does at l to r, in the forms that its strategy needs, unless it does nothing. The error
// wraps tensor.ErrMemory.
func (b *Batch) adapt(r *Resident, l *whisper.Linear, f *Factors) (err error) {
	if f = f.reduced(l.Weight.Rows); f == nil {
		return nil
	}
	dtype := tensor.F32
	if l.Weight.Packed != nil {
		dtype = l.Weight.Packed.DType()
	}
	a := &adapted{resident: r, factors: f}
	r.sites[l.Site] = a
	a.strategy, a.fromRows = b.options.choose(b.backend, l, f)
	if a.fromRows > 0 && (!f.U.IsZero() || !f.D.IsZero()) {
		if a.low, err = tensor.NewLowRank(b.backend, f.U, f.V, f.D, dtype); err != nil {
			return err
		}
		r.bytes += a.low.Bytes()
	}
	if a.fromRows > 0 {
		r.bytes += 4 * int64(f.terms()) * int64(l.Weight.Rows+l.Weight.Cols)
	}
	if a.fromRows < never {
		if !f.D.IsZero() {
			a.bias = sumBias(l.Bias, f.D)
			if a.placed, err = b.place(&a.bias); err != nil {
				return err
			}
		}
		if m, ok := b.backend.(tensor.Mixer); ok {
			if a.update, err = m.PackUpdate(f.update(), l.Weight.Rows, l.Weight.Cols); err != nil {
				return err
			}
			r.bytes += a.update.Bytes()
		}
	}
	for _, p := range f.parts() {
		r.bytes += 4 * int64(len(p.mat.Data))
	}
	return nil
}

// place copies a matrix to the memory of the batch's backend, where that is a device.
func (b *Batch) place(m *tensor.Mat) (*tensor.Memory, error) {
	if _, ok := b.backend.(tensor.Device); !ok {
		return nil, nil
	}
	return tensor.Place(b.backend, []*tensor.Mat{m}, []tensor.Mat{*m})
}

// Free gives back what the adapter has of a device's memory, but for merged weights. It must be in no batch,
// and never be put into one again. Further calls do nothing.
func (r *Resident) Free() {
	for _, a := range r.sites {
		a.low.Free()
		a.placed.Free()
		tensor.Free(a.update)
	}
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
// magnitudes and the weights of the model cannot be looked up, and tensor.ErrMemory of a device.
func (b *Batch) Prepare(a *Adapter) (*Resident, error) {
	if err := a.Check(b.model); err != nil {
		return nil, err
	}
	r := &Resident{Adapter: a, sites: make(map[whisper.Site]*adapted, len(a.Sites))}
	if err := b.prepare(r); err != nil {
		r.Free()
		return nil, fmt.Errorf("adapter %s: %w", a.Name, err)
	}
	return r, nil
}

// prepare fills the sites of r.
func (b *Batch) prepare(r *Resident) error {
	for _, l := range b.model.Linears() {
		f := r.Adapter.Sites[l.Site]
		if f == nil {
			continue
		}
		f = f.withBias(l.Bias)
		if !f.M.IsZero() {
			w, ok, err := l.Weight.Plain(b.backend)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%s: %w: %s does not look weights up", l.Site, ErrUnsupported, b.backend.Name())
			}
			f = f.folded(f.norms(w))
		}
		if err := b.adapt(r, l, f); err != nil {
			return err
		}
	}
	return nil
}
