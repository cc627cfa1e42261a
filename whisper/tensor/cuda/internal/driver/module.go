//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// Kernel is a function of a module that was loaded on a device.
type Kernel struct {
	name      string
	function  uint64 // its CUfunction
	params    []paramKind
	maxShared int  // bytes of dynamic shared memory that a launch may ask for
	early     bool // waits itself for what was launched before it
}

// Name returns the name of the kernel in its module.
func (k *Kernel) Name() string { return k.name }

// Limits of a launch, from the CUDA programming guide ("Technical Specifications per Compute Capability").
const (
	maxBlock  = 1024
	maxBlockZ = 64
	maxGridX  = 1<<31 - 1
	maxGridYZ = 1<<16 - 1
	maxShared = 48 << 10 // without leave; see Device.LoadModule
)

// earlyGraphs is the version of CUDA from which on graphs have kernels that are launched before those before them have ended.
const earlyGraphs = 12030

const maxParams = C.MAX_PARAMS // of a kernel

// check panics where a launch cannot be right.
func (k *Kernel) check(grid, block Dim3, shared int, args []Arg) {
	if grid.X < 1 || grid.Y < 1 || grid.Z < 1 || grid.X > maxGridX || grid.Y > maxGridYZ || grid.Z > maxGridYZ {
		panic(fmt.Sprintf("cuda: kernel %s: a grid of %v", k.name, grid))
	}
	if block.X < 1 || block.Y < 1 || block.Z < 1 || block.Z > maxBlockZ || block.X*block.Y*block.Z > maxBlock {
		panic(fmt.Sprintf("cuda: kernel %s: a block of %v", k.name, block))
	}
	if shared < 0 || shared > k.maxShared {
		panic(fmt.Sprintf("cuda: kernel %s: %d bytes of shared memory; there are %d", k.name, shared, k.maxShared))
	}
	if len(args) != len(k.params) {
		panic(fmt.Sprintf("cuda: kernel %s: %d arguments; it has %d parameters", k.name, len(args), len(k.params)))
	}
	for i, a := range args {
		if a.kind != k.params[i] {
			panic(fmt.Sprintf("cuda: kernel %s: argument %d is %v; the parameter is %v", k.name, i, a.kind, k.params[i]))
		}
	}
}

// LoadModule compiles PTX for the device and returns the kernels of these names. Each may use as much dynamic shared memory as
// the device has for one block, less what the kernel has of static shared memory.
func (d *Device) LoadModule(ptx string, kernels ...string) (map[string]*Kernel, error) {
	params, err := entries(ptx)
	if err != nil {
		return nil, err
	}
	waits := waiting(ptx)
	loaded := make(map[string]*Kernel, len(kernels))
	err = d.do(func() error {
		module, err := loadPTX(ptx)
		if err != nil {
			return err
		}
		d.modules = append(d.modules, module)
		for _, name := range kernels {
			k, err := d.kernel(module, name)
			if err != nil {
				return fmt.Errorf("kernel %s: %w", name, err)
			}
			if k.params = params[name]; len(k.params) > maxParams {
				return fmt.Errorf("kernel %s: %d parameters; a launch here has at most %d", name, len(k.params), maxParams)
			}
			k.early = waits[name] && d.info.Driver >= earlyGraphs && os.Getenv("GLOSSA_CUDA_NO_EARLY") == ""
			loaded[name] = k
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// loadPTX runs the driver's compiler. On the device's thread.
func loadPTX(ptx string) (C.CUmodule, error) {
	image := C.CString(ptx)
	defer C.free(unsafe.Pointer(image))
	var text [4096]C.char
	var module C.CUmodule
	rc := C.load_module(&module, image, &text[0], C.size_t(len(text)))
	if err := result("load the kernels", int(rc)); err != nil {
		if log := strings.TrimSpace(C.GoString(&text[0])); log != "" {
			return nil, fmt.Errorf("%w: %s", err, log)
		}
		return nil, err
	}
	return module, nil
}

// kernel finds a function of a module and lets it use shared memory over 48 KB. On the device's thread.
func (d *Device) kernel(module C.CUmodule, name string) (*Kernel, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var f C.CUfunction
	if err := result("cuModuleGetFunction", int(C.cuModuleGetFunction(&f, module, cname))); err != nil {
		return nil, err
	}
	var static C.int
	if err := result("cuFuncGetAttribute", int(C.cuFuncGetAttribute(&static, C.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, f))); err != nil {
		return nil, err
	}
	k := &Kernel{name: name, function: uint64(uintptr(unsafe.Pointer(f))), maxShared: max(0, maxShared-int(static))}
	if most := d.info.SharedPerBlock - int(static); most > k.maxShared {
		rc := C.cuFuncSetAttribute(f, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(most))
		if err := result("cuFuncSetAttribute", int(rc)); err != nil {
			return nil, err
		}
		k.maxShared = most
	}
	d.names[k.function] = name
	return k, nil
}
