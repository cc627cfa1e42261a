package main

import (
	"errors"
	"fmt"
	"strings"

	"glossa/whisper/tensor"
)

// backend is a backend that knows what it is fast at.
type backend interface {
	tensor.Backend

	// Native reports whether there are instructions for weights of a number format.
	Native(tensor.DType) bool
}

// peaked is a backend that measures what it does at most.
type peaked interface {
	// Peak measures the operations a second that instructions for weights of a number format do at most, 0 without
	// them.
	Peak(tensor.DType) float64

	// PeakRead measures the bytes a second that are read from memory at most.
	PeakRead() float64
}

// threadsOf returns the number of threads that compute, 0 on a GPU.
func threadsOf(b backend) int {
	if t, ok := b.(interface{ Threads() int }); ok {
		return t.Threads()
	}
	return 0
}

// memoryOf returns the bytes of a backend's own memory, and how many of them are free. !ok where it computes in the host's.
func memoryOf(b backend) (free, total int64, ok bool) {
	m, ok := b.(interface{ MemoryInfo() (free, total int64) })
	if ok {
		free, total = m.MemoryInfo()
	}
	return free, total, ok
}

// roomOn returns how much memory a backend can take, 0 where that is not known.
func roomOn(b backend) int64 {
	if free, _, ok := memoryOf(b); ok {
		return free
	}
	return availableMemory()
}

// autoDType stands for what chooseDType chooses.
const autoDType = "auto"

// dtypes are the number formats of weights.
var dtypes = []tensor.DType{tensor.F32, tensor.BF16, tensor.F16, tensor.I8}

// harmless are the formats that do not change error rates, the best first: bfloat16 has the range of float32, which float16 cuts
// activations to; GPUs of compute capability 7 have tensor cores for float16 alone.
var harmless = []tensor.DType{tensor.BF16, tensor.F16, tensor.F32}

// errDType is the error of a number format that the backend has no kernel for.
var errDType = errors.New("no kernel for this number format")

// chooseDType returns the number format that --dtype names, or for auto the fastest of those that
// are harmless and that the backend has instructions for.
func chooseDType(b backend, name string) (tensor.DType, error) {
	if name == autoDType {
		for _, d := range harmless {
			if b.Native(d) && hasKernel(b, d) {
				return d, nil
			}
		}
		return tensor.F32, nil
	}
	var others []string
	for _, d := range dtypes {
		has := hasKernel(b, d)
		switch {
		case has && d.String() == name:
			return d, nil
		case has:
			others = append(others, d.String())
		}
	}
	return 0, fmt.Errorf("--dtype %s: %w on %s; there is: %s", name, errDType, b.Name(), strings.Join(others, " "))
}

// hasKernel reports whether the backend multiplies by weights of a number format.
func hasKernel(b backend, d tensor.DType) bool {
	_, err := b.Pack(tensor.Zeros(1, 1), d)
	return err == nil
}
