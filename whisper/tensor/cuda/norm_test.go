//go:build cuda && linux

package cuda

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/ref"
)

// TestManyNorms checks LayerNorm of many rows, of which a warp has each, in float32 with a copy and in 16 bits alone: it is the reference's, and
// rows have the bits that they have among few, of which a block has each.
func TestManyNorms(t *testing.T) {
	for _, cols := range []int{768, 1024, 1280} {
		for _, dtype := range []tensor.DType{tensor.BF16, tensor.F16} {
			t.Run(fmt.Sprintf("%d/%v", cols, dtype), func(t *testing.T) { testManyNorms(t, cols, dtype) })
		}
	}
}

func testManyNorms(t *testing.T, cols int, dtype tensor.DType) {
	const rows = manyRows + 3 // the last block is not full
	b := open(t)
	if b.normWarp(cols) == nil {
		t.Skipf("SKIP: LayerNorm in registers on %s absent: it is from before 8.0", b.Device())
	}
	if err := b.device.Profile(true); err != nil {
		t.Fatal(err)
	}
	b.narrows = dtype // as after Pack
	r := newRoom(t, b)
	x, gamma, beta := r.random(rows, cols), r.random(1, cols), r.random(1, cols)
	gamma.Data[5] = 1e5                                                            // beyond float16
	x.Data[3*cols+1], x.Data[4*cols+2] = float32(math.Inf(1)), float32(math.NaN()) // rows 3 and 4 become NaN
	b.Write(x, x.Data)
	b.Write(gamma, gamma.Data)

	// norm appends LayerNorm of some rows, and the widening of the copy that it leaves.
	norm := func(y, copied tensor.Mat, from, to int) {
		y, copied = y.Slice(from, to), copied.Slice(from, to)
		b.LayerNorm(y, x.Slice(from, to), gamma, beta)
		from16, ok := b.copyOf(y)
		if !ok {
			t.Fatal("LayerNorm has left no copy")
		}
		n := y.Rows * y.Cols
		b.launch(b.k.widen, driver.Dim3{X: blocks(n, blockSize)}, pointer(copied), driver.Pointer(from16.at), format(dtype), driver.Int64(int64(n)))
	}
	y, copied, short, wantY, wantCopied := r.empty(rows, cols), r.empty(rows, cols), r.empty(rows, cols), r.empty(rows, cols), r.empty(rows, cols)
	for _, to := range []int{1, 100, 200, rows} {
		norm(wantY, wantCopied, max(to-100, 0), to)
	}
	norm(y, copied, 0, rows)
	b.LayerNormRounded(short, x, gamma, beta)
	if len(b.shortened) != 1 {
		t.Error("LayerNormRounded has left float32")
	}
	wantY, wantCopied = r.read(wantY), r.read(wantCopied)
	for _, c := range []struct {
		what      string
		got, want tensor.Mat
	}{{"float32", r.read(y), wantY}, {"copy", r.read(copied), wantCopied}, {"16 bits alone", r.read(short), wantCopied}} {
		for i, w := range c.want.Data {
			if g := c.got.Data[i]; g != w && (g == g || w == w) {
				t.Errorf("%s: element (%d, %d) is %v, and %v among few rows", c.what, i/cols, i%cols, g, w)
				break
			}
			if row := i / cols; (w != w) != (row == 3 || row == 4) {
				t.Fatalf("%s: element (%d, %d) is %v", c.what, row, i%cols, w)
			}
		}
	}
	reference := tensor.Zeros(rows, cols)
	ref.New().LayerNorm(reference, host(x), host(gamma), host(beta))
	for i := range rows { // relative to gamma
		reference.Row(i)[5] /= gamma.Data[5]
		wantY.Row(i)[5] /= gamma.Data[5]
	}
	near(t, "beside the reference", wantY.Slice(5, rows), reference.Slice(5, rows), 1e-5)

	timings, err := b.device.Timings()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("layer_norm_warp_", cols)
	if !slices.ContainsFunc(timings, func(c driver.Timing) bool { return c.Name == name && c.Calls == 2 }) {
		t.Errorf("not two calls of %s: %+v", name, timings)
	}
}
