package flora

// Sweep frees the indices of adapters that nobody needs, and moves down what is beyond the budget. It
// belongs to the goroutine of the batch.
func (b *Bank) Sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = false
	b.shrink(true)
}

// shrinkUnlock shrinks the bank on any goroutine, and unlocks it. What only the batch's goroutine may
// do, that is asked for.
func (b *Bank) shrinkUnlock() {
	wake := b.shrink(false) && !b.asked && b.options.Wake != nil
	b.asked = b.asked || wake
	b.mu.Unlock()
	if wake {
		b.options.Wake()
	}
}

// shrink forgets versions that have neither name nor pin, and moves down what was used least lately
// while all take more than the budget. inBatch says that the caller is on the batch's goroutine;
// elsewhere it reports whether there is more to do on that.
func (b *Bank) shrink(inBatch bool) (more bool) {
	for v := range b.loose {
		switch {
		case v.names > 0 || v.pins > 0: // again
			delete(b.loose, v)
		case v.index != 0 && !inBatch:
			more = true
		default:
			b.drop(v)
		}
	}
	for limit := b.options.MaxBytes; limit > 0 && b.bytes() > limit; {
		v := b.oldest()
		if v == nil {
			break // what is pinned, kept, or cannot be opened again
		}
		if v.index != 0 && !inBatch {
			return true
		}
		b.lower(v)
		b.stats.Lowered++
	}
	return more
}

// oldest returns the version that was used least lately of those that can go down by a tier, nil where
// there is none.
func (b *Bank) oldest() (oldest *version) {
	for v := range b.inMemory {
		down := v.resident != nil || v.origin.fsys != nil
		if down && v.pins == 0 && !v.kept && (oldest == nil || v.used < oldest.used) {
			oldest = v
		}
	}
	return oldest
}

// lower moves a version down by a tier.
func (b *Bank) lower(v *version) {
	if v.resident != nil {
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

// leave takes a version out of the batch.
func (b *Bank) leave(v *version) {
	if v.index != 0 {
		b.batch.Remove(v.index)
	}
	if v.resident != nil {
		v.resident.Free()
	}
	v.index, v.resident = 0, nil
}

// bytes returns the memory of all versions.
func (b *Bank) bytes() int64 {
	var n int64
	for v := range b.inMemory {
		n += v.bytes()
	}
	return n
}

// bytes returns the memory of a version, with what the executor keeps for it now.
func (v *version) bytes() int64 {
	if v.resident != nil {
		return v.resident.Bytes()
	}
	return v.adapterBytes
}
