//go:build cuda && linux

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
	"glossa/whisper/tensor/ref"
)

// short returns numbers within ±most of a format of 16 bits, (rows, cols), in float32 on the host and the address of them in the format.
func (r *room) short(rows, cols int, most float32, dtype tensor.DType) (tensor.Mat, driver.Address) {
	x := tensor.Zeros(rows, cols)
	for i := range x.Data {
		x.Data[i] = most * (2*r.rng.Float32() - 1)
	}
	bits := rounded(x.Data, dtype)
	for i, u := range bits {
		x.Data[i] = widened(u, dtype)
	}
	at := driver.Address(r.empty(1, (len(bits)+1)/2).Dev)
	if err := r.b.device.CopyIn(at, bytesOf(bits)); err != nil {
		r.t.Fatal(err)
	}
	return x, at
}

// widened returns a number of a format of 16 bits, which is none of binary16's below its least normal number but zero.
func widened(u uint16, dtype tensor.DType) float32 {
	if dtype == tensor.BF16 {
		return math.Float32frombits(uint32(u) << 16)
	}
	if u&0x7fff < 0x400 {
		return 0
	}
	return math.Float32frombits(uint32(u&0x8000)<<16 | (uint32(u&0x7fff)<<13 + 112<<23))
}

// testAttentionRows compares attention of sequences (queries, keys) in rows of 16 bits with the reference, in both forms of the result. Queries are
// columns of wider rows, and within ±most.
func testAttentionRows(t *testing.T, b *Backend, shape [][2]int, nHead int, causal bool, dtype tensor.DType, most float32, allowed float64) {
	t.Helper()
	r := newRoom(t, b)
	cols := nHead * headSize
	seg := tensor.NewSegments()
	var kv []tensor.KeyValue
	var tiles []attentionTile
	for _, s := range shape {
		tile := attentionTile{row: int32(seg.Rows()), nQuery: int32(s[0]), see: int32(s[1]), nKey: int32(s[1])}
		if causal {
			tile.see, tile.step = tile.see-tile.nQuery+1, 1
		}
		seg = append(seg, int32(seg.Rows()+s[0]))
		k, keys := r.short(s[1], cols, 1, dtype)
		v, values := r.short(s[1], cols, 1, dtype)
		tile.k, tile.v = uint64(keys), uint64(values)
		tiles = split(tiles, tile, rowQueries)
		kv = append(kv, tensor.KeyValue{K: k, V: v})
	}
	wide, at := r.short(seg.Rows(), 2*cols, most, dtype)
	q := tensor.Zeros(wide.Rows, cols)
	for i := range q.Rows {
		copy(q.Row(i), wide.Row(i)[cols:])
	}
	y, want := r.empty(q.Rows, cols), tensor.Zeros(q.Rows, cols)
	narrow := r.empty(1, q.Rows*cols/2)
	rows := shortRows{y: driver.Address(y.Dev), copy: driver.Address(narrow.Dev), q: at + driver.Address(2*cols), dtype: dtype, cols: cols, qCols: 2 * cols, kvCols: cols}
	scale := driver.Float32(float32(math.Log2E / math.Sqrt(headSize)))
	b.attendRows(rows, tiles, scale)
	ref.New().Attention(want, q, seg, kv, nHead, causal)
	what := fmt.Sprintf("(queries, keys) %v, %d heads, causal %t, %v, queries within %g", shape, nHead, causal, dtype, most)
	got := r.read(y)
	near(t, what, got, want, allowed)
	copied := bytesOf(r.read(narrow).Data)
	if !bytes.Equal(copied, bytesOf(rounded(got.Data, dtype))) {
		t.Errorf("%s: the result in 16 bits is not that in float32, rounded", what)
	}
	b.Zero(narrow)
	rows.y = 0
	b.attendRows(rows, tiles, scale)
	if !bytes.Equal(bytesOf(r.read(narrow).Data), copied) {
		t.Errorf("%s: the result in 16 bits alone differs from that beside one in float32", what)
	}
}

// TestAttentionRows tries the lengths of encoders, prompts and less, maxima that grow from key to key, and the devices of both kernels. Every shape has
// keys that end within a tile, and at its end.
func TestAttentionRows(t *testing.T) {
	for _, capability := range []string{"8.0", "9.0"} {
		t.Run(capability, func(t *testing.T) {
			if fake.Used() {
				t.Setenv("FAKECUDA_CAPABILITY", capability)
			}
			b := open(t)
			if !fake.Used() && b.Name() != "cuda/"+capability {
				t.Logf("the device is %s: what it takes is tried again", b.Name())
			}
			for dtype, allowed := range map[tensor.DType]float64{tensor.BF16: 0.004, tensor.F16: 0.0005} {
				for _, most := range []float32{1, 40} {
					testAttentionRows(t, b, [][2]int{{200, 348}, {64, 65}, {129, 128}, {1, 1}, {3, 40}}, 2, false, dtype, most, allowed)
					testAttentionRows(t, b, [][2]int{{70, 70}, {5, 190}, {130, 300}}, 2, true, dtype, most, allowed)
				}
			}
			testAttentionRows(t, b, [][2]int{{92, 1500}}, 1, false, tensor.BF16, 8, 0.004)
			if b.AttendsRounded(headSize/2, tensor.BF16) || b.AttendsRounded(headSize, tensor.F32) || !b.AttendsRounded(headSize, tensor.F16) {
				t.Error("rows are multiplied in other sizes and formats than there are kernels for")
			}
		})
	}
}

// TestAttentionOfRoundedRows checks attention to rows of float32 that may be rounded, side by side and apart, beside sequences that may not, of heads
// that have no kernel too; and that the product that follows takes the copy where it is in the product's format.
func TestAttentionOfRoundedRows(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		size    int
		dtypes  []tensor.DType // of each sequence
		allowed float64
		causal  bool
	}{
		{64, []tensor.DType{tensor.BF16, tensor.BF16, tensor.BF16}, 0.02, false},
		{64, []tensor.DType{tensor.F16, tensor.F16, tensor.F16}, 0.0025, false},
		{64, []tensor.DType{tensor.F16, tensor.F16, tensor.F16}, 0.0025, true},
		{64, []tensor.DType{tensor.BF16, tensor.F32, tensor.F16}, 0.02, false},
		{24, []tensor.DType{tensor.BF16, tensor.BF16, tensor.BF16}, 1e-5, false},
		{64, []tensor.DType{tensor.F32, tensor.F32, tensor.F32}, 1e-5, false},
	} {
		r := newRoom(t, b)
		cols, lengths := 2*c.size, []int{130, 41, 70}
		seg := tensor.NewSegments(lengths...)
		k, v := r.random(seg.Rows(), cols), r.random(seg.Rows(), cols)
		q := r.random(seg.Rows(), cols)
		apart := r.random(lengths[1], cols)
		var kv, plain []tensor.KeyValue
		for i, dtype := range c.dtypes {
			from, to := seg.Range(i)
			s := tensor.KeyValue{K: k.Slice(from, to), V: v.Slice(from, to), DType: dtype}
			if i == 1 && c.causal {
				s.V = apart
			}
			kv, plain = append(kv, s), append(plain, tensor.KeyValue{K: host(s.K), V: host(s.V)})
		}
		want := tensor.Zeros(q.Rows, cols)
		ref.New().Attention(want, host(q), seg, plain, 2, c.causal)
		y := r.empty(q.Rows, cols)
		b.Attention(y, q, seg, kv, 2, c.causal)
		near(t, fmt.Sprintf("heads of %d, rounded to %v", c.size, c.dtypes), r.read(y), want, c.allowed)
	}
}

// TestProductAfterRoundedAttention checks that a product takes the copy of the result where it is in the product's format, and no other.
func TestProductAfterRoundedAttention(t *testing.T) {
	const rows, cols = fewRows + 10, 64
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
		b := open(t)
		r := newRoom(t, b)
		w := r.random(cols, cols)
		p, err := b.Pack(host(w), tensor.BF16)
		if err != nil {
			t.Fatal(err)
		}
		x, y, z := r.random(rows, cols), r.empty(rows, cols), r.empty(rows, cols)
		b.Attention(y, x, tensor.NewSegments(rows), []tensor.KeyValue{{K: x, V: x, DType: dtype}}, 1, false)
		before := b.list.Len()
		b.Linear(z, y, p, tensor.Mat{})
		if n, want := b.list.Len()-before, map[tensor.DType]int{tensor.BF16: 1, tensor.F16: 2}[dtype]; n != want {
			t.Errorf("%d operations for a product in bfloat16 after attention in %v, want %d", n, dtype, want)
		}
		got, between := r.read(z), r.read(y)
		want := tensor.Zeros(rows, cols)
		ref.New().MatMul(want, between, host(w), tensor.TransB, false)
		near(t, fmt.Sprintf("a product after attention in %v", dtype), got, want, 0.02)
	}
}
