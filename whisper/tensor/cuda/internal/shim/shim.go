//go:build cuda && linux

// Package shim stands in for the CUDA driver's library when a program is linked, and finds the real one when it is first
// needed. A program that imports it starts on every machine.
package shim

/*
#cgo LDFLAGS: -L${SRCDIR}/lib -Wl,--as-needed -ldl
#include <stdlib.h>
int shim_load(const char *path, char *text, size_t n);
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// ErrUnavailable is the kind of all errors of Load: nothing can be computed on a GPU here.
var ErrUnavailable = errors.New("no CUDA")

// The kinds of ErrUnavailable.
var (
	// ErrNoDriver: the library of the driver is absent, or GLOSSA_NO_CUDA is set.
	ErrNoDriver = fmt.Errorf("%w driver", ErrUnavailable)
	// ErrNoDevice: there is a driver and it sees no GPU.
	ErrNoDevice = fmt.Errorf("%w device", ErrUnavailable)
)

const noDevice = 100 // CUDA_ERROR_NO_DEVICE

// Load opens the driver's library and starts it, once; later calls return what the first returned. GLOSSA_LIBCUDA names another
// library than libcuda.so.1; GLOSSA_NO_CUDA, if not empty, says that there is none.
var Load = sync.OnceValue(load)

func load() error {
	if os.Getenv("GLOSSA_NO_CUDA") != "" {
		return fmt.Errorf("%w: disabled by GLOSSA_NO_CUDA", ErrNoDriver)
	}
	name := os.Getenv("GLOSSA_LIBCUDA")
	if name == "" {
		name = "libcuda.so.1"
	}
	path := C.CString(name)
	defer C.free(unsafe.Pointer(path))
	var text [512]C.char
	switch rc := C.shim_load(path, &text[0], C.size_t(len(text))); {
	case rc == 0:
		return nil
	case rc < 0:
		return fmt.Errorf("%w: %s", ErrNoDriver, C.GoString(&text[0]))
	case rc == noDevice:
		return fmt.Errorf("%w: the driver sees no GPU", ErrNoDevice)
	default:
		return fmt.Errorf("%w: the driver does not start: CUDA error %d", ErrUnavailable, int(rc))
	}
}
