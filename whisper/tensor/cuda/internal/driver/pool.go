//go:build cuda && linux

package driver

import (
	"cmp"
	"fmt"
	"slices"
)

// pool divides slabs of device memory into blocks. A request takes the smallest free block that is large enough, at the lowest
// address; what it leaves is free, and neighbours that are free become one. Which blocks are free is then a set, whatever the
// order in which they became so: a step that asks for the same sizes as the step before gets the same addresses, and is
// found among the graphs.
type pool struct {
	slabs []*slab
	open  []*block           // the free blocks, by size and address
	taken map[Address]*block // the others
	spare *block             // blocks of no use now, by next

	frees uint64 // how often a block was freed
	first int64  // the size of the first slab

	used, peak, reserved int64
	allocs, driverAllocs int64

	// checked: every block is an allocation of the driver's own, for tools and tests that watch those. A freed one is not used
	// again, and is given back as soon as no list that waits can name it.
	checked bool
}

// slab is memory from the driver.
type slab struct {
	address Address
	size    int64
	freed   uint64 // frees when a block of it was last freed
}

// block is part of a slab. prev and next are its neighbours in the slab.
type block struct {
	address    Address
	size       int64
	free       bool
	slab       *slab
	prev, next *block
}

const (
	grain     = 256      // sizes are multiples of it, and so addresses are
	slabGrain = 2 << 20  // the sizes of slabs are multiples of the driver's pages
	slabFirst = 32 << 20 // the size of the first slab on a device of some size
	slabMost  = 512 << 20
)

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// take returns a block of at least bytes, if there is one.
func (p *pool) take(bytes int64) (Address, bool) {
	size := roundUp(max(bytes, 1), grain)
	at, _ := slices.BinarySearchFunc(p.open, size, func(b *block, size int64) int { return cmp.Compare(b.size, size) })
	if at == len(p.open) {
		return 0, false
	}
	b := p.open[at]
	p.open = slices.Delete(p.open, at, at+1)
	if b.size > size {
		rest := p.block()
		*rest = block{address: b.address + Address(size), size: b.size - size, slab: b.slab, prev: b, next: b.next}
		if b.next != nil {
			b.next.prev = rest
		}
		b.next, b.size = rest, size
		p.openUp(rest)
	}
	p.count(b)
	return b.address, true
}

// count notes that a block was taken.
func (p *pool) count(b *block) {
	b.free = false
	p.taken[b.address] = b
	p.allocs++
	p.used += b.size
	p.peak = max(p.peak, p.used)
}

// give makes a block free. It panics where there is no such block.
func (p *pool) give(a Address) {
	b := p.taken[a]
	if b == nil {
		panic(fmt.Sprintf("cuda: Free(%#x): nothing is allocated there", uintptr(a)))
	}
	delete(p.taken, a)
	p.frees++
	b.slab.freed = p.frees
	p.used -= b.size
	if n := b.next; n != nil && n.free {
		p.close(n)
		p.join(b, n)
	}
	if q := b.prev; q != nil && q.free {
		p.close(q)
		p.join(q, b)
		b = q
	}
	p.openUp(b)
}

// join makes one block of b and its next.
func (p *pool) join(b, next *block) {
	b.size += next.size
	b.next = next.next
	if b.next != nil {
		b.next.prev = b
	}
	*next = block{next: p.spare}
	p.spare = next
}

// block returns a block for use.
func (p *pool) block() *block {
	b := p.spare
	if b == nil {
		return new(block)
	}
	p.spare = b.next
	return b
}

func bySize(a, b *block) int {
	return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.address, b.address))
}

func (p *pool) openUp(b *block) {
	b.free = true
	at, _ := slices.BinarySearchFunc(p.open, b, bySize)
	p.open = slices.Insert(p.open, at, b)
}

func (p *pool) close(b *block) {
	at, _ := slices.BinarySearchFunc(p.open, b, bySize)
	p.open = slices.Delete(p.open, at, at+1)
	b.free = false
}

// add takes a slab into the pool, as one block that is not free.
func (p *pool) add(a Address, size int64) *block {
	s := &slab{address: a, size: roundUp(size, grain), freed: p.frees}
	p.slabs = append(p.slabs, s)
	p.reserved += s.size
	p.driverAllocs++
	b := p.block()
	*b = block{address: a, size: s.size, slab: s}
	return b
}

// wish returns how large a slab is best for a request.
func (p *pool) wish(bytes int64) int64 {
	return roundUp(max(bytes, min(max(p.reserved/8, p.first), slabMost)), slabGrain)
}

// release takes out of the pool, and returns, the slabs of which nothing is in use, unless a block of theirs was freed after
// `since`: a list that waits may still name it.
func (p *pool) release(since uint64) []*slab {
	var out []*slab
	p.slabs = slices.DeleteFunc(p.slabs, func(s *slab) bool {
		if s.freed > since {
			return false
		}
		at := slices.IndexFunc(p.open, func(b *block) bool { return b.slab == s && b.size == s.size })
		if at < 0 {
			return false
		}
		b := p.open[at]
		p.open = slices.Delete(p.open, at, at+1)
		*b = block{next: p.spare}
		p.spare = b
		p.reserved -= s.size
		out = append(out, s)
		return true
	})
	return out
}
