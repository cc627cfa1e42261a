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
	sites    map[whisper.Site]*site
}

// site is what the adapters do at one linear, by index, so that a step looks for it in one place.
type site struct {
	// Scales of the first terms side by side, (nAdapter, nOut) and (nAdapter, nIn): row 0, the
	// identity, and the rows of adapters that scale nothing are ones. The zero Mat: none scales.
	a, b tensor.Mat

	factors []*Factors // nil: does not adapt this linear
	more    []bool     // does more than scale once
}

// NewBatch returns the batch of the given adapters of model m, or [ErrBase].
func NewBatch(m *whisper.Model, adapters ...*Adapter) (*Batch, error) {
	b := &Batch{adapters: append([]*Adapter{nil}, adapters...), sites: make(map[whisper.Site]*site)}
	for _, a := range adapters {
		if err := a.Check(m); err != nil {
			return nil, err
		}
	}
	for _, l := range m.Linears() {
		if s, ok := b.stack(l); ok {
			b.sites[l.Site] = s
		}
	}
	return b, nil
}

// stack lays the first terms of the adapters of l side by side; !ok where none adapts it.
func (b *Batch) stack(l *whisper.Linear) (s *site, ok bool) {
	n := len(b.adapters)
	s = &site{factors: make([]*Factors, n), more: make([]bool, n)}
	for i, a := range b.adapters {
		f := a.at(l.Site)
		if f == nil {
			continue
		}
		ok = true
		s.factors[i], s.more[i] = f, f.rank() > 1 || !f.U.IsZero()
		if f.A.IsZero() {
			continue
		}
		if s.a.IsZero() {
			s.a, s.b = ones(n, l.Weight.Rows), ones(n, l.Weight.Cols)
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

// Linear returns y = Σ_k a_k ∘ ((b_k ∘ x) Wᵀ) + (x Vᵀ) Uᵀ + bias, or GELU of it, for the rows x of
// each sequence under its adapter. The terms are added in an order that is the same for all: the
// first, the bias, the further ones, the product of U and V.
func (b *Batch) Linear(s *whisper.Step, l *whisper.Linear, x tensor.Mat, gelu bool) (y tensor.Mat, ok bool) {
	at := b.sites[l.Site]
	adapted, more := at.touched(s)
	if !adapted {
		return tensor.Mat{}, false
	}
	first, scaled := at.first(s)
	if !more && gelu {
		if !scaled {
			return s.LinearGELU(x, &l.Weight, l.Bias), true
		}
		return s.ScaledLinearGELU(x, &l.Weight, l.Bias, first), true
	}
	if scaled {
		y = s.ScaledLinear(x, &l.Weight, l.Bias, first)
	} else {
		y = s.Linear(x, &l.Weight, l.Bias)
	}
	if more {
		at.rest(s, l, &y, x)
	}
	if gelu {
		y = s.GELU(y)
	}
	return y, true
}

// first returns the scales of the first terms, looked up row by row; those of the one adapter, which
// may be trained, where there is no other. !scaled where all are ones.
func (t *site) first(s *whisper.Step) (first tensor.Scales, scaled bool) {
	if run(s, 0) == s.Seg.Len() {
		f := t.factors[index(s, 0)]
		if f.A.IsZero() {
			return tensor.Scales{}, false
		}
		return f.term(0), true
	}
	if t.a.IsZero() {
		return tensor.Scales{}, false
	}
	return tensor.Scales{In: t.b, Out: t.a, Row: s.AdapterRows()}, true
}

// rest adds to y what the adapters have beyond the first term, for the rows of those that do.
func (t *site) rest(s *whisper.Step, l *whisper.Linear, y *tensor.Mat, x tensor.Mat) {
	for from := 0; from < s.Seg.Len(); {
		to, k := run(s, from), index(s, from)
		switch i, j := int(s.Seg[from]), int(s.Seg[to]); {
		case !t.more[k]:
		case j-i == y.Rows:
			t.factors[k].rest(s, l, y, x)
		default:
			part := y.Slice(i, j)
			t.factors[k].rest(s, l, &part, x.Slice(i, j))
		}
		from = to
	}
}

// rest adds the further terms and the added product to y.
func (f *Factors) rest(s *whisper.Step, l *whisper.Linear, y *tensor.Mat, x tensor.Mat) {
	for k := 1; k < f.rank(); k++ {
		s.AddTo(y, s.ScaledLinear(x, &l.Weight, tensor.Mat{}, f.term(k)))
	}
	if !f.U.IsZero() {
		s.AddTo(y, s.Linear(s.Linear(x, &tensor.Weight{Mat: f.V}, tensor.Mat{}), &tensor.Weight{Mat: f.U}, tensor.Mat{}))
	}
}

// term returns the scales of term k.
func (f *Factors) term(k int) tensor.Scales {
	return tensor.Scales{In: f.B.Slice(k, k+1), Out: f.A.Slice(k, k+1)}
}

// index returns the adapter index of sequence i of a step.
func index(s *whisper.Step, i int) int32 {
	if s.AdapterOf == nil {
		return 0
	}
	return s.AdapterOf[i]
}

// run returns the end of the run of sequences from the given one on that share its adapter.
func run(s *whisper.Step, from int) int {
	to := from + 1
	for to < s.Seg.Len() && index(s, to) == index(s, from) {
		to++
	}
	return to
}

// touched reports whether any sequence of the step has an adapter that adapts the linear, and one that
// does more than scale. t may be nil.
func (t *site) touched(s *whisper.Step) (adapted, more bool) {
	if t == nil {
		return false, false
	}
	for _, i := range s.AdapterOf {
		adapted, more = adapted || t.factors[i] != nil, more || t.more[i]
	}
	return adapted, more
}

// Name returns the name of the adapter at index i, "" for the identity.
func (b *Batch) Name(i int32) string {
	if a := b.adapters[i]; a != nil {
		return a.Name
	}
	return ""
}
