package cpu

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"glossa/whisper/tensor"
)

func TestParallelRunsEachIterationOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		b := newBackend(threads, goKernels)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n := range 60 {
					count := make([]atomic.Int32, n)
					b.parallel(n, func(w *worker, i int) { count[i].Add(1) })
					for i := range count {
						if c := count[i].Load(); c != 1 {
							t.Errorf("%d threads: iteration %d of %d ran %d times", threads, i, n, c)
						}
					}
				}
			})
		}
		wg.Wait()
		b.Close()
	}
}

// TestParallelSharesTheWork pins that iterations of one loop run on several workers at once.
func TestParallelSharesTheWork(t *testing.T) {
	b := newBackend(2, goKernels)
	defer b.Close()
	var meet sync.WaitGroup
	meet.Add(2)
	b.parallel(2, func(w *worker, i int) {
		meet.Done()
		meet.Wait() // returns only where both iterations run
	})
}

func TestParallelNests(t *testing.T) {
	b := newBackend(3, goKernels)
	defer b.Close()
	var n atomic.Int32
	b.parallel(6, func(w *worker, i int) {
		b.parallel(7, func(inner *worker, j int) {
			if inner == w {
				t.Error("the inner loop has the scratch memory of the outer one")
			}
			n.Add(1)
		})
	})
	if n.Load() != 6*7 {
		t.Errorf("%d iterations", n.Load())
	}
}

// TestParkedWorkersWake runs loops after pauses in which the workers park.
func TestParkedWorkersWake(t *testing.T) {
	b := newBackend(4, goKernels)
	defer b.Close()
	for range 20 {
		time.Sleep(2 * spinTime)
		var meet sync.WaitGroup
		meet.Add(4)
		b.parallel(4, func(w *worker, i int) {
			meet.Done()
			meet.Wait()
		})
	}
}

// TestConcurrentCalls computes on one backend from several goroutines.
func TestConcurrentCalls(t *testing.T) {
	b, err := New(Options{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r := rand.New(rand.NewPCG(19, 20))
	x, w := operands(r, 220, 90, 70, tensor.TransB)
	f, _ := b.Pack(w, tensor.F32)
	want := randomMat(r, 220, 90)
	b.Linear(want, x, f, tensor.Mat{})
	var wg sync.WaitGroup
	for range 5 {
		y := randomMat(r, 220, 90)
		wg.Go(func() {
			for range 20 {
				clear(y.Data)
				b.Linear(y, x, f, tensor.Mat{})
				requireBits(t, "linear", want.Data, y.Data)
				b.MatMul(y, x, w, tensor.TransB, false)
				requireBits(t, "product", want.Data, y.Data)
			}
		})
	}
	wg.Wait()
}

func TestWorkersEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	b := newBackend(8, goKernels)
	b.parallel(100, func(*worker, int) {})
	b.Close()
	b.Close()
	abandoned := newBackend(8, goKernels)
	abandoned.parallel(100, func(*worker, int) {})
	abandoned = nil
	for range 1000 {
		runtime.GC()
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}
