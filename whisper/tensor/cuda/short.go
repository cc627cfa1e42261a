//go:build cuda && linux

package cuda

import (
	"slices"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// manyRows are the rows from which on what linears and attention alone read is left in 16 bits only: there is then half as much to write, and
// to read. With fewer rows it is launches that take the time.
const manyRows = 256

// short is a matrix of n numbers whose memory has them in a format of 16 bits, one after the other from its beginning on, and not in float32.
// What a kernel that knows of no short matrices reads is widened before.
type short struct {
	from  uintptr
	n     int
	dtype tensor.DType
}

func (s *short) end() uintptr { return s.from + uintptr(4*s.n) }

// overlaps reports whether a matrix has memory of s.
func (s *short) overlaps(m tensor.Mat) bool {
	return m.Dev < s.end() && s.from < m.Dev+uintptr(4*m.Rows*m.Cols)
}

// leave says that the kernel which is appended next writes y in a format of 16 bits alone, and where.
func (b *Backend) leave(y tensor.Mat, dtype tensor.DType) narrowRows {
	b.wrote(y)
	b.shortened = append(b.shortened, short{y.Dev, y.Rows * y.Cols, dtype})
	return narrowRows{driver.Address(y.Dev), dtype}
}

// shortOf returns where the numbers of x are in 16 bits, !ok where they are in float32.
func (b *Backend) shortOf(x tensor.Mat) (rows narrowRows, ok bool) {
	for i := range b.shortened {
		if s := &b.shortened[i]; x.Dev >= s.from && x.Dev+uintptr(4*x.Rows*x.Cols) <= s.end() {
			return narrowRows{driver.Address(s.from + (x.Dev-s.from)/2), s.dtype}, true
		}
	}
	return narrowRows{}, false
}

// widen appends the widening of all short matrices that overlap x.
func (b *Backend) widen(x tensor.Mat) {
	b.shortened = slices.DeleteFunc(b.shortened, func(s short) bool {
		if !s.overlaps(x) {
			return false
		}
		b.widenShort(s)
		return true
	})
}

// widenAll is widen for whatever a kernel may read.
func (b *Backend) widenAll() {
	for _, s := range b.shortened {
		b.widenShort(s)
	}
	b.shortened = b.shortened[:0]
}

// widenShort appends the widening of a matrix, by way of other memory.
func (b *Backend) widenShort(s short) {
	at, ok := b.room(&b.shorts, 2*s.n)
	if !ok {
		return
	}
	b.list.CopyDevice(at, driver.Address(s.from), 2*s.n)
	b.launch(b.k.widen, driver.Dim3{X: blocks(s.n, blockSize)}, driver.Pointer(driver.Address(s.from)), driver.Pointer(at), format(s.dtype), driver.Int64(int64(s.n)))
}

// wroteShort ends the short matrices that y is written over: those of which a part stays are widened.
func (b *Backend) wroteShort(y tensor.Mat) {
	if len(b.shortened) == 0 {
		return
	}
	b.shortened = slices.DeleteFunc(b.shortened, func(s short) bool {
		if !s.overlaps(y) {
			return false
		}
		if y.Dev > s.from || y.Dev+uintptr(4*y.Rows*y.Cols) < s.end() {
			b.widenShort(s)
		}
		return true
	})
}

// Discard says that m is not read any more, so that what is short of it need not be widened.
func (b *Backend) Discard(m tensor.Mat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shortened = slices.DeleteFunc(b.shortened, func(s short) bool {
		return s.from >= m.Dev && s.end() <= m.Dev+uintptr(4*m.Rows*m.Cols)
	})
}

// RoundResults lets products with the weight be left in its format.
func (p *packed) RoundResults() { p.results = isNarrow(p.dtype) }
