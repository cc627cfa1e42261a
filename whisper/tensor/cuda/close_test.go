//go:build cuda && linux

package cuda

import (
	"errors"
	"runtime"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// TestFreeAfterClose checks that what a closed backend had is given up without harm: by Free, twice, and by the garbage collector. What
// else is asked of it is an error.
func TestFreeAfterClose(t *testing.T) {
	for _, checked := range []string{"", "1"} { // from slabs, and each alone
		t.Run("checked "+checked, func(t *testing.T) {
			fake.Require(t)
			t.Setenv("GLOSSA_CUDA_CHECK", checked)
			at, packed, b := closedBackend(t)
			b.Free(at)
			for _, p := range packed[:len(packed)/2] {
				p.Free()
				p.Free()
			}
			collected := make(chan struct{}, len(packed))
			for _, p := range packed {
				runtime.AddCleanup(p, func(c chan struct{}) { c <- struct{}{} }, collected)
			}
			n := len(packed)
			packed = nil
			for range n {
				runtime.GC()
				<-collected
			}

			x := tensor.Mat{Rows: 1, Cols: 2, Dev: at}
			b.GELU(x, x)
			if err := b.Read(make([]float32, 2), x); !errors.Is(err, driver.ErrClosed) {
				t.Errorf("Read: error %v, want ErrClosed", err)
			}
			b.Embed(x, x, []int32{0}) // which stages something
			if err := b.Read(nil, tensor.Mat{}); !errors.Is(err, driver.ErrClosed) {
				t.Errorf("Read after Embed: error %v, want ErrClosed", err)
			}
			if _, err := b.Alloc(1); !errors.Is(err, driver.ErrClosed) {
				t.Errorf("Alloc: error %v, want ErrClosed", err)
			}
			if _, err := b.Pack(tensor.Zeros(2, 2), tensor.F32); !errors.Is(err, driver.ErrClosed) {
				t.Errorf("Pack: error %v, want ErrClosed", err)
			}
			if rate := b.Peak(tensor.F32) + b.PeakRead(); rate != 0 {
				t.Errorf("a peak of %v", rate)
			}
			if err := b.Close(); err != nil {
				t.Errorf("Close again: %v", err)
			}
		})
	}
}

// closedBackend returns a backend that was closed, memory of it, and weights that it had packed, some of which were used.
func closedBackend(t *testing.T) (at uintptr, ps []*packed, b *Backend) {
	t.Helper()
	opened, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	b = opened.(*Backend)
	if at, err = b.Alloc(16); err != nil {
		t.Fatal(err)
	}
	x, y := tensor.Mat{Rows: 1, Cols: 4, Dev: at}, tensor.Mat{Rows: 1, Cols: 4, Dev: at + 32}
	for i := range 6 {
		p, err := b.Pack(tensor.Zeros(4, 4), []tensor.DType{tensor.F32, tensor.BF16}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		b.Linear(y, x, p, tensor.Mat{})
		ps = append(ps, p.(*packed))
	}
	if err := b.Close(); err != nil { // with work that waits
		t.Fatal(err)
	}
	return at, ps, b
}
