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
	options   Options
	residents []*Resident // by index; residents[0] is nil, as is an index that is free
	sites     map[whisper.Site]*site
	pass      pass
	weights   weights
}

// NewBatch returns a batch for model m on b, with the given adapters at the indices from 1 on, under the
// zero [Options]. The errors are those of [Batch.Prepare].
func NewBatch(m *whisper.Model, b tensor.Backend, adapters ...*Adapter) (*Batch, error) {
	return NewBatchWith(m, b, Options{}, adapters...)
}

// NewBatchWith is NewBatch under options. The errors are those of [Batch.Prepare] and [ErrStrategy].
func NewBatchWith(m *whisper.Model, b tensor.Backend, o Options, adapters ...*Adapter) (*Batch, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &Batch{
		model: m, backend: b, options: o.withDefaults(m, b),
		residents: []*Resident{nil}, sites: make(map[whisper.Site]*site),
	}
	for _, l := range m.Linears() {
		t.sites[l.Site] = &site{linear: l, of: []placed{{}}}
	}
	t.pass.begin()
	t.weights.begin(t)
	for _, a := range adapters {
		r, err := t.Prepare(a)
		if err != nil {
			return nil, err
		}
		if _, err := t.Put(r); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Put gives a resident of this batch the least index that is free. The error wraps tensor.ErrMemory, of a device.
func (b *Batch) Put(r *Resident) (index int32, err error) {
	i := 1
	for i < len(b.residents) && b.residents[i] != nil {
		i++
	}
	if i == len(b.residents) {
		b.residents = append(b.residents, nil)
	}
	b.residents[i] = r
	for _, l := range b.model.Linears() {
		if err := b.sites[l.Site].put(b.backend, i, r.sites[l.Site]); err != nil {
			b.Remove(int32(i))
			return 0, fmt.Errorf("adapter %s: %w", r.Adapter.Name, err)
		}
	}
	return int32(i), nil
}

// Remove frees the index of a resident, which no sequence has any more, and its merged weights.
func (b *Batch) Remove(index int32) {
	b.weights.merged.forget(b.residents[index])
	b.residents[index] = nil
	for _, t := range b.sites {
		t.put(b.backend, int(index), nil) // takes no memory
	}
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

// Name returns the name of the adapter at index i, "" for the identity.
func (b *Batch) Name(i int32) string {
	if r := b.residents[i]; r != nil {
		return r.Adapter.Name
	}
	return ""
}

// Linear returns what [Factors] has, or GELU of it, for the rows x of each sequence under its adapter, by
// the adapter's strategy. It is not differentiable: see [Alone].
func (b *Batch) Linear(s *whisper.Step, l *whisper.Linear, x tensor.Mat, gelu bool) (y tensor.Mat, ok bool) {
	at := b.sites[l.Site]
	if at == nil || !at.touched(s) {
		return tensor.Mat{}, false
	}
	y = s.New(x.Rows, l.Weight.Rows)
	b.compute(s, l, at, y, x, gelu)
	return y, true
}

// LinearAdd adds to y what Linear returns.
func (b *Batch) LinearAdd(s *whisper.Step, l *whisper.Linear, y, x tensor.Mat) (ok bool) {
	at := b.sites[l.Site]
	if at == nil || !at.touched(s) {
		return false
	}
	byWeight, copies := b.passes(s, at)
	switch {
	case !byWeight && !copies:
		scales, low := b.pass.operands(s, at, 0, x.Rows)
		s.LinearAddTo(y, x, &l.Weight, l.Bias, scales, low)
	case b.groups(l) && !copies:
		b.pass.start(s, l, at, y, x, false)
		b.computeGrouped(true)
		b.pass.end()
	default:
		z := s.New(y.Rows, y.Cols)
		b.compute(s, l, at, z, x, false)
		s.AddTo(&y, z)
	}
	return true
}

// passes reports whether rows of any sequence of a step pass a weight of their adapter's, and whether copies of any for further terms pass the
// base model's.
func (b *Batch) passes(s *whisper.Step, at *site) (byWeight, copies bool) {
	for i := range s.Seg.Len() {
		if b.byWeight(s, at, i) {
			byWeight = true
		} else if len(at.of[index(s, i)].further) > 0 {
			copies = true
		}
	}
	return byWeight, copies
}

// compute computes into y what Linear returns.
func (b *Batch) compute(s *whisper.Step, l *whisper.Linear, at *site, y, x tensor.Mat, gelu bool) {
	p := &b.pass
	p.start(s, l, at, y, x, gelu)
	defer p.end()
	if b.groups(l) {
		if byWeight, copies := b.passes(s, at); byWeight && !copies {
			b.computeGrouped(false)
			return
		}
	}
	b.runs(p.byRows, func(k int32, first int) { b.weights.add(b, at.of[k].adapted, k, first) })
	b.weights.compute(b)
}

// runs calls byRows for rows from:to of sequences that pass the base model's weight, as many together as stand side by side, and byWeight for each
// adapter k whose rows pass a weight of its own, with the first sequence of these.
func (b *Batch) runs(byRows func(from, to int), byWeight func(k int32, first int)) {
	s, at := b.pass.s, b.pass.at
	for from, n := 0, s.Seg.Len(); from < n; {
		to := from
		for to < n && !b.byWeight(s, at, to) {
			to++
		}
		if to > from {
			byRows(int(s.Seg[from]), int(s.Seg[to]))
			from = to
			continue
		}
		if k := index(s, from); !earlier(s, from, k) {
			byWeight(k, from)
		}
		from++
	}
}

// touched reports whether any sequence of the step has an adapter that adapts the linear.
func (t *site) touched(s *whisper.Step) bool {
	for _, i := range s.AdapterOf {
		if t.of[i].adapted != nil {
			return true
		}
	}
	return false
}

// byWeight reports whether the rows of sequence i pass a weight of their adapter's.
func (b *Batch) byWeight(s *whisper.Step, at *site, i int) bool {
	k := index(s, i)
	a := at.of[k].adapted
	if a == nil || a.fromRows == 0 || a.fromRows == never {
		return a != nil && a.fromRows == 0
	}
	rows := 0
	for j := range s.Seg.Len() {
		if index(s, j) == k {
			from, to := s.Seg.Range(j)
			rows += to - from
		}
	}
	return rows >= a.fromRows
}

// index returns the adapter index of sequence i of a step.
func index(s *whisper.Step, i int) int32 {
	if s.AdapterOf == nil {
		return 0
	}
	return s.AdapterOf[i]
}

// earlier reports whether a sequence before i has adapter k.
func earlier(s *whisper.Step, i int, k int32) bool {
	for j := range i {
		if index(s, j) == k {
			return true
		}
	}
	return false
}
