package tensor

import "unsafe"

// lineSize is a cache line in float32: what is taken begins at one.
const lineSize = 64 / 4

// slabSize is the least number of float32 in a slab of an arena: 4 MiB.
const slabSize = 1 << 20

// arena hands out memory for float32 that is all taken back at once. After the first few steps it
// has grown to what a step needs, and no step allocates.
type arena struct {
	device Device // nil: the host
	slabs  []slab
	slab   int // the slab in use
	used   int // floats taken of it
}

// slab is memory of n numbers.
type slab struct {
	n      int
	data   []float32 // on the host
	device *Memory
}

// take returns n numbers of unspecified value, as one row. The error is that of a device without memory.
func (a *arena) take(n int) (Mat, error) {
	line := lineSize
	if a.device != nil {
		line = alignment
	}
	room := (n + line - 1) / line * line
	for a.slab < len(a.slabs) {
		if s := &a.slabs[a.slab]; a.used+room <= s.n {
			a.used += room
			return s.part(a.used-room, n), nil
		}
		a.slab, a.used = a.slab+1, 0
	}
	s := slab{n: max(room, slabSize)}
	if a.device == nil {
		s.data = Aligned(s.n)
	} else {
		var err error
		if s.device, err = NewMemory(a.device, s.n); err != nil {
			return Mat{}, err
		}
	}
	a.slabs = append(a.slabs, s)
	a.used = room
	return s.part(0, n), nil
}

// part returns n numbers of the slab.
func (s *slab) part(from, n int) Mat {
	if s.device != nil {
		return Mat{Rows: 1, Cols: n, Dev: s.device.address + uintptr(4*from)}
	}
	return Mat{Rows: 1, Cols: n, Data: s.data[from:][:n:n]}
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

// since reports whether x is in what was taken since the mark.
func (a *arena) since(m mark, x Mat) bool {
	found := false
	a.eachSince(m, func(part Mat) {
		if a.device != nil {
			found = found || x.Dev >= part.Dev && x.Dev < part.Dev+uintptr(4*part.Cols)
		} else if len(x.Data) > 0 {
			from, at := uintptr(unsafe.Pointer(unsafe.SliceData(part.Data))), uintptr(unsafe.Pointer(unsafe.SliceData(x.Data)))
			found = found || at >= from && at < from+uintptr(4*part.Cols)
		}
	})
	return found || x.IsZero()
}

// eachSince calls f with what was taken of each slab since the mark.
func (a *arena) eachSince(m mark, f func(part Mat)) {
	for i := m.slab; i <= a.slab && i < len(a.slabs); i++ {
		from, to := 0, a.slabs[i].n
		if i == m.slab {
			from = m.used
		}
		if i == a.slab {
			to = a.used
		}
		if to > from {
			f(a.slabs[i].part(from, to-from))
		}
	}
}

func (a *arena) reset() { a.slab, a.used = 0, 0 }

// free gives the memory back, of which nothing may be in use.
func (a *arena) free() {
	for _, s := range a.slabs {
		s.device.Free()
	}
	a.slabs = nil
	a.reset()
}

// bytes returns the memory that the arena holds.
func (a *arena) bytes() int {
	n := 0
	for _, s := range a.slabs {
		n += 4 * s.n
	}
	return n
}
