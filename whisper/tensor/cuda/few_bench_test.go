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
			run := func() {
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
			for range 3 { // kernels of cuBLAS are loaded when they are first called, and a list is captured when it comes again
				run()
			}
			for t.Loop() {
				run()
			}
			t.ReportMetric(float64(t.Elapsed().Microseconds())/float64(t.N*(many/n*n)), "µs/linear")
		})
	}
	measure("cublas", 1, func(int) {
		b.product(y, x, narrowRows{}, p, tensor.Scales{}, false, nil)
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
	for _, g := range []fewGrid{{kernels.rows8, 8, 1}, {kernels.rows32, 32, 1}} {
		if g.rows > 8 && g.rows > rows || g.rows == 8 && rows > 8 {
			continue
		}
		for parts := 1; parts <= fewParts(nIn); parts *= 2 {
			g.parts = parts
			measure(fmt.Sprintf("rows=%d,parts=%d", g.rows, parts), 1, few(1, g))
		}
	}
	if nOut == nIn {
		measure("three", 3, few(3, kernels.grid(rows, nIn)))
	}
}
