package flora

import (
	"errors"
	"slices"
	"sync"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// weights computes the rows of a linear that pass weights of their adapters'.
type weights struct {
	groups  []group     // of the linear at hand
	task    func(i int) // computes one, made once
	threads int         // that the backend computes with, 1 where it does not tell
	merged  merged
	rows    []tensor.RowGroup // of the linear at hand, for a backend that takes all at once

	mu      sync.Mutex
	scratch []*tensor.Weight // for mixed weights, those that are free
}

// group are the sequences under one adapter.
type group struct {
	*adapted
	index int32
	first int            // sequence
	rows  int            // of all its sequences
	own   *tensor.Weight // nil: to be mixed
}

func (t *weights) begin(b *Batch) {
	t.threads = 1
	if c, ok := b.backend.(interface{ Threads() int }); ok {
		t.threads = c.Threads()
	}
	t.task = func(i int) { b.computeGroup(&t.groups[i]) }
}

// add lists the sequences under adapter k, of which the given one is the first.
func (t *weights) add(b *Batch, a *adapted, k int32, first int) {
	s := b.pass.s
	g := group{adapted: a, index: k, first: first, own: b.kept(a)}
	for i := first; i < s.Seg.Len(); i++ {
		if from, to := s.Seg.Range(i); index(s, i) == k {
			g.rows += to - from
		}
	}
	t.groups = append(t.groups, g)
}

// compute computes the groups: as many at once as there are threads, each by one thread that no other waits for,
// where they have as many rows; the others one after the other, each by all threads.
func (t *weights) compute(b *Batch) {
	together := len(t.groups) / t.threads * t.threads
	if t.threads == 1 || !t.alike() {
		together = 0
	}
	if together > 0 {
		b.reserve(min(together, t.threads))
		b.pass.s.Chooser().Each(together, t.task)
	}
	for i := together; i < len(t.groups); i++ {
		t.task(i)
	}
	clear(t.groups)
	t.groups = t.groups[:0]
}

// alike reports whether all groups have as many rows, and the backend makes their weights.
func (t *weights) alike() bool {
	for i := range t.groups {
		if g := &t.groups[i]; g.rows != t.groups[0].rows || g.own == nil && g.update == nil {
			return false
		}
	}
	return true
}

// computeGroup computes the rows of a group.
func (b *Batch) computeGroup(g *group) {
	p, w := &b.pass, g.own
	if w == nil {
		var err error
		if w, err = b.mixed(p.l, g.adapted); err != nil {
			p.s.Fail(err)
			return
		}
		defer b.weights.put(w)
	}
	bias := g.biasOf(p.l)
	runsOf(p.s, g.index, g.first, func(from, to int) {
		p.s.LinearTo(p.y.Slice(from, to), p.x.Slice(from, to), w, bias, tensor.Scales{}, nil, p.gelu)
	})
}

// biasOf returns the bias of a linear for rows that pass the adapter's weight.
func (a *adapted) biasOf(l *whisper.Linear) tensor.Mat {
	if a.factors.D.IsZero() {
		return l.Bias
	}
	return a.bias
}

// runsOf calls f for rows from:to of the sequences under adapter k, as many together as stand side by side. first is the first of the sequences.
func runsOf(s *whisper.Step, k int32, first int, f func(from, to int)) {
	for from := first; from < s.Seg.Len(); {
		to := from
		for to < s.Seg.Len() && index(s, to) == k {
			to++
		}
		if i, j := int(s.Seg[from]), int(s.Seg[to]); i < j {
			f(i, j)
		}
		from = to + 1
	}
}

// mixed returns the weight of a linear under an adapter, which is to be put back. The error is that of a device, and
// wraps tensor.ErrMemory where it has no room.
func (b *Batch) mixed(l *whisper.Linear, a *adapted) (*tensor.Weight, error) {
	m, ok := b.backend.(tensor.Mixer)
	if !ok || l.Weight.Packed == nil {
		return b.remade(l, a)
	}
	w, err := b.taken(m, l)
	if err == nil {
		m.Mix(w.Packed, l.Weight.Packed, a.update)
	}
	return w, err
}

// taken is take that gives merged weights up for room.
func (b *Batch) taken(m tensor.Mixer, l *whisper.Linear) (*tensor.Weight, error) {
	w, err := b.weights.take(m, l)
	if errors.Is(err, tensor.ErrMemory) && b.weights.merged.release(b.stepResidents) {
		w, err = b.weights.take(m, l)
	}
	return w, err
}

// reserve makes memory for n mixed weights of the linear at hand, so that it does not depend on how many
// threads come to mix at once when more is made.
func (b *Batch) reserve(n int) {
	t, l := &b.weights, b.pass.l
	m, ok := b.backend.(tensor.Mixer)
	if !ok || l.Weight.Packed == nil {
		return
	}
	for i := range t.scratch {
		if like(t.scratch[i], &l.Weight) {
			n--
		}
	}
	for range n {
		w, err := newMixed(m, l)
		if err != nil {
			return // it will be taken as it is needed
		}
		t.scratch = append(t.scratch, w)
	}
}

// like reports whether w has the shape and format of another packed weight.
func like(w, other *tensor.Weight) bool {
	return w.Rows == other.Rows && w.Cols == other.Cols && w.Packed.DType() == other.Packed.DType()
}

// newMixed returns memory for an update of a linear's weight.
func newMixed(m tensor.Mixer, l *whisper.Linear) (*tensor.Weight, error) {
	room, err := m.NewMixed(l.Weight.Packed)
	return &tensor.Weight{Mat: shapeOf(l), Packed: room}, err
}

// shapeOf returns the weight of a linear without its numbers.
func shapeOf(l *whisper.Linear) tensor.Mat {
	return tensor.Mat{Rows: l.Weight.Rows, Cols: l.Weight.Cols}
}

// take returns memory for an update of a linear's weight, that of others if there is some.
func (t *weights) take(m tensor.Mixer, l *whisper.Linear) (*tensor.Weight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.scratch, func(w *tensor.Weight) bool { return like(w, &l.Weight) })
	if i < 0 {
		return newMixed(m, l)
	}
	w := t.scratch[i]
	t.scratch = slices.Delete(t.scratch, i, i+1)
	return w, nil
}

// put takes the memory of a mixed weight back.
func (t *weights) put(w *tensor.Weight) {
	if w.Packed == nil || !w.IsZero() { // it was remade, of plain numbers
		tensor.Free(w.Packed)
		return
	}
	t.mu.Lock()
	t.scratch = append(t.scratch, w)
	t.mu.Unlock()
}

// remade returns the weight of a linear under an adapter, where the backend does not mix: made of the plain one.
func (b *Batch) remade(l *whisper.Linear, a *adapted) (*tensor.Weight, error) {
	plain, ok, err := l.Weight.Plain(b.backend)
	if err != nil {
		return nil, err
	}
	if !ok {
		panic("flora: weights of " + l.Site.String() + " cannot be looked up")
	}
	u := a.factors.update()
	w := &tensor.Weight{Mat: u.Apply(plain)}
	dtype := tensor.F32
	if p := l.Weight.Packed; p != nil {
		dtype = p.DType()
	} else if _, ok := b.backend.(tensor.Device); !ok {
		return w, nil
	}
	w.Packed, err = b.backend.Pack(w.Mat, dtype)
	return w, err
}
