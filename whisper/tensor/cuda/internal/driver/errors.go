//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"

	"glossa/whisper/tensor/cuda/internal/shim"
)

// The errors of this package; they come wrapped.
var (
	// ErrUnavailable is the kind of ErrNoDriver and ErrNoDevice: there is nothing to compute on.
	ErrUnavailable = shim.ErrUnavailable
	ErrNoDriver    = shim.ErrNoDriver
	ErrNoDevice    = shim.ErrNoDevice

	// ErrMemory: the device has no room. What asked for it has not happened, and the device goes on.
	ErrMemory = errors.New("cuda: out of device memory")

	// ErrLost: a fault on the device that its context does not survive. Every later call returns it too.
	ErrLost = errors.New("cuda: the device is lost")

	// ErrClosed: the call came after Close.
	ErrClosed = errors.New("cuda: the device is closed")
)

// Error is a result of the driver that is not success.
type Error struct {
	Call string // what was called
	Code int    // the number of the CUresult
	Name string // as cuGetErrorName has it
	Text string // as cuGetErrorString has it
}

// Error returns what was called, the name, and the text.
func (e *Error) Error() string {
	return fmt.Sprintf("cuda: %s: %s (%d): %s", e.Call, e.Name, e.Code, e.Text)
}

// Unwrap returns ErrMemory or ErrLost where the code says so.
func (e *Error) Unwrap() error {
	switch {
	case e.Code == C.CUDA_ERROR_OUT_OF_MEMORY:
		return ErrMemory
	case lost(e.Code):
		return ErrLost
	}
	return nil
}

// lost tells the results after which a context is unusable: "the context cannot be used, and all existing device memory
// allocations from this context are invalid", as the documentation of CUresult says.
func lost(code int) bool {
	switch code {
	case C.CUDA_ERROR_DEINITIALIZED, C.CUDA_ERROR_ECC_UNCORRECTABLE, C.CUDA_ERROR_NVLINK_UNCORRECTABLE,
		C.CUDA_ERROR_ILLEGAL_ADDRESS, C.CUDA_ERROR_LAUNCH_TIMEOUT, C.CUDA_ERROR_CONTEXT_IS_DESTROYED, C.CUDA_ERROR_ASSERT,
		C.CUDA_ERROR_HARDWARE_STACK_ERROR, C.CUDA_ERROR_ILLEGAL_INSTRUCTION, C.CUDA_ERROR_MISALIGNED_ADDRESS,
		C.CUDA_ERROR_INVALID_ADDRESS_SPACE, C.CUDA_ERROR_INVALID_PC, C.CUDA_ERROR_LAUNCH_FAILED, C.CUDA_ERROR_UNKNOWN:
		return true
	}
	return false
}

// result makes an error of a CUresult.
func result(call string, code int) error {
	if code == C.CUDA_SUCCESS {
		return nil
	}
	var name, text *C.char
	e := &Error{Call: call, Code: code, Name: "an unknown result"}
	if C.cuGetErrorName(C.CUresult(code), &name) == C.CUDA_SUCCESS && name != nil {
		e.Name = C.GoString(name)
	}
	if C.cuGetErrorString(C.CUresult(code), &text) == C.CUDA_SUCCESS && text != nil {
		e.Text = C.GoString(text)
	}
	return e
}

// wrap makes an error of what gorgonia.org/cu returns: a number of a type that it does not export.
func wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
		return result(call, int(v.Int()))
	}
	return fmt.Errorf("cuda: %s: %w", call, err)
}

// blasNames are cuBLAS's statuses, from its documentation.
var blasNames = map[int]string{
	1: "CUBLAS_STATUS_NOT_INITIALIZED", 3: "CUBLAS_STATUS_ALLOC_FAILED", 7: "CUBLAS_STATUS_INVALID_VALUE",
	8: "CUBLAS_STATUS_ARCH_MISMATCH", 11: "CUBLAS_STATUS_MAPPING_ERROR", 13: "CUBLAS_STATUS_EXECUTION_FAILED",
	14: "CUBLAS_STATUS_INTERNAL_ERROR", 15: "CUBLAS_STATUS_NOT_SUPPORTED", 16: "CUBLAS_STATUS_LICENSE_ERROR",
}

const blasNoMemory = 3

// blasResult makes an error of a status of cuBLAS.
func blasResult(call string, status int) error {
	switch name := blasNames[status]; {
	case status == 0:
		return nil
	case status == blasNoMemory:
		return fmt.Errorf("%w: cuBLAS: %s: %s", ErrMemory, call, name)
	case name == "":
		return fmt.Errorf("cuda: cuBLAS: %s: status %d", call, status)
	default:
		return fmt.Errorf("cuda: cuBLAS: %s: %s (%d)", call, name, status)
	}
}
