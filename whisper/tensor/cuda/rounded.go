//go:build cuda && linux

package cuda

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// roundedBackend is the backend with products of bfloat16 in the place of float32: see [tensor.Rounder].
type roundedBackend struct{ *Backend }

// Rounded returns the backend whose MatMul rounds the factors of products to bfloat16, nil for another format or where the device does
// not multiply bfloat16: gradients of float16 would be lost to its range without scales. Attention and its gradients stay in float32, which is the more exact.
func (b *Backend) Rounded(dtype tensor.DType) tensor.Backend {
	if dtype != tensor.BF16 || b.productsOf(dtype) == nil {
		return nil
	}
	return roundedBackend{b}
}

// Name returns the backend's name and the format of products.
func (r roundedBackend) Name() string { return r.Backend.Name() + "/bf16" }

// Rounded returns r for the format that it has.
func (r roundedBackend) Rounded(dtype tensor.DType) tensor.Backend { return r.Backend.Rounded(dtype) }

// MatMul computes c = op(a) op(b), or c += op(a) op(b), of factors rounded to bfloat16.
func (r roundedBackend) MatMul(c, a, d tensor.Mat, t tensor.Transpose, accumulate bool) {
	b := r.Backend
	b.begin()
	defer b.end()
	g, ok := b.gemm(c, a, d, t, accumulate)
	if !ok {
		return
	}
	nA, nB := 2*a.Rows*a.Cols, 2*d.Rows*d.Cols
	second := (nA + 255) / 256 * 256
	b.copied = copied{}
	at, ok := b.room(&b.narrow, second+nB)
	if !ok {
		return
	}
	g.A, g.B, g.In = at, at+driver.Address(second), driver.BF16
	b.finish(finished{copy: narrowRows{g.A, tensor.BF16}, x: a})
	b.finish(finished{copy: narrowRows{g.B, tensor.BF16}, x: d})
	b.list.Gemm(g)
}
