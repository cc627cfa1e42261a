package flora

import (
	"slices"

	"glossa/whisper/tensor"
)

// merged are the weights that are kept as adapters have them, within [Policy.MergedBytes]: those of the adapters that were used last. On a
// device they are made there, by [tensor.Mixer], from the base model's weights, and stay there.
type merged struct {
	bytes   int64
	clock   int64       // uses so far
	holders []*Resident // that have some
}

// kept returns the merged weight of an adapter for the linear at hand, nil where it has none, for which there is no room, on the device or
// by the policy. It makes what is missing, in the place of what adapters have that no sequence of the step is under, the one that was not
// used for the longest time first.
func (b *Batch) kept(a *adapted) *tensor.Weight {
	t, l := &b.weights.merged, b.pass.l
	w := l.Weight.Packed
	m, ok := b.backend.(tensor.Mixer)
	if a.strategy != Merged || !ok || w == nil {
		return nil
	}
	t.clock++
	a.resident.used = t.clock
	if a.kept.Packed != nil && a.base == w {
		return &a.kept
	}
	t.drop(a)
	room := t.room(b, m, &l.Weight)
	if room == nil {
		return nil // it is mixed at each use, in memory that all share
	}
	a.base, a.kept = w, tensor.Weight{Mat: shapeOf(l), Packed: room}
	t.hold(a)
	m.Mix(a.kept.Packed, w, a.update)
	return &a.kept
}

// room returns memory for a weight, nil where there is none.
func (t *merged) room(b *Batch, m tensor.Mixer, w *tensor.Weight) tensor.Packed {
	size, limit := tensor.PackedBytes(w.Packed), b.options.Policy.MergedBytes
	if size > limit {
		return nil
	}
	for t.bytes+size > limit {
		r := t.coldest(b.stepResidents)
		if r == nil {
			return nil
		}
		i := slices.IndexFunc(r.holding, func(a *adapted) bool { return like(&a.kept, w) })
		if i < 0 {
			t.drop(r.holding[0])
			continue
		}
		return t.let(r.holding[i]) // the same memory, so that nothing is given back and asked for again
	}
	room, err := m.NewMixed(w.Packed)
	if err != nil {
		return nil
	}
	return room
}

// coldest returns which of those that hold merged weights, and are not among those in use, was not used for the longest time; nil where
// there is none.
func (t *merged) coldest(inUse func(*Resident) bool) (coldest *Resident) {
	for _, r := range t.holders {
		if (coldest == nil || r.used < coldest.used) && !inUse(r) {
			coldest = r
		}
	}
	return coldest
}

// stepResidents reports whether a sequence of the step at hand is under a resident.
func (b *Batch) stepResidents(r *Resident) bool {
	return slices.ContainsFunc(b.pass.s.AdapterOf, func(k int32) bool { return b.residents[k] == r })
}

// hold counts the merged weight that a now has.
func (t *merged) hold(a *adapted) {
	size := tensor.PackedBytes(a.kept.Packed)
	t.bytes += size
	r := a.resident
	r.merged.Add(size)
	if len(r.holding) == 0 {
		t.holders = append(t.holders, r)
	}
	r.holding = append(r.holding, a)
}

// let takes a merged weight from an adapter, and returns its memory.
func (t *merged) let(a *adapted) tensor.Packed {
	room, r := a.kept.Packed, a.resident
	size := tensor.PackedBytes(room)
	t.bytes -= size
	r.merged.Add(-size)
	a.kept, a.base = tensor.Weight{}, nil
	r.holding = slices.DeleteFunc(r.holding, func(held *adapted) bool { return held == a })
	if len(r.holding) == 0 {
		t.holders = slices.DeleteFunc(t.holders, func(held *Resident) bool { return held == r })
	}
	return room
}

// drop forgets a merged weight, and gives its memory back.
func (t *merged) drop(a *adapted) {
	if a.kept.Packed != nil {
		tensor.Free(t.let(a))
	}
}

// forget drops the merged weights of a resident.
func (t *merged) forget(r *Resident) {
	for len(r.holding) > 0 {
		t.drop(r.holding[len(r.holding)-1])
	}
}

// release drops the merged weights of all that are not in use. It reports whether there were some.
func (t *merged) release(inUse func(*Resident) bool) (any bool) {
	for r := t.coldest(inUse); r != nil; r = t.coldest(inUse) {
		t.forget(r)
		any = true
	}
	return any
}

// Trim gives back the memory of merged weights, which are made again where they are needed and there is room, and of those that were
// mixed for a step. It is for a device that has none for something else.
func (b *Batch) Trim() {
	b.weights.merged.release(func(*Resident) bool { return false })
	t := &b.weights
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.scratch {
		tensor.Free(w.Packed)
	}
	clear(t.scratch)
	t.scratch = t.scratch[:0]
}
