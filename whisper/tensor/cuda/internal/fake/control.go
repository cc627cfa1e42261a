//go:build cuda && linux

package fake

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>
static int set(void *f, const char *name, long long v) { return ((int (*)(const char *, long long))f)(name, v); }
static long long get(void *f, const char *name) { return ((long long (*)(const char *))f)(name); }
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// symbol finds a function of the fake; nil where the fake is not the library in use.
func symbol(name string) unsafe.Pointer {
	path, cname := C.CString(os.Getenv("GLOSSA_LIBCUDA")), C.CString(name)
	defer C.free(unsafe.Pointer(path))
	defer C.free(unsafe.Pointer(cname))
	library := C.dlopen(path, C.RTLD_NOW|C.RTLD_LOCAL)
	if library == nil {
		return nil
	}
	return C.dlsym(library, cname)
}

// control is symbol for what only the fake can do: it panics where the fake is not in use.
func control(name string) unsafe.Pointer {
	f := symbol(name)
	if f == nil {
		panic("fake: the driver in use is not the fake")
	}
	return f
}

// Set changes one of lose_at, no_capture, no_instantiate, memory and seed, which the variables of like names set at first. lose_at counts
// launches from now. A change of memory holds for devices that are opened after it.
func Set(name string, value int64) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	if C.set(control("fakecuda_set"), cname, C.longlong(value)) == 0 {
		panic(fmt.Sprintf("fake: no setting %q", name))
	}
}

// Get returns one of the counters: kernels and products that ran, graphs that are ready, allocations and bytes of device memory that are
// in use, host, the allocations of page-locked memory, and faults.
func Get(name string) int64 {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	v := C.get(control("fakecuda_get"), cname)
	if v < 0 {
		panic(fmt.Sprintf("fake: no counter %q", name))
	}
	return int64(v)
}
