package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// backend is a backend that knows what it is fast at.
type backend interface {
	tensor.Backend

	// Threads returns the number of threads that compute.
	Threads() int

	// Native reports whether there are instructions for weights of a number format.
	Native(tensor.DType) bool

	// Peak measures the operations a second that such instructions do at most, 0 without them.
	Peak(tensor.DType) float64

	// PeakRead measures the bytes a second that are read from memory at most.
	PeakRead() float64
}

// threadsFlag is the flag of every command that computes.
type threadsFlag struct {
	Threads int `placeholder:"N" help:"The number of threads that compute. (one for each processor)"`
}

// backend returns the fastest backend that this machine has.
func (f threadsFlag) backend() (backend, error) {
	if n := runtime.NumCPU(); f.Threads < 0 || f.Threads > n {
		return nil, fmt.Errorf("--threads %d: this machine has %d processors", f.Threads, n)
	}
	return cpu.New(cpu.Options{Threads: f.Threads})
}

// autoDType stands for what chooseDType chooses.
const autoDType = "auto"

// dtypes are the number formats of weights.
var dtypes = []tensor.DType{tensor.F32, tensor.BF16, tensor.I8}

// harmless are the formats that do not change error rates, the fastest first.
var harmless = []tensor.DType{tensor.BF16, tensor.F32}

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
