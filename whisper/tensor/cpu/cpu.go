// Package cpu is the fast host backend: packed matrix products and element-wise kernels in
// assembly generated from _asm, behind one dispatch, with a pure Go path that every machine runs.
//
// It keeps the determinism law of package tensor: an element of a product is one chain
//
//	acc = fma(a[i, p], b[p, j], acc)    p = 0 … k-1
//
// whatever the number of rows, the blocking and the number of threads. The two assembly paths
// give the same bits; the Go path rounds each product, and so has its own.
package cpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"glossa/whisper/tensor"
)

// ErrISA is returned by [New] for an instruction set that the machine or the build lacks.
var ErrISA = errors.New("cpu: instruction set not available")

// ErrDType is returned by [Backend.Pack] for a number format without a kernel.
var ErrDType = errors.New("cpu: no kernel for weights of this number format")

// Options are the choices of [New]; the zero value is the default of each.
type Options struct {
	// Threads is the number of goroutines that compute, the caller among them.
	// The default value is GOMAXPROCS.
	Threads int

	// ISA forces an instruction set: "avx512", "avx2" or "go".
	// The default value is that of the environment variable GLOSSA_CPU, and without one the
	// best that the machine has.
	ISA string
}

// Backend computes on the processor. Its methods may be called from several goroutines at once;
// a call that finds the workers busy computes alone.
type Backend struct {
	*pool
	kernels
	operands   *format  // what matrix products and attention round their operands to
	exact      *Backend // of a backend that [Backend.Rounded] made: the one that it shares the workers of
	products   freelist[product]
	linears    freelist[linear]
	packings   freelist[packing]
	buffers    freelist[buffer]
	rowLoops   freelist[rowLoop]
	attentions freelist[attention]
	eachLoops  freelist[eachLoop]
}

// New returns a backend. It fails with [ErrISA] where options ask for an instruction set that is
// not available.
func New(options Options) (*Backend, error) {
	name := options.ISA
	if name == "" {
		name = os.Getenv("GLOSSA_CPU")
	}
	threads := options.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for _, k := range available() {
		if name == "" || name == k.name {
			return newBackend(threads, k), nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrISA, name)
}

func newBackend(threads int, k kernels) *Backend {
	b := &Backend{pool: newPool(threads, k), kernels: k, operands: k.format(tensor.F32)}
	runtime.AddCleanup(b, (*pool).close, b.pool)
	return b
}

// Rounded returns a backend with the same workers whose matrix products and attention, with their
// gradients, round what they multiply to dtype, and add in float32. It is nil where [Backend.Native]
// is false.
func (b *Backend) Rounded(dtype tensor.DType) tensor.Backend {
	switch {
	case dtype == tensor.F32:
		return b
	case dtype != tensor.BF16 || !b.Native(dtype):
		return nil
	}
	return &Backend{pool: b.pool, kernels: b.kernels, operands: b.format(dtype), exact: b}
}

// Close ends the workers. A backend that is not closed ends them when it is collected.
func (b *Backend) Close() { b.pool.close() }

// Name returns "cpu/" and the instruction set, and what products round to where they do.
func (b *Backend) Name() string {
	if b.operands.dtype != tensor.F32 {
		return "cpu/" + b.name + "/" + b.operands.dtype.String()
	}
	return "cpu/" + b.name
}
