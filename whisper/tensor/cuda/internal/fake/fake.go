//go:build cuda && linux

// Package fake builds a CUDA driver and a cuBLAS that compute on the CPU, from the C++ in src and from the sources of the kernels, for
// tests on machines without a GPU. It needs g++. See src/fake.h for what it checks.
//
// These variables of the environment change what it does:
//
//	FAKECUDA_MEMORY          bytes of device memory, with k, m or g; 1g if unset
//	FAKECUDA_DEVICES         how many devices there are; 0 is a driver without a GPU
//	FAKECUDA_CAPABILITY      the compute capability of devices; 9.0 if unset. All that is compiled runs on any
//	FAKECUDA_MODE            late: work runs when it is waited for, the default; thread: it runs meanwhile
//	FAKECUDA_SEED            the order of warps and threads; another each time if unset or 0
//	FAKECUDA_LOSE_AT         the launch, counted from 1, at which the device is lost
//	FAKECUDA_NO_CAPTURE      if 1, no stream can be captured
//	FAKECUDA_NO_INSTANTIATE  if 1, no graph can be made ready
//	FAKECUDA_NO_CUBLAS       if set, cuBLAS does not start
//	FAKECUDA_NO_CUBLASLT     if set, cuBLASLt does not start
//	FAKECUDA_QUIET           if set, faults are not printed
package fake

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unavailable says that there is no g++, and so the tests have neither a GPU nor the fake.
var unavailable error

// Main runs the tests of a package, with the fake in place of a driver. It has the kernels of internal/kernels and those of more
// sources, named from the test's folder. Where GLOSSA_LIBCUDA names a driver that one is used, and with GLOSSA_REQUIRE_GPU the
// machine's: tests that are named TestFake… are of the fake alone, and those named TestBuilds… of the compiler, and are then left out. It
// is what TestMain should call; it ends the process, and fails where the fake does not compile.
func Main(m *testing.M, sources ...string) {
	unavailable = Use(sources...)
	if unavailable != nil && !errors.Is(unavailable, exec.ErrNotFound) {
		fmt.Fprintln(os.Stderr, "the fake CUDA driver:", unavailable)
		os.Exit(1)
	}
	if required() {
		flag.Parse()
		skip := flag.Lookup("test.skip").Value
		if err := skip.Set(strings.TrimPrefix(skip.String()+"|^Test(Fake|Builds)", "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// required reports whether the tests have to run on a GPU.
func required() bool { return os.Getenv("GLOSSA_REQUIRE_GPU") != "" }

// Skip skips a test for the want of something. With GLOSSA_REQUIRE_GPU it fails it.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if required() {
		t.Fatalf(format, args...)
	}
	t.Skipf("SKIP: "+format, args...)
}

// Require skips a test where there is neither a GPU to be used nor the fake. With GLOSSA_REQUIRE_GPU it does nothing: the test then fails
// where it opens a device.
func Require(t testing.TB) {
	t.Helper()
	if unavailable != nil {
		Skip(t, "the fake CUDA driver: %v", unavailable)
	}
}

// Used reports whether the tests run on the fake.
func Used() bool {
	return unavailable == nil && !required() && symbol("fakecuda_get") != nil
}

// Use builds the fake, unless the environment asks for something else, and names it in the environment for the shim.
func Use(sources ...string) error {
	if required() || os.Getenv("GLOSSA_LIBCUDA") != "" {
		return nil
	}
	library, err := Build(sources...)
	if err != nil {
		return err
	}
	os.Setenv("GLOSSA_LIBCUDA", library)
	if os.Getenv("GLOSSA_LIBCUBLAS") == "" {
		os.Setenv("GLOSSA_LIBCUBLAS", library)
	}
	return nil
}

// cudaFolder returns the folder of the backend's sources: a test runs in a folder of the module.
func cudaFolder() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		folder := filepath.Join(dir, "whisper", "tensor", "cuda")
		if _, err := os.Stat(filepath.Join(folder, "internal", "fake", "src", "fake.h")); err == nil {
			return folder, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("the sources of whisper/tensor/cuda are not above the working directory")
		}
	}
}
