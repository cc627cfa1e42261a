//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// blasLibraries are tried in this order.
var blasLibraries = []string{"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"}

// loadBLAS opens cuBLAS, once. GLOSSA_LIBCUBLAS names another library.
var loadBLAS = sync.OnceValue(func() error {
	libraries := blasLibraries
	if name := os.Getenv("GLOSSA_LIBCUBLAS"); name != "" {
		libraries = []string{name}
	}
	names := (*[4]*C.char)(C.calloc(4, C.size_t(unsafe.Sizeof((*C.char)(nil)))))
	for i, name := range libraries {
		names[i] = C.CString(name)
		defer C.free(unsafe.Pointer(names[i]))
	}
	defer C.free(unsafe.Pointer(names))
	if text := C.blas_load(&names[0]); text != nil {
		return fmt.Errorf("%w: cuBLAS, which comes with the CUDA toolkit or the package libcublas: %s", ErrUnavailable, C.GoString(text))
	}
	return nil
})

// blasWorkspace is what cuBLAS is given to work in: the size that its documentation recommends for Hopper. A product in a graph
// would otherwise allocate.
const blasWorkspace = 32 << 20

// setupBLAS makes cuBLAS ready. On the device's thread.
func (d *Device) setupBLAS() (err error) {
	if err = blasResult("create", int(C.blas_create(&d.blas))); err != nil {
		return err
	}
	var version C.int
	if err = blasResult("version", int(C.blas_version(&d.blas, &version))); err != nil {
		return err
	}
	d.info.BLAS = int(version)
	size := max(grain, min(blasWorkspace, d.info.TotalBytes/64&^(grain-1)))
	if d.workspace, err = cu.MemAlloc(size); err != nil {
		return wrap("allocate the workspace of cuBLAS", err)
	}
	return blasResult("workspace", int(C.blas_use(&d.blas, d.cStream(), C.CUdeviceptr(d.workspace), C.size_t(size))))
}

// closeBLAS is the end of it. On the device's thread.
func (d *Device) closeBLAS() {
	if d.blas.handle != nil {
		C.blas_destroy(&d.blas)
	}
	if d.workspace != 0 {
		cu.MemFree(d.workspace)
	}
}
