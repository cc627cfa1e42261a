package tensortest

import (
	"math"
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

// guard is the number of float32 before and after each operand: more than the widest vector
// register, and odd, so that no operand is aligned by luck.
const guard = 67

// poison fills guard bands and unwritten results. It is a NaN, so that a kernel that reads a guard
// band shows it in its result even where it multiplies by zero.
var poison = math.Float32frombits(0x7fc0dead)

// memory hands out operands between guard bands.
type memory struct {
	rng    *rand.Rand
	blocks []block
}

type block struct {
	whole []float32
	saved []float32 // what an input held when it was made; nil for a result
}

func newMemory(seed uint64) *memory { return &memory{rng: rand.New(rand.NewPCG(seed, 1))} }

func (m *memory) take(rows, cols int) tensor.Mat {
	n := rows * cols
	whole := make([]float32, guard+n+guard)
	for i := range whole {
		whole[i] = poison
	}
	m.blocks = append(m.blocks, block{whole: whole})
	return tensor.NewMat(rows, cols, whole[guard:guard+n:guard+n])
}

// output returns a matrix that a kernel has to fill.
func (m *memory) output(rows, cols int) tensor.Mat { return m.take(rows, cols) }

// changing returns a matrix of random numbers that a kernel may change.
func (m *memory) changing(rows, cols int) tensor.Mat {
	x := m.take(rows, cols)
	m.fill(x, -1, 1)
	return x
}

// input returns a matrix of random numbers within ±1 that no kernel may change.
func (m *memory) input(rows, cols int) tensor.Mat { return m.inputWithin(rows, cols, -1, 1) }

func (m *memory) inputWithin(rows, cols int, low, high float32) tensor.Mat {
	x := m.take(rows, cols)
	m.fill(x, low, high)
	m.freeze(x)
	return x
}

// freeze makes x an input, which no kernel may change, with its present values.
func (m *memory) freeze(x tensor.Mat) {
	for i, b := range m.blocks {
		data := b.whole[guard : len(b.whole)-guard]
		if len(data) == len(x.Data) && (len(data) == 0 || &data[0] == &x.Data[0]) {
			m.blocks[i].saved = append([]float32{}, data...)
		}
	}
}

func (m *memory) fill(x tensor.Mat, low, high float32) {
	for i := range x.Data {
		x.Data[i] = low + (high-low)*m.rng.Float32()
	}
}

// indices returns n random numbers below limit.
func (m *memory) indices(n, limit int) []int32 {
	index := make([]int32, n)
	for i := range index {
		index[i] = m.rng.Int32N(int32(limit))
	}
	return index
}

// verify reports guard bands that were written and inputs that were changed.
func (m *memory) verify(t *testing.T, what string) {
	t.Helper()
	for n, b := range m.blocks {
		end := len(b.whole) - guard
		for i, v := range b.whole {
			if i >= guard && i < end {
				continue
			}
			if math.Float32bits(v) != math.Float32bits(poison) {
				t.Errorf("%s: operand %d: wrote element %d of %d", what, n, i-guard, end-guard)
				return
			}
		}
		for i, v := range b.saved {
			if math.Float32bits(b.whole[guard+i]) != math.Float32bits(v) {
				t.Errorf("%s: operand %d: changed element %d of an input", what, n, i)
				return
			}
		}
	}
}

// values returns copies of the numbers of ms.
func values(ms []tensor.Mat) [][]float32 {
	v := make([][]float32, len(ms))
	for i, m := range ms {
		v[i] = append([]float32{}, m.Data...)
	}
	return v
}

// accepts reports whether got is want within the tolerance. NaN and infinity have to be met.
func (tol Tolerance) accepts(got, want float32) bool {
	g, w := float64(got), float64(want)
	switch {
	case math.IsNaN(w):
		return math.IsNaN(g)
	case math.IsInf(w, 0) || g == w:
		return g == w
	}
	return math.Abs(g-w) <= tol.Abs+tol.Rel*math.Abs(w)
}

// compare reports the worst element of got that is not want within the tolerance, and whether there is none.
func (tol Tolerance) compare(t *testing.T, what string, got tensor.Mat, want []float32) bool {
	t.Helper()
	wrong, worst, worstError := 0, 0, -1.0
	for i, w := range want {
		if tol.accepts(got.Data[i], w) {
			continue
		}
		wrong++
		e := math.Abs(float64(got.Data[i]) - float64(w))
		if math.IsNaN(e) {
			e = math.Inf(1)
		}
		if e > worstError {
			worst, worstError = i, e
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d of %d elements differ; worst (%d, %d): got %g, want %g", what, wrong, len(want),
			worst/got.Cols, worst%got.Cols, got.Data[worst], want[worst])
	}
	return wrong == 0
}

// Compare reports the worst element of got that is not want within the tolerance.
func (tol Tolerance) Compare(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	tol.compare(t, what, tensor.Vector(got), want)
}

// identical reports the first element of got that does not have the bits of want, except that
// any NaN is any other.
func identical(t *testing.T, what string, got, want []float32) bool {
	t.Helper()
	for i, w := range want {
		if math.Float32bits(got[i]) != math.Float32bits(w) && !(got[i] != got[i] && w != w) {
			t.Errorf("%s: element %d of %d is %x, want the bits of %x", what, i, len(want), got[i], w)
			return false
		}
	}
	return true
}
