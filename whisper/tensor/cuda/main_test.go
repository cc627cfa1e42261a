//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor/cuda/internal/fake"
)

func TestMain(m *testing.M) { fake.Main(m) }

// open returns the backend of the first device, on which each allocation is alone and checked at its end.
func open(t *testing.T) *Backend {
	t.Helper()
	fake.Require(t)
	if fake.Used() {
		t.Setenv("GLOSSA_CUDA_CHECK", "1")
	}
	return openPlainly(t)
}

// openPlainly returns the backend of the first device.
func openPlainly(t *testing.T) *Backend {
	t.Helper()
	fake.Require(t)
	b, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.(*Backend).Close(); err != nil {
			t.Error(err)
		}
	})
	return b.(*Backend)
}
