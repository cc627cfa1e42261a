//go:build cuda && linux

package driver

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"glossa/whisper/tensor/cuda/internal/fake"
)

// child runs tests on the fake in a process of its own, with more in its environment; "" takes a variable away.
func child(t *testing.T, test string, environment ...string) string {
	t.Helper()
	fake.Require(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(slices.Concat(os.Environ(), environment), "GLOSSA_CHILD=1", "FAKECUDA_QUIET=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", environment, err, out)
	}
	return string(out)
}

// TestFakeOpenInChild says what Open says, in a process whose environment another test has made.
func TestFakeOpenInChild(t *testing.T) {
	if os.Getenv("GLOSSA_CHILD") == "" {
		t.Skip("run by TestFakeOpenErrors")
	}
	d, err := Open(0)
	switch {
	case errors.Is(err, ErrNoDriver):
		t.Log("ErrNoDriver:", err)
	case errors.Is(err, ErrNoDevice):
		t.Log("ErrNoDevice:", err)
	case errors.Is(err, ErrUnavailable):
		t.Log("ErrUnavailable:", err)
	case err != nil:
		t.Log("other:", err)
	default:
		n, err := Count()
		t.Log("open:", n, err)
		d.Close()
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Error("the error is more than one line")
	}
	if _, err := Open(99); err == nil {
		t.Error("there is a device 99")
	}
}

// A program with this backend starts on every machine, and Open says in one line what is missing.
func TestFakeOpenErrors(t *testing.T) {
	for _, c := range []struct {
		name        string
		environment []string
		want        string
	}{
		{"no driver", []string{"GLOSSA_LIBCUDA=/nowhere/libcuda.so.1"},
			"ErrNoDriver: no CUDA driver: /nowhere/libcuda.so.1: cannot open shared object file"},
		{"disabled", []string{"GLOSSA_NO_CUDA=1"}, "ErrNoDriver: no CUDA driver: disabled by GLOSSA_NO_CUDA"},
		{"not a driver", []string{"GLOSSA_LIBCUDA=libm.so.6"}, "ErrNoDriver: no CUDA driver: libm.so.6 has no cuInit"},
		{"no GPU", []string{"FAKECUDA_DEVICES=0"}, "ErrNoDevice: no CUDA device: the driver sees no GPU"},
		{"no cuBLAS", []string{"GLOSSA_LIBCUBLAS=/nowhere/libcublas.so"}, "ErrUnavailable: no CUDA: cuBLAS, which comes with"},
		{"a broken cuBLAS", []string{"FAKECUDA_NO_CUBLAS=1"}, "other: open device 0: cuda: cuBLAS: create: CUBLAS_STATUS_NOT_INITIALIZED"},
		{"little memory", []string{"FAKECUDA_MEMORY=1k"}, "open: 1 <nil>"},
		{"two devices", []string{"FAKECUDA_DEVICES=2"}, "open: 2 <nil>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := child(t, "TestFakeOpenInChild", c.environment...); !strings.Contains(out, c.want) {
				t.Errorf("want %q in\n%s", c.want, out)
			}
		})
	}
}

// The tests pass, too, where the work runs on another thread meanwhile, and where memory is checked tensor by tensor.
func TestFakeModes(t *testing.T) {
	tests := "Test(Replay.*|BlockSums|StageGrows|StagingIsNotOverwritten|Goroutines|Gemm.*|Copy.*|FakeOutOfMemory|FakeLost|Profile)"
	for _, mode := range []string{"FAKECUDA_MODE=thread", "GLOSSA_CUDA_CHECK=1", "GLOSSA_CUDA_NO_GRAPHS=1"} {
		t.Run(mode, func(t *testing.T) {
			run := tests
			switch mode {
			case "GLOSSA_CUDA_NO_GRAPHS=1": // that there are graphs is what some of them check
				run = "Test(BlockSums|StageGrows|StagingIsNotOverwritten|Goroutines|Gemm|Copy.*)"
			case "GLOSSA_CUDA_CHECK=1":
				run = "Test(Replay.*|BlockSums|StageGrows|Goroutines|Gemm.*|Copy.*)"
			}
			child(t, run, mode)
		})
	}
}

// Each device has a thread, memory and work of its own.
func TestFakeTwoDevicesInChild(t *testing.T) {
	if os.Getenv("GLOSSA_CHILD") == "" {
		child(t, "TestFakeTwoDevicesInChild", "FAKECUDA_DEVICES=2")
		return
	}
	var devices [2]*Device
	for i := range devices {
		d, err := Open(i)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		devices[i] = d
	}
	k0, k1 := kernels(t, devices[0]), kernels(t, devices[1])
	fake.Set("lose_at", 1)
	for i, k := range []map[string]*Kernel{k0, k1} {
		d := devices[i]
		x, y := upload(t, d, 1), upload(t, d, float32(i))
		l := d.NewList()
		l.Launch(k["axpy"], Dim3{X: 1}, Dim3{X: 32}, 0, Pointer(y), Pointer(x), Float32(1), Int32(1))
		run(t, d, l)
		if err := d.Wait(); i == 0 && !errors.Is(err, ErrLost) || i == 1 && err != nil {
			t.Errorf("device %d: %v", i, err)
		}
		if i == 1 {
			if got := download(t, d, y, 1); got[0] != 2 {
				t.Errorf("%v", got)
			}
		}
	}
}
