package flora

import (
	"fmt"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Batch applies adapters to the sequences of a step, each its own: it is the model's
// [whisper.Adapter]. Index 0 is the identity, the base model; [Batch.Put] gives an adapter an index.
// A sequence's result is bitwise the same whatever adapters stand beside it.
//
// A Batch serves one goroutine, but for Prepare, which any number may call.
type Batch struct {
	model     *whisper.Model
	backend   tensor.Backend
	residents []*Resident // by index; residents[0] is nil, as is an index that is free
	sites     map[whisper.Site]*site
}

// Resident is an adapter in the form that a [Batch] applies.
type Resident struct {
	Adapter *Adapter
	factors map[whisper.Site]*Factors // without magnitudes
}

// site is what the adapters do at one linear, by index, so that a step looks for it in one place.
type site struct {
	// Scales of the first terms side by side, (nAdapter, nOut) and (nAdapter, nIn): row 0, the
	// identity, and the rows of adapters that scale nothing are ones. The zero Mat: none scales.
	a, b tensor.Mat

	factors []*Factors // nil: does not adapt this linear
	more    []bool     // does more than scale once
}

// NewBatch returns a batch for model m on b, with the given adapters at the indices from 1 on. The
// errors are those of [Batch.Prepare].
func NewBatch(m *whisper.Model, b tensor.Backend, adapters ...*Adapter) (*Batch, error) {
	t := &Batch{model: m, backend: b, residents: []*Resident{nil}, sites: make(map[whisper.Site]*site)}
	for _, l := range m.Linears() {
		t.sites[l.Site] = &site{factors: []*Factors{nil}, more: []bool{false}}
	}
	for _, a := range adapters {
		r, err := t.Prepare(a)
		if err != nil {
			return nil, err
		}
		t.Put(r)
	}
	return t, nil
}

// Prepare returns a as the batch applies it. The errors are [ErrBase], and [ErrUnsupported] where a has
// magnitudes and the weights of the model cannot be looked up.
func (b *Batch) Prepare(a *Adapter) (*Resident, error) {
	if err := a.Check(b.model); err != nil {
		return nil, err
	}
	r := &Resident{Adapter: a, factors: make(map[whisper.Site]*Factors, len(a.Sites))}
	for _, l := range b.model.Linears() {
		f := a.Sites[l.Site]
		if f == nil {
			continue
		}
		f = f.withBias(l.Bias)
		if !f.M.IsZero() {
			w, err := b.plain(&l.Weight)
			if err != nil {
				return nil, fmt.Errorf("adapter %s: %s: %w", a.Name, l.Site, err)
			}
			f = f.folded(f.norms(w))
		}
		r.factors[l.Site] = f
	}
	return r, nil
}

// plain returns the numbers of a weight, rounded as it is packed where it was not kept otherwise.
func (b *Batch) plain(w *tensor.Weight) (tensor.Mat, error) {
	if !w.IsZero() {
		return w.Mat, nil
	}
	e, ok := b.backend.(tensor.PackedEmbedder)
	if !ok {
		return tensor.Mat{}, fmt.Errorf("%w: %s does not look weights up", ErrUnsupported, b.backend.Name())
	}
	m, id := tensor.Zeros(w.Rows, w.Cols), make([]int32, w.Rows)
	for i := range id {
		id[i] = int32(i)
	}
	e.EmbedPacked(m, w.Packed, id)
	return m, nil
}

// Put gives a resident of this batch the least index that is free.
func (b *Batch) Put(r *Resident) (index int32) {
	i := 1
	for i < len(b.residents) && b.residents[i] != nil {
		i++
	}
	if i == len(b.residents) {
		b.residents = append(b.residents, nil)
	}
	b.residents[i] = r
	for _, l := range b.model.Linears() {
		b.sites[l.Site].put(i, r.factors[l.Site], l.Weight.Rows, l.Weight.Cols)
	}
	return int32(i)
}

// Remove frees the index of a resident, which no sequence has any more.
func (b *Batch) Remove(index int32) {
	b.residents[index] = nil
	for _, l := range b.model.Linears() {
		b.sites[l.Site].put(int(index), nil, l.Weight.Rows, l.Weight.Cols)
	}
}

// put sets what index i does, nothing where f is nil, at a linear (nOut, nIn).
func (t *site) put(i int, f *Factors, nOut, nIn int) {
	for len(t.factors) <= i {
		t.factors, t.more = append(t.factors, nil), append(t.more, false)
	}
	t.factors[i], t.more[i] = f, f.more()
	if t.a.IsZero() && !f.scales() {
		return
	}
	t.a, t.b = withRows(t.a, len(t.factors), nOut), withRows(t.b, len(t.factors), nIn)
	setOnes(t.a.Row(i))
	setOnes(t.b.Row(i))
	if f.scales() && !f.A.IsZero() {
		copy(t.a.Row(i), f.A.Row(0))
	}
	if f.scales() && !f.B.IsZero() {
		copy(t.b.Row(i), f.B.Row(0))
	}
}

// withRows returns m with at least so many rows, those that it did not have of ones.
func withRows(m tensor.Mat, rows, cols int) tensor.Mat {
	if m.Rows >= rows {
		return m
	}
	grown := tensor.Zeros(rows, cols)
	setOnes(grown.Data[copy(grown.Data, m.Data):])
	return grown
}

// scales reports whether the first term is scaled. f may be nil.
func (f *Factors) scales() bool { return f != nil && !f.Base && f.terms() > 0 }

// more reports whether there is more than the first term. f may be nil.
func (f *Factors) more() bool {
	return f != nil && (f.further() < f.terms() || !f.U.IsZero() || !f.D.IsZero())
}

// further returns the index of the first of the further terms.
func (f *Factors) further() int {
	if f.Base {
		return 0
	}
	return 1
}

// Index returns the index of the named adapter, or [ErrUnknown]. The name "" is the identity.
func (b *Batch) Index(name string) (int32, error) {
	if name == "" {
		return 0, nil
	}
	for i, r := range b.residents {
		if r != nil && r.Adapter.Name == name {
			return int32(i), nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrUnknown, name)
}

// Names returns the names of the adapters in the order of their indices.
func (b *Batch) Names() []string {
	var names []string
	for _, r := range b.residents {
		if r != nil {
			names = append(names, r.Adapter.Name)
		}
	}
	return names
}

// Linear returns what [Factors] has, or GELU of it, for the rows x of each sequence under its adapter.
// The terms are added in an order that is the same for all: the first, the bias, the further ones, the
// product of U and V, what is added to the bias.
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

// first returns the scales of the first terms, looked up row by row. !scaled where all are ones.
func (t *site) first(s *whisper.Step) (first tensor.Scales, scaled bool) {
	for _, i := range s.AdapterOf {
		if t.factors[i].scales() {
			return tensor.Scales{In: t.b, Out: t.a, Row: s.AdapterRows()}, true
		}
	}
	return tensor.Scales{}, false
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

// rest adds what comes behind the first term to y.
func (f *Factors) rest(s *whisper.Step, l *whisper.Linear, y *tensor.Mat, x tensor.Mat) {
	for k := f.further(); k < f.terms(); k++ {
		s.AddTo(y, f.term(s, l, x, tensor.Mat{}, k))
	}
	if !f.U.IsZero() {
		s.AddTo(y, f.product(s, x))
	}
	if !f.D.IsZero() {
		s.AddBiasTo(y, f.D)
	}
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
	if r := b.residents[i]; r != nil {
		return r.Adapter.Name
	}
	return ""
}
