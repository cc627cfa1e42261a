package tensor_test

import (
	"errors"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
	"glossa/whisper/tensor/tensortest"
)

func newDevice(bytes int64) *tensortest.Simulated {
	return tensortest.Simulate(ref.New(), tensortest.DeviceOptions{Memory: bytes})
}

// read returns the numbers of m.
func read(t *testing.T, o *tensor.Ops, m tensor.Mat) []float32 {
	t.Helper()
	data := make([]float32, m.Rows*m.Cols)
	if err := o.Read(data, m); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestScopeOnDevice checks that a scope keeps its result wherever that lies: behind much, at the beginning, where the kept
// one overlaps it, and outside.
func TestScopeOnDevice(t *testing.T) {
	d := newDevice(0)
	o := tensor.NewOps(d)
	numbers := make([]float32, 3000)
	for i := range numbers {
		numbers[i] = float32(i)
	}
	for _, before := range []int{-1, 0, 10, 500, 5000, 2_000_000} {
		o.Reset()
		outside := o.Upload(30, 100, numbers)
		y := o.Scope(func() tensor.Mat {
			if before < 0 {
				return outside
			}
			o.New(1, before)
			y := o.Upload(30, 100, numbers)
			o.New(40, 10)
			return y
		})
		if before < 0 && y.Dev != outside.Dev {
			t.Error("what was made before the scope is elsewhere after it")
		}
		after := o.New(30, 100) // what was taken back is used again
		o.CopyTo(after, o.Upload(30, 100, make([]float32, 3000)))
		if !slices.Equal(read(t, o, y), numbers) || !slices.Equal(read(t, o, outside), numbers) {
			t.Errorf("behind %d numbers: the result is not what it was", before)
		}
	}
}

// TestOpsWithoutMemory checks that operations that a device has no memory for say so at each Read until Reset, that none
// panics meanwhile, and that all is well after.
func TestOpsWithoutMemory(t *testing.T) {
	d := newDevice(6 << 20)
	o := tensor.NewOps(d)
	x := o.Upload(1, 3, []float32{1, 2, 3})
	if got := read(t, o, o.Sum(x, x)); got[2] != 6 {
		t.Fatalf("sum %v", got)
	}
	big := o.New(1000, 2000)
	y := o.GELU(o.Sum(big, big))
	o.Scope(func() tensor.Mat { return o.LayerNorm(y, o.New(1, 2000), o.New(1, 2000), false) })
	memory := o.Alloc(10)
	if !memory.Lacks() {
		t.Error("there is memory after there was none")
	}
	memory.Free()
	for range 2 {
		if err := o.Read(make([]float32, 3), x); !errors.Is(err, tensor.ErrMemory) || errors.Is(err, tensor.ErrDevice) {
			t.Errorf("error %v, want ErrMemory alone", err)
		}
	}
	o.Reset()
	if used := d.Stats().Used; used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
	x = o.Upload(1, 3, []float32{1, 2, 3})
	if got := read(t, o, o.Sum(x, x)); got[2] != 6 {
		t.Errorf("sum %v after Reset", got)
	}
}

// TestLinearsWithoutMemory checks that a linear whose result a device has no memory for is not computed, by the interfaces that a backend may have
// beside either.
func TestLinearsWithoutMemory(t *testing.T) {
	d := tensortest.SimulateFused(ref.New(), tensortest.DeviceOptions{Memory: 6 << 20})
	o := tensor.NewOps(d)
	w := tensor.Weight{Mat: tensor.Zeros(2000, 3)}
	var err error
	if w.Packed, err = d.Pack(w.Mat, tensor.F32); err != nil {
		t.Fatal(err)
	}
	for what, linear := range map[string]func(x tensor.Mat, s tensor.Scales){
		"plain":             func(x tensor.Mat, _ tensor.Scales) { o.Linear(x, &w, tensor.Mat{}) },
		"with GELU":         func(x tensor.Mat, _ tensor.Scales) { o.LinearGELU(x, &w, tensor.Mat{}) },
		"scaled":            func(x tensor.Mat, s tensor.Scales) { o.ScaledLinear(x, &w, tensor.Mat{}, s) },
		"scaled, with GELU": func(x tensor.Mat, s tensor.Scales) { o.ScaledLinearGELU(x, &w, tensor.Mat{}, s) },
	} {
		o.Reset()
		x := o.Upload(1000, 3, make([]float32, 3000))
		linear(x, tensor.Scales{In: o.New(1, 3), Out: o.New(1, 2000), Row: make([]int32, 1000)})
		if err := o.Read(nil, tensor.Mat{}); !errors.Is(err, tensor.ErrMemory) {
			t.Errorf("a linear %s: error %v, want ErrMemory", what, err)
		}
	}
}

// TestHostOperandPanics checks that a device refuses a matrix of the host.
func TestHostOperandPanics(t *testing.T) {
	o := tensor.NewOps(newDevice(0))
	defer func() {
		if recover() == nil {
			t.Error("a sum with a matrix of the host")
		}
	}()
	o.Sum(o.New(1, 3), tensor.Zeros(1, 3))
}

// TestMemoryOfDevice checks what is placed on a device, sent, fetched and given back.
func TestMemoryOfDevice(t *testing.T) {
	d := newDevice(0)
	a, b := tensor.Vector([]float32{1, 2, 3}), tensor.Zeros(2, 50)
	var shape tensor.Mat
	m, err := tensor.Place(d, []*tensor.Mat{&a, &shape, &b}, []tensor.Mat{a, {Rows: 3, Cols: 4}, b})
	if err != nil {
		t.Fatal(err)
	}
	if a.Dev == 0 || b.Dev%256 != 0 || a.Data[2] != 3 || shape.Dev != 0 || shape.Rows != 3 {
		t.Errorf("placed %+v, %+v, %+v", a, b, shape)
	}
	o := tensor.NewOps(d)
	a.Data[0] = 7
	o.Send(a)
	a.Data[0] = 0
	if err := o.Fetch(a); err != nil || a.Data[0] != 7 {
		t.Errorf("%v, %v", a.Data, err)
	}
	m.Free()
	m.Free()
	if used := d.Stats().Used; used != 0 {
		t.Errorf("%d bytes are in use", used)
	}
}

// TestGradientsOnDevice compares the gradients of a small network with the host's.
func TestGradientsOnDevice(t *testing.T) {
	run := func(b tensor.Backend) (loss float32, grads [][]float32) {
		rng := newRNG(3)
		o := tensor.NewOps(b)
		param := func(rows, cols int) tensor.Mat { return tensor.NewParam(rows, cols, random(rng, rows, cols).Data) }
		params := []tensor.Mat{param(9, 6), param(6, 6), param(1, 6), param(1, 6), param(1, 6), param(2, 6), param(11, 6)}
		to := make([]*tensor.Mat, len(params))
		for i := range to {
			to[i] = &params[i]
		}
		if _, ok := b.(tensor.Device); ok {
			m, err := tensor.Place(b, to, params)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Free() // and not before: it is given back when nothing refers to it
		}
		for range 2 { // gradients add up
			o.Reset()
			o.StartTape()
			x := o.Embed(params[0], []int32{1, 4, 4, 8, 0})
			x, _ = o.Unfold(x, tensor.NewSegments(2, 3), 1, 1)
			q := o.GELU(o.Linear(x, &tensor.Weight{Mat: params[1]}, params[2]))
			k := o.Scale(o.LayerNorm(x, params[3], params[4], false), params[5], []int32{0, 1, 1, 0, 1})
			seg := tensor.NewSegments(2, 3)
			kv := []tensor.KeyValue{{K: k.Slice(0, 2), V: q.Slice(0, 2)}, {K: k.Slice(2, 5), V: q.Slice(2, 5)}}
			y := o.Sum(o.Attention(q, seg, kv, 2, true), x)
			o.AddBiasTo(&y, params[3])
			logits := o.Linear(y, &tensor.Weight{Mat: params[6]}, tensor.Mat{})
			l, _ := o.CrossEntropy(logits, []int32{1, 2, 3, 10, 0}, []float32{1, 0.5, 0, 1, 1}, 0.1)
			o.Backward(l)
			loss = read(t, o, l)[0]
		}
		for _, p := range params {
			if err := o.Fetch(p.Grad()); err != nil {
				t.Fatal(err)
			}
			grads = append(grads, slices.Clone(p.Grad().Data))
		}
		return loss, grads
	}
	wantLoss, want := run(ref.New())
	gotLoss, got := run(newDevice(0))
	if gotLoss != wantLoss {
		t.Errorf("loss %v, on the host %v", gotLoss, wantLoss)
	}
	for i := range want {
		tensortest.Tolerance{Abs: 1e-6, Rel: 1e-6}.Compare(t, "gradient", got[i], want[i])
	}
}
