package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

func newOps() *tensor.Ops { return tensor.NewOps(ref.New()) }

// random returns a matrix of numbers within ±1.
func random(rng *rand.Rand, rows, cols int) tensor.Mat {
	m := tensor.Zeros(rows, cols)
	for i := range m.Data {
		m.Data[i] = 2*rng.Float32() - 1
	}
	return m
}

func newRNG(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// requirePanic fails where f does not panic with a message of this package that contains text.
func requirePanic(t *testing.T, text string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		m := fmt.Sprint(recover())
		if !strings.HasPrefix(m, "tensor: ") || !strings.Contains(m, text) {
			t.Errorf("panic %q, want one of tensor that says %q", m, text)
		}
	}()
	f()
}

func TestShapesPanic(t *testing.T) {
	o := newOps()
	x := tensor.Zeros(3, 4)
	seg := tensor.NewSegments(1, 2)
	keys := func(rows, cols int) tensor.KeyValue {
		return tensor.KeyValue{K: tensor.Zeros(rows, cols), V: tensor.Zeros(rows, cols)}
	}
	kv := []tensor.KeyValue{keys(1, 4), keys(2, 4)}
	attend := func(q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) func() {
		return func() { o.Attention(q, seg, kv, nHead, causal) }
	}
	for _, c := range []struct {
		name, says string
		f          func()
	}{
		{"matrix", "(2, 3) over 5", func() { tensor.NewMat(2, 3, make([]float32, 5)) }},
		{"matrix of negative rows", "(-1, -1)", func() { tensor.NewMat(-1, -1, make([]float32, 1)) }},
		{"slice beyond", "rows 1:4", func() { x.Slice(1, 4) }},
		{"slice reversed", "rows 2:1", func() { x.Slice(2, 1) }},
		{"slice before", "rows -1:1", func() { x.Slice(-1, 1) }},
		{"upload", "upload of 5", func() { o.Upload(2, 3, make([]float32, 5)) }},
		{"read", "into 5", func() { _ = o.Read(make([]float32, 5), x) }},
		{"linear of another width", "weight", func() { o.Linear(x, &tensor.Weight{Mat: tensor.Zeros(2, 5)}, tensor.Mat{}) }},
		{"linear with a short bias", "bias", func() { o.Linear(x, &tensor.Weight{Mat: tensor.Zeros(2, 4)}, tensor.Zeros(1, 3)) }},
		{"sum", "sum", func() { o.Sum(x, tensor.Zeros(4, 3)) }},
		{"sum in place", "in place", func() { y := o.New(3, 4); o.AddTo(&y, tensor.Zeros(2, 4)) }},
		{"scale of another width", "scales", func() { o.Scale(x, tensor.Zeros(1, 3), nil) }},
		{"scale by many without indices", "one row", func() { o.Scale(x, tensor.Zeros(2, 4), nil) }},
		{"scale with few indices", "2 indices", func() { o.Scale(x, tensor.Zeros(2, 4), []int32{0, 1}) }},
		{"scale index too large", "index 2", func() { o.Scale(x, tensor.Zeros(2, 4), []int32{0, 2, 1}) }},
		{"scale index negative", "index -1", func() { o.Scale(x, tensor.Zeros(2, 4), []int32{0, -1, 1}) }},
		{"bias", "bias", func() { o.AddBias(x, tensor.Zeros(1, 3)) }},
		{"bias of two rows", "bias", func() { o.AddBias(x, tensor.Zeros(2, 4)) }},
		{"gamma", "gamma", func() { o.LayerNorm(x, tensor.Zeros(1, 3), tensor.Zeros(1, 4), false) }},
		{"beta", "beta", func() { o.LayerNorm(x, tensor.Zeros(1, 4), tensor.Zeros(1, 3), false) }},
		{"embedding beyond", "index 3", func() { o.Embed(x, []int32{0, 3}) }},
		{"embedding before", "index -1", func() { o.Embed(x, []int32{-1}) }},
		{"segments of other rows", "attention of 3 rows", attend(x, tensor.NewSegments(1, 1), kv, 2, false)},
		{"other number of keys", "attention", attend(x, seg, kv[:1], 2, false)},
		{"heads", "3 heads", attend(x, seg, kv, 3, false)},
		{"no heads", "0 heads", attend(x, seg, kv, 0, false)},
		{"keys of another width", "keys", attend(x, seg, []tensor.KeyValue{keys(1, 4), keys(2, 5)}, 2, false)},
		{"fewer values", "values", attend(x, seg, []tensor.KeyValue{kv[0], {K: tensor.Zeros(2, 4), V: tensor.Zeros(1, 4)}}, 2, false)},
		{"queries without keys", "without keys", attend(x, seg, []tensor.KeyValue{kv[0], keys(0, 4)}, 2, false)},
		{"causal with fewer keys", "causal", attend(x, seg, []tensor.KeyValue{kv[0], keys(1, 4)}, 2, true)},
		{"unfold of other rows", "unfold", func() { o.Unfold(x, tensor.NewSegments(2), 3, 1) }},
		{"unfold of even width", "kernel 2", func() { o.Unfold(x, seg, 2, 1) }},
		{"unfold without stride", "stride 0", func() { o.Unfold(x, seg, 3, 0) }},
		{"targets", "2 indices", func() { o.CrossEntropy(x, []int32{0, 1}, make([]float32, 3), 0) }},
		{"target beyond", "index 4", func() { o.CrossEntropy(x, []int32{0, 1, 4}, make([]float32, 3), 0) }},
		{"weights", "2 weights", func() { o.CrossEntropy(x, []int32{0, 1, 2}, make([]float32, 2), 0) }},
	} {
		t.Run(c.name, func(t *testing.T) { requirePanic(t, c.says, c.f) })
	}
}

func TestSliceAliases(t *testing.T) {
	m := tensor.NewMat(3, 2, []float32{1, 2, 3, 4, 5, 6})
	s := m.Slice(1, 3)
	s.Row(0)[1] = 40
	if want := []float32{1, 2, 3, 40, 5, 6}; !slices.Equal(m.Data, want) {
		t.Errorf("whole %v after a write through the slice, want %v", m.Data, want)
	}
	if cap(m.Slice(0, 1).Data) != 2 {
		t.Error("appending to a slice would overwrite the rows after it")
	}
	if e := m.Slice(3, 3); e.Rows != 0 || e.Cols != 2 || e.IsZero() {
		t.Errorf("empty slice is (%d, %d), absent %t", e.Rows, e.Cols, e.IsZero())
	}
	p := tensor.NewParam(3, 2, m.Data)
	p.Slice(1, 3).Slice(1, 2).Grad().Data[0] = 9
	if want := []float32{0, 0, 0, 0, 9, 0}; !slices.Equal(p.Grad().Data, want) {
		t.Errorf("gradient %v after a write through that of a slice of a slice, want %v", p.Grad().Data, want)
	}
}

// step runs a few operations of an inference step and returns their last result.
func step(o *tensor.Ops, x tensor.Mat, w *tensor.Weight, norm tensor.Mat) tensor.Mat {
	y := o.LayerNorm(x, norm, norm, false)
	y = o.GELU(o.Linear(y, w, tensor.Mat{}))
	y = o.Scale(y, norm, nil)
	return o.LogSoftmax(o.Sum(x, y))
}

func TestArenaIsReused(t *testing.T) {
	rng, o := newRNG(1), newOps()
	x, norm := random(rng, 6, 5), random(rng, 1, 5)
	w := &tensor.Weight{Mat: random(rng, 5, 5)}
	first := step(o, x, w, norm)
	big := o.New(3<<20, 1) // more than a slab holds
	want, bytes := slices.Clone(first.Data), o.Bytes()
	if bytes < 4*len(big.Data) {
		t.Errorf("the arena holds %d bytes, and %d were taken", bytes, 4*len(big.Data))
	}
	for range 5 {
		o.Reset()
		y := step(o, x, w, norm)
		if &y.Data[0] != &first.Data[0] {
			t.Fatal("a step after Reset took other memory than the first")
		}
		if !slices.Equal(y.Data, want) {
			t.Fatalf("got %v, want %v as in the first step", y.Data, want)
		}
		o.New(3<<20, 1)
	}
	if o.Bytes() != bytes {
		t.Errorf("the arena grew from %d to %d bytes over equal steps", bytes, o.Bytes())
	}
	if n := testing.AllocsPerRun(10, func() { o.Reset(); o.New(100, 100); o.New(3<<20, 1) }); n != 0 {
		t.Errorf("New and Reset allocate %g times a step", n)
	}
}

func TestArenaMatricesAreDisjoint(t *testing.T) {
	o, rng := newOps(), newRNG(2)
	for range 3 {
		var ms []tensor.Mat
		for i := range 200 {
			m := o.New(rng.IntN(300), rng.IntN(300))
			for j := range m.Data {
				m.Data[j] = float32(i)
			}
			ms = append(ms, m)
		}
		for i, m := range ms {
			if k := slices.IndexFunc(m.Data, func(v float32) bool { return v != float32(i) }); k >= 0 {
				t.Fatalf("element %d of matrix %d was overwritten by matrix %g", k, i, m.Data[k])
			}
			if m.IsZero() {
				t.Fatalf("matrix (%d, %d) counts as absent", m.Rows, m.Cols)
			}
		}
		o.Reset()
	}
}

func TestUploadAndRead(t *testing.T) {
	o := newOps()
	data := []float32{1, 2, 3, 4, 5, 6}
	m := o.Upload(2, 3, data)
	data[0] = 9
	got := make([]float32, 6)
	if err := o.Read(got, m); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, 2, 3, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

// TestUploadParts holds parts to one upload of all, and parts that are not whole rows, or not all of them, to a panic.
func TestUploadParts(t *testing.T) {
	o := newOps()
	all := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	for _, parts := range [][][]float32{{all}, {all[:2], all[2:]}, {all[:4], nil, all[4:6], all[6:]}} {
		if y := o.UploadParts(4, 2, parts); !slices.Equal(y.Data, all) {
			t.Errorf("%v become %v", parts, y.Data)
		}
	}
	for _, parts := range [][][]float32{nil, {all[:6]}, {all[:3], all[3:]}, {all, all[:2]}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("parts %v of 4 rows of 2 numbers do not panic", parts)
				}
			}()
			o.UploadParts(4, 2, parts)
		}()
	}
}

func TestScope(t *testing.T) {
	rng, o := newRNG(3), newOps()
	x, norm := random(rng, 4, 300), random(rng, 1, 300)
	w := &tensor.Weight{Mat: random(rng, 300, 300)}
	want := slices.Clone(step(o, x, w, norm).Data)
	o.Reset()
	before := o.Upload(1, 3, []float32{1, 2, 3})
	y := o.Scope(func() tensor.Mat {
		o.New(2<<20, 1)
		return o.Scope(func() tensor.Mat { return step(o, x, w, norm) })
	})
	bytes := o.Bytes()
	for range 10 {
		o.Scope(func() tensor.Mat { return o.New(2<<20, 1).Slice(0, 1) })
	}
	if !slices.Equal(y.Data, want) {
		t.Errorf("within a scope %v, without %v", y.Data[:3], want[:3])
	}
	if !slices.Equal(before.Data, []float32{1, 2, 3}) {
		t.Errorf("a scope overwrote a matrix made before it: %v", before.Data)
	}
	if o.Bytes() > bytes {
		t.Errorf("the arena grew from %d to %d bytes though each scope ended", bytes, o.Bytes())
	}
}

// TestPackedLinear pins that a weight gives the same product packed and not packed.
func TestPackedLinear(t *testing.T) {
	rng, o := newRNG(4), newOps()
	w := &tensor.Weight{Mat: random(rng, 7, 5)}
	x := random(rng, 3, 5)
	for _, bias := range []tensor.Mat{{}, random(rng, 1, 7)} {
		plain := o.Linear(x, w, bias)
		p, err := o.Backend().Pack(w.Mat, tensor.F32)
		if err != nil {
			t.Fatal(err)
		}
		packed := o.Linear(x, &tensor.Weight{Mat: w.Mat, Packed: p}, bias)
		if !slices.Equal(plain.Data, packed.Data) {
			t.Errorf("packed %v, plain %v", packed.Data, plain.Data)
		}
	}
}

func TestSegments(t *testing.T) {
	s := tensor.NewSegments(2, 0, 3)
	if s.Len() != 3 || s.Rows() != 5 {
		t.Errorf("%d sequences of %d rows, want 3 of 5", s.Len(), s.Rows())
	}
	if from, to := s.Range(2); from != 2 || to != 5 {
		t.Errorf("sequence 2 is %d:%d, want 2:5", from, to)
	}
	for _, empty := range []tensor.Segments{nil, tensor.NewSegments()} {
		if empty.Len() != 0 || empty.Rows() != 0 {
			t.Errorf("%v: %d sequences of %d rows, want none", empty, empty.Len(), empty.Rows())
		}
	}
}

// TestCrossEntropyValue compares the loss with its formula, term by term.
func TestCrossEntropyValue(t *testing.T) {
	const smoothing = 0.1
	o, logits := newOps(), random(newRNG(5), 4, 6)
	for j := range logits.Row(2) {
		logits.Row(2)[j] = float32(math.NaN()) // left out by its weight
	}
	target, weight := []int32{5, 0, 1, 2}, []float32{1, 0.5, 0, 2}
	loss, logProb := o.CrossEntropy(logits, target, weight, smoothing)
	var want float64
	for i, w := range weight {
		if w == 0 {
			continue
		}
		var sum float64
		for _, l := range logits.Row(i) {
			sum += math.Exp(float64(l))
		}
		for j, l := range logits.Row(i) {
			logP := float64(l) - math.Log(sum)
			if got := float64(logProb.Row(i)[j]); math.Abs(got-logP) > 1e-6 {
				t.Errorf("log p[%d][%d] is %g, want %g", i, j, got, logP)
			}
			q := smoothing / float64(logits.Cols)
			if int32(j) == target[i] {
				q += 1 - smoothing
			}
			want -= float64(w) * q * logP
		}
	}
	if got := float64(loss.Data[0]); math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %g, want %g", got, want)
	}
}
