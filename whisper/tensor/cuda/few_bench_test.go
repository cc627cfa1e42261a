//go:build cuda && linux

package cuda

import (
	"fmt"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/fake"
)

// BenchmarkFewRows measures a linear of few rows with a bias in a graph of many, of weights that no cache holds: by the kernels of few rows,
// in the ways in which they may divide it, and by cuBLAS and an epilogue.
func BenchmarkFewRows(t *testing.B) {
	if err := fake.Use(); err != nil {
		t.Skipf("SKIP: a device absent: %v", err)
	}
	d, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.(*Backend).Close()
	b := d.(*Backend)
	for _, size := range [][2]int{{1280, 1280}, {5120, 1280}, {1280, 5120}, {384, 384}} {
		for _, rows := range []int{1, 8, 64, 128} {
			benchFewRows(t, b, rows, size[0], size[1])
		}
	}
}

// fewVariant is a way to compute a linear.
type fewVariant struct {
	name string
	of   func(k *fewKernels, n, rows, cols, inner int) fewGrid
}

func benchFewRows(t *testing.B, b *Backend, rows, nOut, nIn int) {
	kernels := *b.fewOf(tensor.BF16)
	many := max(96<<20/(2*nOut*nIn), 1)
	many = min((many+2)/3*3, 96)
	size := 2 * nOut * nIn * many
	w, err := b.device.Alloc(size)
	if err != nil {
		t.Fatal(err)
	}
	defer b.device.Free(w)
	if err := b.fillRandom(b.device.NewList(), w, size, tensor.BF16); err != nil {
		t.Fatal(err)
	}
	at, err := b.Alloc(rows * (nIn + 4*nOut))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free(at)
	x := tensor.Mat{Rows: rows, Cols: nIn, Dev: at}
	y := tensor.Mat{Rows: rows, Cols: nOut, Dev: at + uintptr(4*rows*nIn)}
	b.Zero(tensor.Mat{Rows: 1, Cols: rows * (nIn + 4*nOut), Dev: at})
	bias := tensor.Mat{Rows: 1, Cols: nOut, Dev: y.Dev + uintptr(12*rows*nOut)}
	p := &packed{nOut: nOut, nIn: nIn, dtype: tensor.BF16}
	measure := func(name string, n int, one func(i int)) {
		t.Run(fmt.Sprintf("%dx%d/%d/%s", nOut, nIn, rows, name), func(t *testing.B) {
			for t.Loop() {
				b.mu.Lock()
				for i := range many / n {
					p.at = w + driver.Address(2*nOut*nIn*i*n)
					one(i)
				}
				b.mu.Unlock()
				if err := b.Read(nil, tensor.Mat{}); err != nil {
					t.Fatal(err)
				}
			}
			t.ReportMetric(float64(t.Elapsed().Microseconds())/float64(t.N*(many/n*n)), "µs/linear")
		})
	}
	measure("cublas", 1, func(int) {
		b.product(y, x, p, tensor.Scales{}, tensor.F32, false, nil)
		b.finish(finished{y: y, x: y, bias: bias})
	})
	few := func(n int, g fewGrid) func(int) {
		return func(int) {
			from, _ := b.narrowed(x, tensor.BF16)
			b.flush()
			f := fewLaunch{n: n, rows: rows, cols: nOut, inner: nIn}
			for i := range n {
				f.products[i] = fewProduct{x: from, w: p.at + driver.Address(2*nOut*nIn*i), y: address(y) + driver.Address(4*rows*nOut*i), bias: address(bias)}
			}
			b.launchProducts(&f, g)
		}
	}
	chosen := kernels.grid(1, rows, nOut, nIn)
	for _, columns := range []int{16, 32, 64} {
		for _, v := range []struct {
			kernel        *driver.Kernel
			columns, rows int
		}{{kernels.k16x8, 16, 8}, {kernels.k16x16, 16, 16}, {kernels.k16x32, 16, 32}, {kernels.k32x32, 32, 32}, {kernels.k16x64, 16, 64}, {kernels.k32x64, 32, 64}} {
			sides := columns / v.columns
			if sides < 1 || sides > 2 || v.rows > 2*rows && v.rows > 8 || rows > 8 && v.rows < 32 || rows == 8 && v.rows == 16 {
				continue
			}
			for _, parts := range []int{1, 2, 4} {
				if parts > 1 && nIn < 1280 || parts == 2 && nIn < 5120 {
					continue
				}
				g := fewGrid{v.kernel, columns, v.rows, sides, parts}
				name := fmt.Sprintf("%dx%d,%d,parts=%d", v.columns, v.rows, sides, parts)
				if g == chosen {
					name += ",chosen"
				}
				measure(name, 1, few(1, g))
			}
		}
	}
	if nOut == nIn {
		measure("three", 3, few(3, kernels.grid(3, rows, nOut, nIn)))
	}
}
