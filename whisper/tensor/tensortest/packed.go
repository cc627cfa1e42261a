package tensortest

import (
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
)

// packedAttention packs the keys and values of a on a backend that can.
func packedAttention(p tensor.KeyValuePacker, m *memory, a attention, dtype tensor.DType) attention {
	packed := make([]tensor.PackedKV, len(a.kv))
	for i, kv := range a.kv {
		n := p.PackedKVSize(kv.K.Rows, kv.K.Cols, a.nHead, dtype)
		packed[i] = tensor.PackedKV{Rows: kv.K.Rows, Cols: kv.K.Cols, NHead: a.nHead, DType: dtype, Data: m.output(1, n).Data}
	}
	p.PackKeyValue(packed, a.kv)
	a.kv = make([]tensor.KeyValue, len(packed))
	for i := range packed {
		a.kv[i] = tensor.KeyValue{Packed: packed[i]}
	}
	return a
}

// testPackedAttention compares attention to packed keys and values with the reference, and the keys
// themselves with those that were packed.
func (s *suite) testPackedAttention(t *testing.T) {
	p, ok := has[tensor.KeyValuePacker](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: packed keys and values of backend %s absent", s.backend.Name())
	}
	formats := map[tensor.DType]Tolerance{tensor.F32: s.tol.Attention, tensor.BF16: s.tol.PackedAttention, tensor.I8: s.tol.PackedAttention}
	if _, ok := s.tol.Linear[tensor.F16]; ok { // it has three bits more than bfloat16
		formats[tensor.F16] = Tolerance{s.tol.PackedAttention.Abs / 8, s.tol.PackedAttention.Rel / 8}
	}
	for dtype, tol := range formats {
		t.Run(dtype.String(), func(t *testing.T) {
			for _, shape := range append(queryKeys[2:], deterministicShape, [][2]int{{150, 301}}) {
				for _, h := range heads {
					s.packedAttention(t, p, shape, h, dtype, tol)
				}
			}
			s.testSharedKeys(t, p, dtype)
		})
	}
}

func (s *suite) packedAttention(t *testing.T, p tensor.KeyValuePacker, shape [][2]int, heads [2]int, dtype tensor.DType, tol Tolerance) {
	m := newMemory(60)
	a := newAttention(m, shape, heads[0], heads[1], false, 3)
	y := m.output(a.q.Rows, a.q.Cols)
	want := tensor.Zeros(y.Rows, y.Cols)
	a.run(s.reference, want)
	b := packedAttention(p, m, a, dtype)
	b.run(s.backend, y)
	m.verify(t, a.String())
	tol.compare(t, "packed "+a.String(), y, want.Data)
	for i, kv := range b.kv {
		k := m.output(kv.Rows(), kv.Packed.Cols)
		p.UnpackKeys(k, kv.Packed)
		for c := range k.Cols {
			greatest := 0.0
			for j := range k.Rows {
				greatest = max(greatest, math.Abs(float64(a.kv[i].K.Row(j)[c])))
			}
			for j := range k.Rows {
				got, want := float64(k.Row(j)[c]), float64(a.kv[i].K.Row(j)[c])
				rounding := map[tensor.DType]float64{tensor.BF16: 0x1p-8 * math.Abs(want), tensor.F16: 0x1p-11*math.Abs(want) + 0x1p-25, tensor.I8: greatest / 253}[dtype]
				if d := math.Abs(got - want); !(d <= rounding) {
					t.Fatalf("%v: key %d of sequence %d has %v in column %d, unpacked %v", a, j, i, want, c, got)
				}
			}
		}
	}
	m.verify(t, a.String()+", unpacked")
}

// testSharedKeys pins that sequences which share keys, and so are computed together, have bitwise
// the results that each has alone.
func (s *suite) testSharedKeys(t *testing.T, p tensor.KeyValuePacker, dtype tensor.DType) {
	m := newMemory(61)
	a := packedAttention(p, m, newAttention(m, [][2]int{{1, 150}, {1, 150}, {3, 150}, {1, 150}, {1, 30}, {40, 150}}, 2, 64, false, 2), dtype)
	for _, i := range []int{1, 2, 5} {
		a.kv[i] = a.kv[0]
	}
	y := m.output(a.q.Rows, a.q.Cols)
	a.run(s.backend, y)
	for i := range a.kv {
		from, to := a.seg.Range(i)
		alone := m.output(to-from, a.q.Cols)
		s.backend.Attention(alone, a.q.Slice(from, to), tensor.NewSegments(to-from), a.kv[i:i+1], a.nHead, false)
		s.same(t, fmt.Sprintf("sequence %d alone", i), s.tol.PackedAttention, alone.Data, y.Slice(from, to).Data)
	}
	m.verify(t, "shared keys")
	if s.counts() {
		if n := testing.AllocsPerRun(10, func() { a.run(s.backend, y) }); n != 0 {
			t.Errorf("%g allocations", n)
		}
	}
}

// testLinearGELU holds the fused pass to the bits of its two parts.
func (s *suite) testLinearGELU(t *testing.T) {
	b, ok := has[tensor.GELULinear](s.backend.Backend)
	if !ok {
		t.Skipf("SKIP: fused linear of backend %s absent", s.backend.Name())
	}
	for dtype := range s.tol.Linear {
		for _, c := range [][3]int{{1, 33, 65}, {17, 64, 128}, {300, 40, 70}} {
			m := newMemory(62)
			x, w, bias := m.input(c[0], c[1]), m.input(c[2], c[1]), m.input(1, c[2])
			y, parts := m.output(c[0], c[2]), m.output(c[0], c[2])
			p := s.backend.pack(t, w, dtype)
			b.LinearGELU(y, x, p, bias)
			s.backend.Linear(parts, x, p, bias)
			s.backend.GELU(parts, parts)
			s.same(t, fmt.Sprintf("%v %v", dtype, c), s.tol.Linear[dtype], y.Data, parts.Data)
			m.verify(t, "GELU of a linear")
		}
	}
}
