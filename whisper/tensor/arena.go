package tensor

import "unsafe"

// lineSize is a cache line in float32: what is taken begins at one.
const lineSize = 64 / 4

// slabSize is the least number of float32 in a slab of an arena: 4 MiB.
const slabSize = 1 << 20

// arena hands out float32 memory that is all taken back at once. After the first few steps it
// has grown to what a step needs, and no step allocates.
type arena struct {
	slabs [][]float32
	slab  int // the slab in use
	used  int // floats taken of it
}

// take returns n numbers of unspecified value.
func (a *arena) take(n int) []float32 {
	end := n
	n = (n + lineSize - 1) / lineSize * lineSize
	for a.slab < len(a.slabs) {
		if s := a.slabs[a.slab]; a.used+n <= len(s) {
			a.used += n
			return s[a.used-n:][:end:end]
		}
		a.slab, a.used = a.slab+1, 0
	}
	a.slabs = append(a.slabs, Aligned(max(n, slabSize)))
	a.used = n
	return a.slabs[a.slab][:end:end]
}

// Aligned returns n zeros that begin at a cache line.
func Aligned(n int) []float32 {
	s := make([]float32, n+lineSize)
	skip := int(-uintptr(unsafe.Pointer(&s[0]))/4) % lineSize
	return s[skip : skip+n : skip+n]
}

// mark is a place in the arena.
type mark struct{ slab, used int }

func (a *arena) mark() mark { return mark{a.slab, a.used} }

// release takes back all that was taken since the mark.
func (a *arena) release(m mark) { a.slab, a.used = m.slab, m.used }

func (a *arena) reset() { a.slab, a.used = 0, 0 }

// bytes returns the memory that the arena holds.
func (a *arena) bytes() int {
	n := 0
	for _, s := range a.slabs {
		n += 4 * len(s)
	}
	return n
}
