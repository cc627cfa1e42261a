//go:build cuda && linux

package cuda

import (
	"errors"
	"math"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// fill takes all of the device's memory, the largest pieces first.
func fill(t *testing.T, b *Backend) (taken []uintptr) {
	t.Helper()
	for n := 1 << 28; n > 0; {
		at, err := b.Alloc(n)
		switch {
		case err == nil:
			taken = append(taken, at)
		case errors.Is(err, tensor.ErrMemory):
			n /= 2
		default:
			t.Fatalf("error %v, want ErrMemory", err)
		}
	}
	return taken
}

// little makes the fake's devices have few bytes of memory, until the test ends. A GPU has what it has.
func little(t *testing.T, bytes int64) {
	t.Helper()
	fake.Require(t)
	if fake.Used() {
		fake.Set("memory", bytes)
		t.Cleanup(func() { fake.Set("memory", 1<<30) })
	}
}

// TestOutOfMemory fills the device, and checks that what then has no room says so and that the rest goes on.
func TestOutOfMemory(t *testing.T) {
	little(t, 48<<20)
	b := openPlainly(t)
	r := newRoom(t, b)
	const rows, cols = 1000, 64
	x, y, z := r.random(rows, cols), r.empty(rows, cols), r.empty(rows, 2*cols)
	w, err := b.Pack(host(r.random(2*cols, cols)), tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	b.GELU(y.Slice(0, 1), x.Slice(0, 1)) // a driver may load kernels where they are run first
	b.Linear(z.Slice(0, 1), x.Slice(0, 1), w, tensor.Mat{})
	if err := b.Read(nil, tensor.Mat{}); err != nil {
		t.Fatal(err)
	}
	taken := fill(t, b)
	big := tensor.Zeros(1000, 1000)
	for what, err := range map[string]error{
		"Pack":        second(b.Pack(big, tensor.F32)),
		"PackUpdate":  second(b.PackUpdate(tensor.Update{U: big, V: big}, 1000, 1000)),
		"PackLowRank": second(b.PackLowRank(big, big, tensor.Mat{}, tensor.F32)),
	} {
		if !errors.Is(err, tensor.ErrMemory) {
			t.Errorf("%s: error %v, want ErrMemory", what, err)
		}
	}
	b.Linear(z, x, w, tensor.Mat{}) // needs room for x in bfloat16
	b.GELU(y, x)
	got := make([]float32, rows*cols)
	if err := b.Read(got, y); !errors.Is(err, tensor.ErrMemory) {
		t.Errorf("Read: error %v, want ErrMemory", err)
	}
	if err := b.Read(got, y); err != nil {
		t.Errorf("the Read after: %v", err)
	}
	for _, at := range taken {
		b.Free(at)
	}
	b.GELU(y, x)
	b.Linear(z, x, w, tensor.Mat{})
	if err := b.Read(got, y); err != nil {
		t.Errorf("with memory again: %v", err)
	}
	for i, v := range x.Data {
		if want := float64(v) * math.Erfc(-float64(v)/math.Sqrt2) / 2; math.Abs(float64(got[i])-want) > 1e-5 {
			t.Fatalf("number %d is %v, want %v", i, got[i], want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestFakeLost checks that the loss of a device comes out of every Read from then on, and of what measures it.
func TestFakeLost(t *testing.T) {
	fake.Require(t)
	b, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	lost := b.(*Backend)
	defer lost.Close() // whose error is the device's
	r := newRoom(t, lost)
	x := r.random(3, 4)
	fake.Set("lose_at", 1)
	defer fake.Set("lose_at", 0)
	for range 3 {
		b.GELU(x, x)
		if err := lost.Read(nil, tensor.Mat{}); !errors.Is(err, driver.ErrLost) || errors.Is(err, tensor.ErrMemory) {
			t.Errorf("error %v, want ErrLost", err)
		}
	}
	if rate := lost.PeakRead() + lost.Peak(tensor.F32); rate != 0 {
		t.Errorf("%v operations a second", rate)
	}
	if err := lost.Read(nil, tensor.Mat{}); !errors.Is(err, driver.ErrLost) {
		t.Errorf("error %v after measuring, want ErrLost", err)
	}
}
