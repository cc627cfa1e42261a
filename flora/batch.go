package flora

import (
	"fmt"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Batch applies adapters to the sequences of a step, each its own: it is the model's
// [whisper.Adapter]. Index 0 is the identity, the base model; index i+1 is the adapter at place i.
// A sequence's result is bitwise the same whatever adapters stand beside it. A Batch does not
// change and may be used by several goroutines.
type Batch struct {
	adapters []*Adapter // adapters[0] is nil: the identity
	scales   map[whisper.Site]scales
}

// scales are the first terms of all adapters at one site, side by side; row 0, the identity, and
// the rows of adapters that scale nothing are ones.
type scales struct{ a, b tensor.Mat } // (nAdapter, nOut), (nAdapter, nIn); zero Mat: none scales

// NewBatch returns the batch of the given adapters of model m, or [ErrBase].
func NewBatch(m *whisper.Model, adapters ...*Adapter) (*Batch, error) {
	b := &Batch{adapters: append([]*Adapter{nil}, adapters...), scales: make(map[whisper.Site]scales)}
	for _, a := range adapters {
		if err := a.Check(m); err != nil {
			return nil, err
		}
	}
	for _, l := range m.Linears() {
		if s, ok := b.stack(l); ok {
			b.scales[l.Site] = s
		}
	}
	return b, nil
}

// stack lays the first terms of the adapters of l side by side; !ok where none adapts it.
func (b *Batch) stack(l *whisper.Linear) (s scales, ok bool) {
	for i, a := range b.adapters {
		f := a.at(l.Site)
		if f == nil {
			continue
		}
		ok = true
		if f.A.IsZero() {
			continue
		}
		if s.a.IsZero() {
			s = scales{ones(len(b.adapters), l.Weight.Rows), ones(len(b.adapters), l.Weight.Cols)}
		}
		copy(s.a.Row(i), f.A.Row(0))
		copy(s.b.Row(i), f.B.Row(0))
	}
	return s, ok
}

// at returns the adapter's factors of site, nil where it has none or is the identity.
func (a *Adapter) at(site whisper.Site) *Factors {
	if a == nil {
		return nil
	}
	return a.Sites[site]
}

func ones(rows, cols int) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = 1
	}
	return m
}

// Index returns the index of the named adapter, or [ErrUnknown]. The name "" is the identity.
func (b *Batch) Index(name string) (int32, error) {
	for i, a := range b.adapters {
		if a == nil && name == "" || a != nil && a.Name == name {
			return int32(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// Names returns the names of the adapters, by index from 1 on.
func (b *Batch) Names() []string {
	names := make([]string, 0, len(b.adapters)-1)
	for _, a := range b.adapters[1:] {
		names = append(names, a.Name)
	}
	return names
}

// Linear returns y = Σ_k a_k ∘ ((b_k ∘ x) Wᵀ) + (x Vᵀ) Uᵀ + bias for the rows x of each sequence
// under its adapter.
func (b *Batch) Linear(s *whisper.Step, l *whisper.Linear, x tensor.Mat) (y tensor.Mat, ok bool) {
	switch {
	case !b.touches(s, l.Site):
		return tensor.Mat{}, false
	case b.run(s, 0) == s.Seg.Len():
		f := b.adapters[index(s, 0)].at(l.Site)
		y = f.first(s, l, x)
		f.rest(s, l, &y, x)
	default:
		y = b.mixed(s, l, x)
	}
	if !l.Bias.IsZero() {
		y = s.AddBias(y, l.Bias)
	}
	return y, true
}

// mixed returns the product, without bias, of sequences under different adapters: all rows take
// one product with W for the first term, whose scales are looked up row by row; terms beyond it
// and added products are computed for the rows that have them.
func (b *Batch) mixed(s *whisper.Step, l *whisper.Linear, x tensor.Mat) tensor.Mat {
	var y tensor.Mat
	if first := b.scales[l.Site]; first.a.IsZero() {
		y = s.Linear(x, &l.Weight, tensor.Mat{})
	} else {
		row := s.AdapterRows()
		y = s.Scale(s.Linear(s.Scale(x, first.b, row), &l.Weight, tensor.Mat{}), first.a, row)
	}
	for from := 0; from < s.Seg.Len(); {
		to := b.run(s, from)
		if f := b.adapters[index(s, from)].at(l.Site); f != nil {
			i, j := int(s.Seg[from]), int(s.Seg[to])
			part := y.Slice(i, j)
			f.rest(s, l, &part, x.Slice(i, j))
		}
		from = to
	}
	return y
}

// first returns the first term.
func (f *Factors) first(s *whisper.Step, l *whisper.Linear, x tensor.Mat) tensor.Mat {
	if f.A.IsZero() {
		return s.Linear(x, &l.Weight, tensor.Mat{})
	}
	return f.term(s, l, x, 0)
}

// rest adds the further terms and the added product to y.
func (f *Factors) rest(s *whisper.Step, l *whisper.Linear, y *tensor.Mat, x tensor.Mat) {
	for k := 1; k < f.rank(); k++ {
		s.AddTo(y, f.term(s, l, x, k))
	}
	if !f.U.IsZero() {
		s.AddTo(y, s.Linear(s.Linear(x, &tensor.Weight{Mat: f.V}, tensor.Mat{}), &tensor.Weight{Mat: f.U}, tensor.Mat{}))
	}
}

// term returns a_k ∘ ((b_k ∘ x) Wᵀ).
func (f *Factors) term(s *whisper.Step, l *whisper.Linear, x tensor.Mat, k int) tensor.Mat {
	y := s.Linear(s.Scale(x, f.B.Slice(k, k+1), nil), &l.Weight, tensor.Mat{})
	return s.Scale(y, f.A.Slice(k, k+1), nil)
}

// index returns the adapter index of sequence i of a step.
func index(s *whisper.Step, i int) int32 {
	if s.AdapterOf == nil {
		return 0
	}
	return s.AdapterOf[i]
}

// run returns the end of the run of sequences from the given one on that share its adapter.
func (b *Batch) run(s *whisper.Step, from int) int {
	to := from + 1
	for to < s.Seg.Len() && index(s, to) == index(s, from) {
		to++
	}
	return to
}

// touches reports whether any sequence of the step has an adapter that adapts site.
func (b *Batch) touches(s *whisper.Step, site whisper.Site) bool {
	if _, ok := b.scales[site]; !ok {
		return false
	}
	for _, i := range s.AdapterOf {
		if b.adapters[i].at(site) != nil {
			return true
		}
	}
	return false
}

// Name returns the name of the adapter at index i, "" for the identity.
func (b *Batch) Name(i int32) string {
	if a := b.adapters[i]; a != nil {
		return a.Name
	}
	return ""
}
