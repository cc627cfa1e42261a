//go:build cuda && linux

package cuda

import (
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// TestRowsAreRoundedOnce checks that products of 16 bits take the copy that the kernel before left, each part of it, and only as long as the
// rows have not been written since.
func TestRowsAreRoundedOnce(t *testing.T) {
	for dtype, allowed := range map[tensor.DType]float64{tensor.BF16: 0.1, tensor.F16: 0.0125} {
		t.Run(dtype.String(), func(t *testing.T) { testRoundedOnce(t, dtype, allowed) })
	}
}

func testRoundedOnce(t *testing.T, dtype tensor.DType, allowed float64) {
	b := open(t)
	r := newRoom(t, b)
	const rows, cols = 5, 64
	x, gamma, beta := r.random(rows, cols), r.random(1, cols), r.random(1, cols)
	w := r.random(cols, cols)
	p, err := b.Pack(host(w), dtype)
	if err != nil {
		t.Fatal(err)
	}
	y, z := r.empty(rows, cols), r.empty(rows, cols)
	want := tensor.Zeros(rows, cols)
	product := func(what string, n int, of func() tensor.Mat) {
		t.Helper()
		b.flush()
		before := b.list.Len()
		b.Linear(z.Slice(0, 3), y.Slice(0, 3), p, tensor.Mat{})
		b.Linear(z.Slice(3, rows), y.Slice(3, rows), p, tensor.Mat{})
		b.flush()
		if got := b.list.Len() - before; got != n {
			t.Errorf("%s: %d operations for two products, want %d", what, got, n)
		}
		ref.New().MatMul(want, of(), host(w), tensor.TransB, false)
		near(t, what, r.read(z), want, allowed)
	}
	reference := tensor.Zeros(rows, cols)
	normal := func() tensor.Mat {
		ref.New().LayerNorm(reference, host(x), host(gamma), host(beta))
		return reference
	}
	b.LayerNorm(y, x, gamma, beta)
	product("after LayerNorm", 2, normal)
	product("after Read", 4, normal)
	b.LayerNorm(y, x, gamma, beta)
	b.Add(y, y, x)
	product("after LayerNorm and Add", 4, func() tensor.Mat {
		ref.New().Add(reference, normal(), host(x))
		return reference
	})
	gelu := func() tensor.Mat {
		ref.New().GELU(reference, host(x))
		return reference
	}
	b.GELU(y, x)
	product("after GELU", 2, gelu)
	b.GELU(y, x)
	b.Linear(z, x, p, tensor.Mat{})
	product("after GELU and another product", 4, gelu)
	b.GELU(y, x)
	b.Copy(y.Slice(1, 2), x.Slice(1, 2))
	product("after GELU and a copy of one row", 4, func() tensor.Mat {
		copy(gelu().Row(1), x.Row(1))
		return reference
	})
	b.GELU(y, x)
	b.CopyRows([]uintptr{y.Slice(2, 3).Dev}, x.Slice(2, 3))
	product("after GELU and a row from elsewhere", 4, func() tensor.Mat {
		copy(gelu().Row(2), x.Row(2))
		return reference
	})
	kv := []tensor.KeyValue{{K: x, V: x}}
	b.Attention(y, x, tensor.NewSegments(rows), kv, 1, false)
	product("after Attention", 2, func() tensor.Mat {
		ref.New().Attention(reference, host(x), tensor.NewSegments(rows), []tensor.KeyValue{{K: host(x), V: host(x)}}, 1, false)
		return reference
	})
}
