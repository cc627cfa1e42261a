package flora

// Sweep is SweepBatch of all devices.
func (b *Bank) Sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shrink()
	for number := range b.batches {
		b.sweep(number)
	}
}

// SweepBatch moves down what is beyond the budget, and frees the indices in the batch of a device of adapters
// that nobody needs. It belongs to the goroutine of that batch.
func (b *Bank) SweepBatch(number int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shrink()
	b.sweep(number)
}

// sweep frees the indices in a batch that nobody has any more.
func (b *Bank) sweep(number int) {
	d := b.batches[number]
	for _, at := range d.leaving {
		d.batch.Remove(at.index)
		at.resident.Free()
	}
	clear(d.leaving)
	d.leaving = d.leaving[:0]
	b.asked = b.asked && b.unswept()
}

// unswept reports whether any index is to be freed.
func (b *Bank) unswept() bool {
	for _, d := range b.batches {
		if len(d.leaving) > 0 {
			return true
		}
	}
	return false
}

// shrinkUnlock shrinks the bank on any goroutine, and unlocks it. What only a batch's goroutine may
// do, that is asked for.
func (b *Bank) shrinkUnlock() {
	b.shrink()
	wake := b.unswept() && !b.asked && b.options.Wake != nil
	b.asked = b.asked || wake
	b.mu.Unlock()
	if wake {
		b.options.Wake()
	}
}

// shrink forgets versions that have neither name nor pin, and moves down what was used least lately
// while all take more than the budget.
func (b *Bank) shrink() {
	for v := range b.loose {
		if v.names > 0 || v.pins > 0 { // again
			delete(b.loose, v)
		} else {
			b.drop(v)
		}
	}
	for limit := b.options.MaxBytes; limit > 0 && b.budgeted() > limit; {
		v := b.oldest()
		if v == nil {
			break // what is pinned, kept, or cannot be opened again
		}
		b.lower(v)
		b.stats.Lowered++
	}
}

// oldest returns the version that was used least lately of those that can go down by a tier, nil where
// there is none.
func (b *Bank) oldest() (oldest *version) {
	for v := range b.inMemory {
		down := v.resident() != nil || v.origin.fsys != nil
		if down && v.pins == 0 && !v.kept && (oldest == nil || v.used < oldest.used) {
			oldest = v
		}
	}
	return oldest
}

// lower moves a version down by a tier.
func (b *Bank) lower(v *version) {
	if v.resident() != nil {
		b.leave(v)
		return
	}
	v.adapter, v.adapterBytes = nil, 0
	delete(b.inMemory, v)
}

// drop forgets a version.
func (b *Bank) drop(v *version) {
	b.leave(v)
	delete(b.versions, v)
	delete(b.inMemory, v)
	delete(b.loose, v)
	if b.byHash[v.hash] == v {
		delete(b.byHash, v.hash)
	}
}

// leave takes a version out of all batches.
func (b *Bank) leave(v *version) {
	for number, at := range v.on {
		switch {
		case at.index != 0:
			b.batches[number].leaving = append(b.batches[number].leaving, at)
		case at.resident != nil:
			at.resident.Free()
		}
	}
	v.on = nil
}

// budgeted returns the memory of all versions, without merged weights, which are made and given up within a budget of their own:
// [Policy.MergedBytes].
func (b *Bank) budgeted() (n int64) {
	for v := range b.inMemory {
		n += v.bytesBy((*Resident).factorBytes)
	}
	return n
}

// bytes returns the memory of all versions.
func (b *Bank) bytes() (n int64) {
	for v := range b.inMemory {
		n += v.bytes()
	}
	return n
}

// bytes returns the memory of a version, with what the executor keeps for it now on the device where that is most.
func (v *version) bytes() int64 { return v.bytesBy((*Resident).Bytes) }

func (v *version) bytesBy(of func(*Resident) int64) int64 {
	n := v.adapterBytes
	for _, at := range v.on {
		if at.resident != nil {
			n = max(n, of(at.resident))
		}
	}
	return n
}
