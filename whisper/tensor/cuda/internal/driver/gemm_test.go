//go:build cuda && linux

package driver

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// pack writes numbers in a type; bf16 and f16 hold the small integers of these tests exactly.
func pack(t Type, x []float32) []byte {
	var out []byte
	for _, v := range x {
		u := math.Float32bits(v)
		switch t {
		case F32:
			out = binary.LittleEndian.AppendUint32(out, u)
		case BF16:
			out = binary.LittleEndian.AppendUint16(out, uint16(u>>16))
		case F16:
			h := uint16(u>>16) & 0x8000
			if v != 0 {
				h |= uint16((u>>23&255)-112)<<10 | uint16(u>>13&0x3ff)
			}
			out = binary.LittleEndian.AppendUint16(out, h)
		}
	}
	return out
}

func unpack(t Type, b []byte) []float32 {
	x := make([]float32, len(b)/t.Bytes())
	for i := range x {
		switch t {
		case F32:
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		case BF16:
			x[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		case F16:
			if h := uint32(binary.LittleEndian.Uint16(b[2*i:])); h&0x7fff != 0 {
				x[i] = math.Float32frombits(h&0x8000<<16 | (h>>10&31+112)<<23 | h&0x3ff<<13)
			}
		}
	}
	return x
}

// product is Gemm in plain loops.
func product(g Gemm, a, b, c []float32) {
	for q := range g.Batch {
		for i := range g.M {
			for j := range g.N {
				sum := float32(0)
				for l := range g.K {
					ia, ib := i*g.LdA+l, l*g.LdB+j
					if g.TransA {
						ia = l*g.LdA + i
					}
					if g.TransB {
						ib = j*g.LdB + l
					}
					sum += a[q*g.StrideA+ia] * b[q*g.StrideB+ib]
				}
				at := q*g.StrideC + i*g.LdC + j
				if g.Beta == 0 {
					c[at] = 0
				}
				c[at] = g.Alpha*sum + g.Beta*c[at]
			}
		}
	}
}

// smallNumbers returns integers, of which sums of products are exact in each format.
func smallNumbers(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.IntN(5) - 2)
	}
	return x
}

func TestGemm(t *testing.T) {
	d := open(t)
	l := d.NewList()
	r := rand.New(rand.NewPCG(5, 6))
	small := func(n int) []float32 { return smallNumbers(r, n) }
	cases := 0
	for _, types := range [][2]Type{{F32, F32}, {BF16, F32}, {BF16, BF16}, {F16, F32}, {F16, F16}} {
		for form := range 4 {
			for _, batch := range []int{0, 1, 3} {
				for _, size := range [][3]int{{1, 1, 1}, {3, 5, 7}, {17, 40, 9}} {
					g := Gemm{M: size[0], N: size[1], K: size[2], In: types[0], Out: types[1], TransA: form&1 != 0, TransB: form&2 != 0,
						Batch: batch, Alpha: 1}
					if cases++; cases%2 == 0 {
						g.Alpha, g.Beta = 2, 1
						g.LdA, g.LdB, g.LdC = g.M+g.K, g.N+g.K+1, g.N+3
					}
					full := g.full()
					rowsA, rowsB := g.M, g.K
					if g.TransA {
						rowsA = g.K
					}
					if g.TransB {
						rowsB = g.N
					}
					if batch > 1 {
						g.StrideA, g.StrideB, g.StrideC = rowsA*full.LdA+1, rowsB*full.LdB, g.M*full.LdC+2
					}
					n := max(batch, 1)
					a, b := small(n*(rowsA*full.LdA+1)), small(n*rowsB*full.LdB)
					c := small(n * (g.M*full.LdC + 2))
					g.A, g.B, g.C = alloc(t, d, 4*len(a)), alloc(t, d, 4*len(b)), alloc(t, d, 4*len(c))
					for _, w := range []struct {
						at   Address
						data []byte
					}{{g.A, pack(g.In, a)}, {g.B, pack(g.In, b)}, {g.C, pack(g.Out, c)}} {
						if err := d.CopyIn(w.at, w.data); err != nil {
							t.Fatal(err)
						}
					}
					l.Gemm(g)
					got := make([]byte, len(c)*g.Out.Bytes())
					if err := d.RunRead(l, got, g.C); err != nil {
						t.Fatal(err)
					}
					full = g.full()
					product(full, a, b, c)
					name := fmt.Sprintf("%+v", g)
					for i, v := range unpack(g.Out, got) {
						if v != c[i] {
							t.Fatalf("%s: number %d is %v, want %v", name, i, v, c[i])
						}
					}
					d.Free(g.A)
					d.Free(g.B)
					d.Free(g.C)
				}
			}
		}
	}
}

// A product is replayed in a graph, too.
func TestGemmInGraph(t *testing.T) {
	d := open(t)
	x, w, y := upload(t, d, ramp(12, 1, 1)...), upload(t, d, ramp(20, 0, 1)...), alloc(t, d, 4*15)
	l := d.NewList()
	want := make([]float32, 15)
	g := Gemm{M: 3, N: 5, K: 4, A: x, B: w, C: y, Alpha: 1}
	product(g.full(), ramp(12, 1, 1), ramp(20, 0, 1), want)
	for n := range 4 {
		l.Set(y, 0xff, 4*15)
		l.Gemm(g)
		run(t, d, l)
		got := download(t, d, y, 15)
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("run %d: %v, want %v", n, got, want)
			}
		}
	}
	if s := d.Stats(); s.GraphLaunches != 3 || s.Uncaptured != 0 {
		t.Errorf("%+v", s)
	}
}

func TestGemmPanics(t *testing.T) {
	d := open(t)
	l := d.NewList()
	for _, c := range []struct {
		g    Gemm
		want string
	}{
		{Gemm{M: 2, N: 2, K: 2, In: F16, Out: BF16}, "type 2 with a result of type 14"},
		{Gemm{M: 2, N: 2, K: 2, In: F32, Out: BF16}, "type 0 with a result of type 14"},
		{Gemm{M: 2, N: 2, K: 0}, "a product of (2, 0) and (0, 2)"},
		{Gemm{M: -2, N: 2, K: 2}, "a product of (-2, 2)"},
		{Gemm{M: 2, N: 2, K: 5, LdA: 4}, "rows at distances 4"},
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.Contains(p, c.want) {
					t.Errorf("%+v panics with %q, want %q", c.g, p, c.want)
				}
			}()
			l.Gemm(c.g)
		}()
	}
	l.Gemm(Gemm{M: 0, N: 2, K: 2})
	if l.Len() != 0 {
		t.Error("a product of no rows is an operation")
	}
}

// testBiased computes products with biases, four times each: plainly, in a graph that is made, and by it.
func testBiased(t *testing.T, d *Device) {
	l := d.NewList()
	r := rand.New(rand.NewPCG(7, 8))
	small := func(n int) []float32 { return smallNumbers(r, n) }
	place := func(of Type, x []float32) Address {
		at := alloc(t, d, len(x)*of.Bytes())
		if err := d.CopyIn(at, pack(of, x)); err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, in := range []Type{BF16, F16} {
		for i, size := range [][3]int{{1, 8, 8}, {300, 40, 16}, {300, 40, 16}, {17, 264, 24}} {
			m, n, k := size[0], size[1], size[2]
			beta := float32(i % 2)
			a, b, bias, c := small(m*k), small(n*k), small(n), small(m*n)
			g := Biased{M: m, N: n, K: k, A: place(in, a), B: place(in, b), Bias: place(F32, bias), C: alloc(t, d, 4*m*n), In: in, Beta: beta}
			want := append([]float32(nil), c...)
			product(Gemm{M: m, N: n, K: k, TransB: true, Alpha: 1, Beta: beta}.full(), a, b, want)
			for range 4 {
				if err := d.CopyIn(g.C, pack(F32, c)); err != nil {
					t.Fatal(err)
				}
				if !l.Biased(g) {
					t.Fatalf("cuBLASLt has no %+v", g)
				}
				got := make([]byte, 4*m*n)
				if err := d.RunRead(l, got, g.C); err != nil {
					t.Fatal(err)
				}
				for j, v := range unpack(F32, got) {
					if v != want[j]+bias[j%n] {
						t.Fatalf("%+v: number %d is %v, want %v", g, j, v, want[j]+bias[j%n])
					}
				}
			}
		}
	}
	if s := d.Stats(); s.Uncaptured != 0 || s.GraphLaunches != 3*8 {
		t.Errorf("%+v", s)
	}
	x := alloc(t, d, 1<<16)
	for _, g := range []Biased{
		{M: 3, N: 8, K: 8, A: x + 16, B: x, C: x, Bias: x, In: BF16}, {M: 3, N: 8, K: 8, A: x, B: x, C: x + 64, Bias: x, In: BF16},
		{M: 3, N: 8, K: 8, A: x, B: x, C: x, Bias: x + 4, In: BF16}, {M: 3, N: 12, K: 8, A: x, B: x, C: x, Bias: x, In: BF16},
		{M: 3, N: 8, K: 20, A: x, B: x, C: x, Bias: x, In: BF16},
	} {
		if l.Biased(g) || l.Len() != 0 {
			t.Errorf("%+v is added", g)
		}
	}
}

func TestBiased(t *testing.T) { testBiased(t, open(t)) }

// Without cuBLASLt there are no such products, and all else works.
func TestFakeNoBiased(t *testing.T) {
	t.Setenv("FAKECUDA_NO_CUBLASLT", "1")
	d := open(t)
	x := alloc(t, d, 1<<16)
	l := d.NewList()
	for range 2 {
		if l.Biased(Biased{M: 3, N: 8, K: 8, A: x, B: x, C: x, Bias: x, In: BF16}) || l.Len() != 0 {
			t.Error("a product with a bias without cuBLASLt")
		}
	}
	if len(d.plans) != 1 {
		t.Errorf("%d shapes were looked for, of one", len(d.plans))
	}
}
