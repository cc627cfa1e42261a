//go:build !amd64 || purego

package cpu

// available returns the kernels that this machine runs, the fastest first.
func available() []kernels { return []kernels{goKernels} }
