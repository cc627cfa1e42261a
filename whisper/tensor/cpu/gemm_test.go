package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"glossa/whisper/tensor"
)

func at(m tensor.Mat, i, j int, trans bool) float64 {
	if trans {
		i, j = j, i
	}
	return float64(m.Data[i*m.Cols+j])
}

// checkProduct compares c with c0 + op(a) op(b) + bias in float64: the error of a chain of k
// rounded additions is within k units in the last place of Σ|a||b| (Higham 2002, eq. 3.5).
func checkProduct(t *testing.T, c, c0, a, b tensor.Mat, tr tensor.Transpose, bias []float32) {
	t.Helper()
	k := a.Cols
	if tr&tensor.TransA != 0 {
		k = a.Rows
	}
	step := 1 + c.Rows*c.Cols*k>>17 // of large products, some elements in each row and column
	for i := range c.Rows {
		for j := i % step; j < c.Cols; j += step {
			sum, size := 0.0, 0.0
			for p := range k {
				term := at(a, i, p, tr&tensor.TransA != 0) * at(b, p, j, tr&tensor.TransB != 0)
				sum += term
				size += math.Abs(term)
			}
			if !c0.IsZero() {
				sum += at(c0, i, j, false)
				size += math.Abs(at(c0, i, j, false))
			}
			if bias != nil {
				sum += float64(bias[j])
				size += math.Abs(float64(bias[j]))
			}
			got := at(c, i, j, false)
			if !(math.Abs(got-sum) <= float64(k+2)*0x1p-24*size) {
				t.Fatalf("(%d, %d, %d) transposed %d: element (%d, %d) is %v, want %v", c.Rows, c.Cols, k, tr, i, j, got, sum)
			}
		}
	}
}

// shapes are m, n, k that meet each remainder of rows and columns, and each path of blocking.
func shapes(r *rand.Rand) [][3]int {
	s := [][3]int{
		{0, 5, 5}, {5, 0, 5}, {5, 7, 0}, {1, 1, 1}, {1, 3000, 64}, {12, 32, 256}, {24, 64, 512},
		{193, 33, 257}, {400, 97, 513}, {577, 130, 40}, {192, 768, 600}, {13, 50, 1100}, {50, 13, 1100},
	}
	step := 1
	if raceDetector {
		step = 4
	}
	for m := 1; m <= 40; m += step {
		s = append(s, [3]int{m, 1 + r.IntN(100), 1 + r.IntN(600)})
	}
	for n := 1; n <= 100; n += 3 * step {
		s = append(s, [3]int{1 + r.IntN(40), n, 1 + r.IntN(100)})
	}
	return s
}

func operands(r *rand.Rand, m, n, k int, t tensor.Transpose) (a, b tensor.Mat) {
	a, b = randomMat(r, m, k), randomMat(r, k, n)
	if t&tensor.TransA != 0 {
		a.Rows, a.Cols = k, m
	}
	if t&tensor.TransB != 0 {
		b.Rows, b.Cols = n, k
	}
	return a, b
}

const allTransposes = tensor.TransA | tensor.TransB

func TestMatMul(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes(r) {
			if tooSlow(b, s) {
				continue
			}
			for tr := tensor.NoTrans; tr <= allTransposes; tr++ {
				x, y := operands(r, s[0], s[1], s[2], tr)
				c, check := guarded(s[0], s[1])
				b.MatMul(c, x, y, tr, false)
				checkProduct(t, c, tensor.Mat{}, x, y, tr, nil)
				c0 := randomMat(r, s[0], s[1])
				copy(c.Data, c0.Data)
				b.MatMul(c, x, y, tr, true)
				checkProduct(t, c, c0, x, y, tr, nil)
				check(t)
			}
		}
	})
}

func TestLinear(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, s := range shapes(r) {
			if tooSlow(b, s) {
				continue
			}
			x, w := operands(r, s[0], s[1], s[2], tensor.TransB)
			f, err := b.Pack(w, tensor.F32)
			if err != nil {
				t.Fatal(err)
			}
			if nOut, nIn := f.Shape(); nOut != s[1] || nIn != s[2] || f.DType() != tensor.F32 {
				t.Fatalf("packed %d, %d as %d, %d", s[1], s[2], nOut, nIn)
			}
			y, check := guarded(s[0], s[1])
			b.Linear(y, x, f, tensor.Mat{})
			checkProduct(t, y, tensor.Mat{}, x, w, tensor.TransB, nil)
			bias := randomMat(r, 1, s[1])
			b.Linear(y, x, f, bias)
			checkProduct(t, y, tensor.Mat{}, x, w, tensor.TransB, bias.Data)
			check(t)
		}
	})
}

// TestRowsAreIndependent pins the determinism law: a row has the same bits alone and in any
// product, in packed and plain weights, with one thread and several.
func TestRowsAreIndependent(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(5, 6))
		one := newBackend(1, b.kernels)
		for _, s := range [][3]int{{37, 97, 600}, {450, 61, 300}, {300, 200, 64}, {7, 3000, 513}, {26, 70, 30}} {
			if tooSlow(b, s) {
				continue
			}
			m, n, k := s[0], s[1], s[2]
			x, w := operands(r, m, n, k, tensor.TransB)
			bias := randomMat(r, 1, n)
			f, _ := b.Pack(w, tensor.F32)
			y, z, plain := randomMat(r, m, n), randomMat(r, m, n), randomMat(r, m, n)
			b.Linear(y, x, f, bias)
			one.Linear(z, x, f, bias)
			b.MatMul(plain, x, w, tensor.TransB, false)
			requireBits(t, "one thread", y.Data, z.Data)
			row, sum := randomMat(r, 1, n), randomMat(r, 1, n)
			for i := range m {
				b.Linear(row, x.Slice(i, i+1), f, bias)
				requireBits(t, fmt.Sprintf("row %d of %d", i, m), y.Row(i), row.Data)
				b.MatMul(row, x.Slice(i, i+1), w, tensor.TransB, false)
				for j := range n {
					sum.Data[j] = row.Data[j] + bias.Data[j]
				}
				requireBits(t, fmt.Sprintf("row %d of %d, plain", i, m), plain.Row(i), row.Data)
				requireBits(t, fmt.Sprintf("row %d of %d, plain + bias", i, m), y.Row(i), sum.Data)
			}
		}
	})
}

// TestLayoutIsIrrelevant pins that a product has the same bits whichever operand is transposed,
// so that the forms which pack and those that read in place agree.
func TestLayoutIsIrrelevant(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, s := range [][3]int{{5, 70, 300}, {40, 33, 700}, {250, 64, 300}, {200, 35, 20}} {
			if tooSlow(b, s) {
				continue
			}
			x, y := operands(r, s[0], s[1], s[2], tensor.NoTrans)
			want, got := randomMat(r, s[0], s[1]), randomMat(r, s[0], s[1])
			b.MatMul(want, x, y, tensor.NoTrans, false)
			b.MatMul(got, transposed(x), y, tensor.TransA, false)
			requireBits(t, "TransA", want.Data, got.Data)
			b.MatMul(got, x, transposed(y), tensor.TransB, false)
			requireBits(t, "TransB", want.Data, got.Data)
			b.MatMul(got, transposed(x), transposed(y), allTransposes, false)
			requireBits(t, "TransA|TransB", want.Data, got.Data)
		}
	})
}

func transposed(m tensor.Mat) tensor.Mat {
	t := tensor.NewMat(m.Cols, m.Rows, make([]float32, len(m.Data)))
	for i := range m.Rows {
		for j := range m.Cols {
			t.Data[j*m.Rows+i] = m.Data[i*m.Cols+j]
		}
	}
	return t
}

func requireBits(t *testing.T, what string, want, got []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
			t.Fatalf("%s: number %d is %v, want %v bit for bit", what, i, got[i], want[i])
		}
	}
}

// TestAssemblyPathsAgree pins that the vector width does not change the bits.
func TestAssemblyPathsAgree(t *testing.T) {
	narrow, err := New(Options{ISA: "avx2"})
	if err != nil {
		t.Skipf("SKIP: instruction set avx2 absent: %v", err)
	}
	defer narrow.Close()
	eachISA(t, func(t *testing.T, b *Backend) {
		if !strings.HasPrefix(b.name, "avx512") {
			return
		}
		r := rand.New(rand.NewPCG(9, 10))
		for _, m := range []int{1, 11, 12, 13, 23, 24, 37} {
			x, w := operands(r, m, 77, 50, tensor.TransB)
			y, z := randomMat(r, m, 77), randomMat(r, m, 77)
			b.MatMul(y, x, w, tensor.TransB, false)
			narrow.MatMul(z, x, w, tensor.TransB, false)
			requireBits(t, fmt.Sprintf("%d rows", m), z.Data, y.Data)
		}
	})
}

// TestNotFinite pins that NaN and infinities reach the rows and columns that they belong to, and
// no others.
func TestNotFinite(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(11, 12))
		const m, n, k = 29, 45, 70
		x, w := operands(r, m, n, k, tensor.TransB)
		x.Data[3*k+5] = float32(math.NaN())
		x.Data[28*k+69] = float32(math.Inf(1))
		w.Data[44*k+2] = float32(math.Inf(-1))
		f, _ := b.Pack(w, tensor.F32)
		y := randomMat(r, m, n)
		b.Linear(y, x, f, tensor.Mat{})
		for i := range m {
			for j := range n {
				v := float64(y.Data[i*n+j])
				finite := !math.IsNaN(v) && !math.IsInf(v, 0)
				if want := i != 3 && i != 28 && j != 44; finite != want || i == 3 && !math.IsNaN(v) {
					t.Fatalf("element (%d, %d) is %v", i, j, v)
				}
			}
		}
	})
}

// TestGemmStrides pins the serial entry on parts of larger matrices.
func TestGemmStrides(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		r := rand.New(rand.NewPCG(13, 14))
		const pad = 5
		for _, s := range [][3]int{{1, 1500, 64}, {100, 64, 100}, {448, 448, 64}, {300, 50, 1}, {6, 16, 8}, {30, 70, 32}} {
			if tooSlow(b, s) {
				continue
			}
			for tr := tensor.NoTrans; tr <= allTransposes; tr++ {
				m, n, k := s[0], s[1], s[2]
				x, y := operands(r, m, n, k, tr)
				wideX, wideY := widened(x, pad), widened(y, pad)
				c, check := guarded(m, n+pad)
				for i := range c.Data {
					c.Data[i] = guard
				}
				w := b.worker()
				w.gemm(b.operands, m, n, k, wideX, x.Cols+pad, tr&tensor.TransA != 0, wideY, y.Cols+pad, tr&tensor.TransB != 0, c.Data, n+pad, false)
				b.workers.put(w)
				check(t)
				part := tensor.NewMat(m, n, make([]float32, m*n))
				for i := range m {
					copy(part.Row(i), c.Row(i))
					if slices.ContainsFunc(c.Row(i)[n:], func(v float32) bool { return v != guard }) {
						t.Fatalf("row %d is written past its end", i)
					}
				}
				checkProduct(t, part, tensor.Mat{}, x, y, tr, nil)
			}
		}
	})
}

// widened returns the rows of m, each followed by pad NaN, the last without them.
func widened(m tensor.Mat, pad int) []float32 {
	var out []float32
	for i := range m.Rows {
		out = append(out, m.Row(i)...)
		if i+1 < m.Rows {
			out = append(out, slices.Repeat([]float32{float32(math.NaN())}, pad)...)
		}
	}
	return out
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		if isEmulated(b) {
			return
		}
		r := rand.New(rand.NewPCG(15, 16))
		x, w := operands(r, 200, 100, 20, tensor.TransB)
		y, bias := randomMat(r, 200, 100), randomMat(r, 1, 100)
		f, _ := b.Pack(w, tensor.F32)
		run := func() {
			b.Linear(y, x, f, bias)
			b.MatMul(y, x, w, tensor.TransB, true)
		}
		for range 20 {
			run()
		}
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%v allocations in a linear and a product", n)
		}
	})
}

func TestPackRefusesOtherFormats(t *testing.T) {
	eachISA(t, func(t *testing.T, b *Backend) {
		if _, err := b.Pack(tensor.NewMat(1, 1, []float32{1}), tensor.I8+1); !errors.Is(err, ErrDType) {
			t.Errorf("packed as a format that is not: %v", err)
		}
	})
}

// TestPanelLayout pins the offsets that the generator has for the fields of panel.
func TestPanelLayout(t *testing.T) {
	var p panel
	got := []uintptr{
		unsafe.Offsetof(p.a), unsafe.Offsetof(p.b), unsafe.Offsetof(p.c), unsafe.Offsetof(p.bias),
		unsafe.Offsetof(p.m), unsafe.Offsetof(p.k), unsafe.Offsetof(p.aRow), unsafe.Offsetof(p.aCol),
		unsafe.Offsetof(p.bRow), unsafe.Offsetof(p.cRow), unsafe.Offsetof(p.load),
		unsafe.Offsetof(p.rowScale), unsafe.Offsetof(p.colScale), unsafe.Offsetof(p.correction), unsafe.Offsetof(p.ahead),
	}
	for i, offset := range got {
		if offset != uintptr(8*i) {
			t.Errorf("field %d of panel is at %d", i, offset)
		}
	}
}
