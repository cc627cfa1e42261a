//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"fmt"
	"math"
	"unsafe"
)

// Biased is a product of matrices in row-major order with a bias: C (M, N) = A (M, K) B (N, K)ᵀ + Beta C + Bias (1, N), summed in
// float32. The call is cublasLtMatmul with the epilogue BIAS. C and Bias are float32.
type Biased struct {
	M, N, K       int
	A, B, C, Bias Address
	In            Type // of A and B: BF16 or F16
	Beta          float32
}

// shape is what a plan for Biased depends on.
type shape struct {
	m, n, k int
	in      Type
	beta    float32
}

// maxPlans is how many shapes there may be: a plan is kept as long as the device, since lists and graphs name it.
const maxPlans = 4096

// Biased adds a product with a bias; !ok, and nothing is added, where cuBLASLt is absent or does not have it, or an address is not one
// that its fast kernels take. The first time for a shape it waits for the device's thread.
func (l *List) Biased(g Biased) (ok bool) {
	if g.M <= 0 || g.N <= 0 || g.K <= 0 || g.M > math.MaxInt32 || g.N > math.MaxInt32 || g.K > math.MaxInt32 || g.In == F32 {
		panic(fmt.Sprintf("cuda: a product of type %d of (%d, %d) and (%d, %d) with a bias", g.In, g.M, g.K, g.K, g.N))
	}
	if (g.A|g.B|g.C)%grain != 0 || g.Bias%16 != 0 || g.N%8 != 0 || g.K%8 != 0 {
		return false
	}
	p := l.device.plan(shape{g.M, g.N, g.K, g.In, g.Beta})
	if p == nil {
		return false
	}
	w := l.begin(opBiased, 7)
	w[1], w[2] = uint64(g.M)|uint64(g.N)<<32, uint64(g.K)
	w[3], w[4], w[5], w[6], w[7] = uint64(g.A), uint64(g.B), uint64(g.C), uint64(g.Bias), uint64(uintptr(unsafe.Pointer(p)))
	return true
}

// plan returns how a shape is computed, nil where it cannot be.
func (d *Device) plan(s shape) *C.lt_plan_t {
	d.mu.Lock()
	p, known := d.plans[s]
	full := len(d.plans) >= maxPlans
	d.mu.Unlock()
	if known || full {
		return p
	}
	err := d.do(func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if p, known = d.plans[s]; !known { // no other goroutine was faster
			p = C.lt_plan(&d.blas, C.int(s.m), C.int(s.n), C.int(s.k), C.int(s.in), C.int(F32), C.float(s.beta))
			d.plans[s] = p
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return p
}

// freePlans gives all plans up. On the device's thread, as no list is run any more.
func (d *Device) freePlans() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.plans {
		if p != nil {
			C.lt_free(p)
		}
	}
	clear(d.plans)
}
