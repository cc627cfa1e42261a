//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// halfValue returns a float16.
func halfValue(h uint16) float64 {
	exponent, fraction := int(h>>10&31), float64(h&0x3ff)
	v := math.Ldexp(fraction, -24)
	switch {
	case exponent == 31 && fraction != 0:
		return math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent > 0:
		v = math.Ldexp(1024+fraction, exponent-25)
	}
	if h>>15 != 0 {
		return -v
	}
	return v
}

// TestRoundedToF16 checks the host's rounding at each float16, halfway between each two and beside that, and beyond them all.
func TestRoundedToF16(t *testing.T) {
	check := func(x float64, want uint16) {
		t.Helper()
		if got := rounded([]float32{float32(x)}, tensor.F16)[0]; got != want {
			t.Fatalf("%v is rounded to %#x (%v), want %#x (%v)", x, got, halfValue(got), want, halfValue(want))
		}
	}
	const greatest, infinite = 0x7bff, 0x7c00
	for h := uint16(0); h <= greatest; h++ {
		v, next := halfValue(h), halfValue(h+1)
		check(v, h)
		check(-v, h|0x8000)
		if h == greatest {
			break
		}
		middle, even := (v+next)/2, h+h&1
		check(middle, even)
		check(-middle, even|0x8000)
		check(float64(math.Nextafter32(float32(middle), 0)), h)
		check(float64(math.Nextafter32(float32(middle), 1e9)), h+1)
	}
	for _, x := range []float64{65505, 65519.99, 65520, 70000, 1e10, math.MaxFloat32} {
		check(x, greatest)
		check(-x, greatest|0x8000)
	}
	check(math.Inf(1), infinite)
	check(math.Inf(-1), infinite|0x8000)
	if got := halfValue(rounded([]float32{float32(math.NaN())}, tensor.F16)[0]); got == got {
		t.Errorf("NaN is rounded to %v", got)
	}
}

// f16Capabilities are those of devices with tensor cores for float16: of two kinds.
var f16Capabilities = []string{"7.5", "9.0"}

// onCapabilities runs a test on devices of several capabilities where there is the fake, else on the device.
func onCapabilities(t *testing.T, f func(t *testing.T, b *Backend)) {
	for _, capability := range f16Capabilities {
		t.Run(capability, func(t *testing.T) {
			t.Setenv("FAKECUDA_CAPABILITY", capability)
			f(t, open(t))
		})
	}
}

// TestF16Saturates checks that numbers which are too large for float16 become its greatest wherever rows are rounded, so that products stay
// finite, and that infinity and NaN do not.
func TestF16Saturates(t *testing.T) {
	onCapabilities(t, func(t *testing.T, b *Backend) {
		r := newRoom(t, b)
		const rows, cols = 4, 64
		x, one := r.empty(rows, cols), r.random(1, cols)
		x.Data = make([]float32, rows*cols)
		inputs := []float32{1e6, -65520, 65504, float32(math.Inf(1))}
		for i, v := range inputs {
			x.Data[i*cols+i] = v
			one.Data[i] = 1
		}
		b.Write(x, x.Data)
		b.Write(one, one.Data)
		unit := tensor.Zeros(cols, cols)
		for i := range cols {
			unit.Row(i)[i] = 1
		}
		p, err := b.Pack(unit, tensor.F16)
		if err != nil {
			t.Fatal(err)
		}
		want := []float64{65504, -65504, 65504, math.NaN()} // infinity times the zeros beside is NaN
		y, z := r.empty(rows, cols), r.empty(rows, cols)
		check := func(what string, want []float64) {
			t.Helper()
			got := r.read(z)
			for i, w := range want {
				v := float64(got.Row(i)[i])
				if math.IsNaN(w) != (math.IsNaN(v) || math.IsInf(v, 0)) || !math.IsNaN(w) && v != w {
					t.Errorf("%s: %v gives %v, want %v", what, inputs[i], v, w)
				}
			}
		}
		b.Linear(z, x, p, tensor.Mat{})
		check("rounded for the product", want)
		b.ScaledLinear(z, x, p, tensor.Mat{}, tensor.Scales{In: one, Out: one}, false)
		check("scaled", want)
		b.GELU(y, x)
		b.Linear(z, y, p, tensor.Mat{})
		check("after GELU", []float64{65504, 0, 65504, math.NaN()})
		b.LinearGELU(y, x.Slice(0, 3), p, tensor.Mat{})
		b.Linear(z, y.Slice(0, 3), p, tensor.Mat{})
		check("after a linear with GELU", []float64{65504, 0, 65504})
		large := tensor.Zeros(cols, cols)
		for i := range large.Data {
			large.Data[i] = 1e9
		}
		if p, err = b.Pack(large, tensor.F16); err != nil {
			t.Fatal(err)
		}
		id := []int32{0}
		b.EmbedPacked(z.Slice(0, 1), p, id)
		if got := r.read(z.Slice(0, 1)).Data[5]; got != 65504 {
			t.Errorf("a weight of 1e9 is packed as %v", got)
		}
	})
}

// TestF16AttentionSaturates checks keys, values and queries that are too large for float16.
func TestF16AttentionSaturates(t *testing.T) {
	onCapabilities(t, func(t *testing.T, b *Backend) {
		for _, queries := range []int{2, 70} {
			r := newRoom(t, b)
			const nKey = 40
			q, k, v := r.random(queries, headSize), r.random(nKey, headSize), r.random(nKey, headSize)
			k.Data[3], q.Data[3], v.Data[7*headSize+9] = 1e7, 1e9, -1e8
			for _, m := range []tensor.Mat{q, k, v} {
				b.Write(m, m.Data)
			}
			kv := tensor.PackedKV{Rows: nKey, Cols: headSize, NHead: 1, DType: tensor.F16}
			kv.Dev = r.empty(1, b.PackedKVSize(nKey, headSize, 1, tensor.F16)).Dev
			b.PackKeyValue([]tensor.PackedKV{kv}, []tensor.KeyValue{{K: k, V: v}})
			y, keys := r.empty(queries, headSize), r.empty(nKey, headSize)
			b.UnpackKeys(keys, kv)
			b.Attention(y, q, tensor.NewSegments(queries), []tensor.KeyValue{{Packed: kv}}, 1, false)
			if got := r.read(keys).Data[3]; got != 65504 {
				t.Errorf("a key of 1e7 is packed as %v", got)
			}
			// The first query sees the first key alone, by a score that no other comes near to.
			got := r.read(y)
			near(t, fmt.Sprintf("the first of %d queries", queries), tensor.NewMat(1, headSize, got.Row(0)), tensor.NewMat(1, headSize, v.Data[:headSize]), 0.001)
			for i, x := range got.Data {
				if math.IsNaN(float64(x)) || math.Abs(float64(x)) > 65504 {
					t.Fatalf("%d queries: element %d is %v", queries, i, x)
				}
			}
		}
	})
}

// TestF16KeepsItsNumbers checks that weights of float16 are held as they are, which bfloat16 would round.
func TestF16KeepsItsNumbers(t *testing.T) {
	b := open(t)
	r := newRoom(t, b)
	w := tensor.Zeros(3, 7)
	for i := range w.Data {
		w.Data[i] = float32(halfValue(uint16(0x2e00 + 37*i)))
	}
	p, err := b.Pack(w, tensor.F16)
	if err != nil {
		t.Fatal(err)
	}
	packed := tensor.Weight{Mat: tensor.Mat{Rows: 3, Cols: 7}, Packed: p}
	got, ok, err := packed.Plain(b)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	near(t, "weights", got, w, 0)
	x, y, want := r.random(5, 7), r.empty(5, 3), tensor.Zeros(5, 3)
	b.Linear(y, x, p, tensor.Mat{})
	ref.New().MatMul(want, host(x), w, tensor.TransB, false)
	near(t, "product", r.read(y), want, 1e-3)
	if p.DType() != tensor.F16 || tensor.PackedBytes(p) != 2*3*7 {
		t.Errorf("%v of %d bytes", p.DType(), tensor.PackedBytes(p))
	}
}

// TestFormatsBeside checks that rows which are left in one format are not taken for those of another.
func TestFormatsBeside(t *testing.T) {
	b := open(t)
	r := newRoom(t, b)
	w, x, y, z := r.random(64, 64), r.random(9, 64), r.empty(9, 64), r.empty(9, 64)
	bf16, err := b.Pack(host(w), tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	f16, err := b.Pack(host(w), tensor.F16)
	if err != nil {
		t.Fatal(err)
	}
	gelu, want := tensor.Zeros(9, 64), tensor.Zeros(9, 64)
	ref.New().GELU(gelu, host(x))
	ref.New().MatMul(want, gelu, host(w), tensor.TransB, false)
	for _, p := range []tensor.Packed{bf16, f16, bf16} {
		b.GELU(y, x)
		for _, p := range []tensor.Packed{p, f16, bf16} {
			b.Linear(z, y, p, tensor.Mat{})
			near(t, p.DType().String(), r.read(z), want, 0.1)
			b.GELU(y, x)
		}
		b.Linear(y, y, p, tensor.Mat{})
		near(t, p.DType().String()+" in place of its rows", r.read(y), want, 0.1)
	}
}
