//go:build cuda && linux

// Package cudatest opens the device that tests of packages above compute on: the fake driver, which computes on the CPU, or with
// GLOSSA_REQUIRE_GPU the machine's GPU.
package cudatest

import (
	"errors"
	"os/exec"
	"sync"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// use builds the fake once in a process.
var use = sync.OnceValue(func() error { return fake.Use() })

// Fake reports whether what Open has opened computes on the CPU, slowly.
func Fake() bool { return fake.Used() }

// Open returns the backend of the first device, which is closed when the test ends. Where there is no compiler for the fake it skips
// the test, and with GLOSSA_REQUIRE_GPU it fails it where there is no GPU.
func Open(t testing.TB) tensor.Device {
	t.Helper()
	switch err := use(); {
	case errors.Is(err, exec.ErrNotFound):
		fake.Skip(t, "the fake CUDA driver: %v", err)
	case err != nil:
		t.Fatal(err)
	}
	b, err := cuda.New(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.(*cuda.Backend).Close(); err != nil {
			t.Error(err)
		}
	})
	return b.(tensor.Device)
}
