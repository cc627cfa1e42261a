//go:build cuda && linux

package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/fake"
	"glossa/whisper/tensor/ref"
)

// room makes matrices on the device from numbers of a fixed order.
type room struct {
	t   *testing.T
	b   *Backend
	rng *rand.Rand
}

func newRoom(t *testing.T, b *Backend) *room { return &room{t, b, rand.New(rand.NewPCG(7, 7))} }

// random returns numbers within ±1, which are on the host too.
func (r *room) random(rows, cols int) tensor.Mat {
	m := r.empty(rows, cols)
	m.Data = make([]float32, rows*cols)
	for i := range m.Data {
		m.Data[i] = 2*r.rng.Float32() - 1
	}
	r.b.Write(m, m.Data)
	return m
}

// empty returns a matrix of unspecified values.
func (r *room) empty(rows, cols int) tensor.Mat {
	r.t.Helper()
	at, err := r.b.Alloc(max(rows*cols, 1))
	if err != nil {
		r.t.Fatal(err)
	}
	return tensor.Mat{Rows: rows, Cols: cols, Dev: at}
}

// read returns the numbers of m.
func (r *room) read(m tensor.Mat) tensor.Mat {
	r.t.Helper()
	data := make([]float32, m.Rows*m.Cols)
	if err := r.b.Read(data, m); err != nil {
		r.t.Fatal(err)
	}
	return tensor.NewMat(m.Rows, m.Cols, data)
}

// near reports the first number of got that is further from want than allowed.
func near(t *testing.T, what string, got, want tensor.Mat, allowed float64) {
	t.Helper()
	for i, w := range want.Data {
		if d := math.Abs(float64(got.Data[i]) - float64(w)); !(d <= allowed) {
			t.Errorf("%s: element (%d, %d) is %v, want %v", what, i/want.Cols, i%want.Cols, got.Data[i], w)
			return
		}
	}
}

// host returns the numbers of m that are on the host, alone.
func host(m tensor.Mat) tensor.Mat { return tensor.NewMat(m.Rows, m.Cols, m.Data) }

// testAttention compares attention of sequences (queries, keys) with the reference; packed says in which format keys and values are.
func testAttention(t *testing.T, b *Backend, shape [][2]int, nHead, size int, causal bool, packed *tensor.DType, allowed float64) {
	r := newRoom(t, b)
	seg := tensor.NewSegments()
	var kv, plain []tensor.KeyValue
	for _, s := range shape {
		seg = append(seg, int32(seg.Rows()+s[0]))
		k, v := r.random(s[1], nHead*size), r.random(s[1], nHead*size)
		kv = append(kv, tensor.KeyValue{K: k, V: v})
		plain = append(plain, tensor.KeyValue{K: host(k), V: host(v)})
	}
	q := r.random(seg.Rows(), nHead*size)
	if packed != nil {
		var to []tensor.PackedKV
		for _, s := range kv {
			m := r.empty(1, b.PackedKVSize(s.K.Rows, s.K.Cols, nHead, *packed))
			to = append(to, tensor.PackedKV{Rows: s.K.Rows, Cols: s.K.Cols, NHead: nHead, DType: *packed, Dev: m.Dev})
		}
		b.PackKeyValue(to, kv)
		for i := range kv {
			kv[i] = tensor.KeyValue{Packed: to[i]}
		}
	}
	y, want := r.empty(q.Rows, q.Cols), tensor.Zeros(q.Rows, q.Cols)
	b.Attention(y, q, seg, kv, nHead, causal)
	ref.New().Attention(want, host(q), seg, plain, nHead, causal)
	all := r.read(y)
	what := fmt.Sprintf("(queries, keys) %v, %d heads of %d, causal %t", shape, nHead, size, causal)
	near(t, what, all, want, allowed)
	for i := range kv { // each alone
		from, to := seg.Range(i)
		b.Attention(y.Slice(from, to), q.Slice(from, to), tensor.NewSegments(to-from), kv[i:i+1], nHead, causal)
	}
	near(t, what+", each sequence alone", r.read(y), all, 2*allowed)
}

// TestAttentionShapes tries the lengths of an encoder, a prompt and a decoder.
func TestAttentionShapes(t *testing.T) {
	b := open(t)
	bf16, f16, f32 := tensor.BF16, tensor.F16, tensor.F32
	testAttention(t, b, [][2]int{{1, 447}, {1, 1}, {4, 448}, {5, 447}, {70, 70}}, 2, 64, true, nil, 1e-5)
	testAttention(t, b, [][2]int{{130, 1500}}, 1, 64, false, nil, 1e-5)
	testAttention(t, b, [][2]int{{2, 300}}, 1, 200, false, nil, 1e-5)
	testAttention(t, b, [][2]int{{1, 1500}, {5, 1499}, {17, 33}, {1, 8}}, 3, 64, false, &bf16, 0.02)
	testAttention(t, b, [][2]int{{200, 1500}, {64, 65}, {129, 100}}, 2, 64, false, &bf16, 0.02)
	testAttention(t, b, [][2]int{{1, 700}, {5, 699}, {17, 33}, {1, 8}, {64, 65}, {129, 100}}, 2, 64, false, &f16, 0.0025)
	testAttention(t, b, [][2]int{{3, 150}, {65, 150}}, 2, 24, false, &f16, 0.0025)
	testAttention(t, b, [][2]int{{3, 150}, {65, 150}}, 2, 64, false, &f32, 1e-5)
	testAttention(t, b, [][2]int{{3, 150}, {65, 150}}, 2, 24, false, &bf16, 0.02)
}

// TestFakeOlderDevices runs attention to packed keys on devices whose tensor cores lack bfloat16, or all that attention needs.
func TestFakeOlderDevices(t *testing.T) {
	for _, capability := range []string{"7.5", "7.0"} {
		t.Run(capability, func(t *testing.T) {
			t.Setenv("FAKECUDA_CAPABILITY", capability)
			b := open(t)
			if b.Name() != "cuda/"+capability {
				t.Fatalf("the device is %s", b.Name())
			}
			bf16, f16 := tensor.BF16, tensor.F16
			for dtype, allowed := range map[*tensor.DType]float64{&bf16: 0.02, &f16: 0.0025} {
				testAttention(t, b, [][2]int{{1, 150}, {3, 150}, {65, 40}, {130, 70}}, 2, 64, false, dtype, allowed)
			}
			if b.Rounded(bf16) != nil || b.Native(bf16) || !b.Native(f16) {
				t.Error("bfloat16 is multiplied, or float16 is not")
			}
			if (b.productsOf(f16) != nil) != (capability == "7.5") {
				t.Error("tensor cores are not those of the device")
			}
		})
	}
}

// TestFakeTooOld checks the error of a device that no kernel runs on.
func TestFakeTooOld(t *testing.T) {
	fake.Require(t)
	t.Setenv("FAKECUDA_CAPABILITY", "6.1")
	_, err := New(0)
	if want := "compute capability 6.1, and 7.0 is needed"; !errors.Is(err, ErrUnavailable) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestSharedPackedKeys checks that hypotheses of an utterance, which share keys, are read in tiles of 16 and have the numbers that each has
// alone.
func TestSharedPackedKeys(t *testing.T) {
	b := open(t)
	r := newRoom(t, b)
	const nHead, nKey, hypotheses = 2, 700, 21
	k, v := r.random(nKey, nHead*headSize), r.random(nKey, nHead*headSize)
	p := tensor.PackedKV{Rows: nKey, Cols: nHead * headSize, NHead: nHead, DType: tensor.BF16}
	p.Dev = r.empty(1, b.PackedKVSize(nKey, p.Cols, nHead, p.DType)).Dev
	b.PackKeyValue([]tensor.PackedKV{p}, []tensor.KeyValue{{K: k, V: v}})
	q := r.random(hypotheses, p.Cols)
	y, alone := r.empty(hypotheses, p.Cols), r.empty(hypotheses, p.Cols)
	seg := tensor.NewSegments()
	for i := range hypotheses {
		seg = append(seg, int32(i+1))
	}
	kv := slices.Repeat([]tensor.KeyValue{{Packed: p}}, hypotheses)
	b.Attention(y, q, seg, kv, nHead, false)
	if n := len(b.work.products[formatOf(p.DType)].few); n != 2 {
		t.Errorf("%d tiles for %d queries of the same keys, want 2", n, hypotheses)
	}
	for i := range hypotheses {
		b.Attention(alone.Slice(i, i+1), q.Slice(i, i+1), tensor.NewSegments(1), kv[:1], nHead, false)
	}
	got := r.read(y)
	near(t, "hypotheses together", got, r.read(alone), 1e-5)
	want := tensor.Zeros(hypotheses, p.Cols)
	ref.New().Attention(want, host(q), seg, slices.Repeat([]tensor.KeyValue{{K: host(k), V: host(v)}}, hypotheses), nHead, false)
	near(t, "hypotheses", got, want, 0.01)
}

// TestHostOperandPanics checks that a matrix of the host is refused with a clear message.
func TestHostOperandPanics(t *testing.T) {
	b := open(t)
	defer func() {
		if p := fmt.Sprint(recover()); p != "cuda: a matrix (2, 3) in host memory, where a kernel of the device needs one in the device's" {
			t.Errorf("panic %q", p)
		}
		if err := b.Read(nil, tensor.Mat{}); err != nil {
			t.Errorf("the device after the panic: %v", err)
		}
	}()
	b.GELU(tensor.Zeros(2, 3), tensor.Zeros(2, 3))
}

// TestPackRefuses checks the error of a format without products.
func TestPackRefuses(t *testing.T) {
	_, err := open(t).Pack(tensor.Zeros(2, 3), tensor.I8)
	if got, want := fmt.Sprint(err), "cuda: no kernel for the number format: pack (2, 3) as int8: this device has products of f32, bf16 and f16"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
