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

// TestOutOfMemory fills the device, and checks that what then has no room says so and that the rest goes on.
func TestOutOfMemory(t *testing.T) {
	fake.Require(t)
	if !fake.Used() {
		t.Skip("SKIP: a device of little memory absent")
	}
	fake.Set("memory", 48<<20)
	defer fake.Set("memory", 1<<30)
	b := openPlainly(t)
	r := newRoom(t, b)
	const rows, cols = 1000, 64
	x, y, z := r.random(rows, cols), r.empty(rows, cols), r.empty(rows, 2*cols)
	w, err := b.Pack(host(r.random(2*cols, cols)), tensor.BF16)
	if err != nil {
		t.Fatal(err)
	}
	var taken []uintptr
	for n := 1 << 20; n > 0; {
		at, err := b.Alloc(n)
		if err != nil {
			if !errors.Is(err, tensor.ErrMemory) {
				t.Fatalf("error %v, want ErrMemory", err)
			}
			n /= 2
			continue
		}
		taken = append(taken, at)
	}
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

// TestLost checks that the loss of a device comes out of every Read from then on.
func TestLost(t *testing.T) {
	fake.Require(t)
	if !fake.Used() {
		t.Skip("SKIP: a device that can be lost absent")
	}
	b, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.(*Backend).Close() // whose error is the device's
	r := newRoom(t, b.(*Backend))
	x := r.random(3, 4)
	fake.Set("lose_at", 1)
	defer fake.Set("lose_at", 0)
	for range 3 {
		b.GELU(x, x)
		if err := b.(*Backend).Read(nil, tensor.Mat{}); !errors.Is(err, driver.ErrLost) || errors.Is(err, tensor.ErrMemory) {
			t.Errorf("error %v, want ErrLost", err)
		}
	}
}
