//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// fewSizes are (nOut, nIn) of products of few rows, of whose sums one block, two and four have a part, some with columns that fill no tile.
var fewSizes = [][2]int{{96, 64}, {72, 32}, {20, 1920}, {33, 1280}, {48, 5120}}

// TestFewRows holds products of few rows to those of the reference, with all that they may have beside them, and to the bits of each row alone.
func TestFewRows(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
		for _, size := range fewSizes {
			for _, rows := range []int{1, 3, 8, 9, 16, 17, 33, 64, 65, 128} {
				if size[1] > 1280 && rows > 9 && rows != 64 && rows != 128 {
					continue
				}
				t.Run(fmt.Sprintf("%v/%dx%d/%d", dtype, size[0], size[1], rows), func(t *testing.T) { testFewRows(t, dtype, rows, size[0], size[1]) })
			}
		}
	}
}

func testFewRows(t *testing.T, dtype tensor.DType, rows, nOut, nIn int) {
	b := open(t)
	k := b.fewOf(dtype)
	if k == nil {
		t.Skipf("SKIP: products of few rows of %v on %s absent: tensor cores do not multiply it", dtype, b.Device())
	}
	r := newRoom(t, b)
	w := r.random(nOut, nIn)
	for i := range w.Data {
		w.Data[i] /= float32(math.Sqrt(float64(nIn)))
	}
	p, err := b.Pack(host(w), dtype)
	if err != nil {
		t.Fatal(err)
	}
	x, bias := r.random(rows, nIn), r.random(1, nOut)
	y, alone := r.empty(rows, nOut), r.empty(rows, nOut)
	want := tensor.Zeros(rows, nOut)
	ref.New().MatMul(want, host(x), host(w), tensor.TransB, false)
	ref.New().AddBias(want, want, host(bias))

	before := b.list.Len()
	b.Linear(y, x, p, bias)
	b.flush()
	if n := b.list.Len() - before; n > 3 { // rounding, the product, and counters in the beginning
		t.Errorf("%d operations for one product", n)
	}
	got := r.read(y)
	near(t, "product", got, want, 0.02)
	for _, i := range []int{0, rows / 2, rows - 1} {
		b.Linear(alone.Slice(i, i+1), x.Slice(i, i+1), p, bias)
	}
	bits := r.read(alone)
	for _, i := range []int{0, rows / 2, rows - 1} {
		near(t, fmt.Sprintf("row %d alone", i), bits.Slice(i, i+1), got.Slice(i, i+1), 0)
	}
	b.LinearGELU(y, x, p, bias)
	ref.New().GELU(want, want)
	near(t, "GELU", r.read(y), want, 0.02)
}
