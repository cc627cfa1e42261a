package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// spinTime is how long an idle worker looks for work before it parks: about the gap between
// two kernels of one forward pass. A parked worker takes 5 to 50 µs to wake.
const spinTime = 50 * time.Microsecond

// pool are the goroutines that share the iterations of one loop at a time. It is apart from
// [Backend] so that the workers do not keep an abandoned backend alive.
type pool struct {
	kernels kernels
	threads int

	active atomic.Pointer[loop] // the loop whose iterations are for the taking
	parked atomic.Int32
	wake   chan struct{}
	stop   chan struct{}
	once   sync.Once

	loops   freelist[loop]
	workers freelist[worker]
}

// loop is one call of parallel.
type loop struct {
	n       atomic.Int64
	f       func(w *worker, i int)
	next    atomic.Int64
	guests  atomic.Int32  // workers that hold a pointer to the loop
	waiting atomic.Bool   // the caller is parked on done
	done    chan struct{} // of capacity one
}

// worker is what one goroutine owns while it computes: its kernels and its scratch memory.
type worker struct {
	kernels *kernels
	panel   panel
	product product
	scratch [scratches][]float32
}

// The scratch buffers of a worker, one for each purpose that may be live at the same time.
const (
	scratchA      = iota // packed rows of the first factor
	scratchB             // packed columns of the second factor
	scratchWords         // rows of the second factor, rounded
	scratchC             // a tile of the product that the matrix does not hold whole
	scratchScores        // attention
	scratchRows          // attention, element-wise kernels
	scratchRows2
	scratchRows3
	scratchZeros // never written
	scratchOnes
	scratches
)

func newPool(threads int, k kernels) *pool {
	p := &pool{kernels: k, threads: threads, wake: make(chan struct{}, threads), stop: make(chan struct{})}
	for range threads - 1 {
		go p.serve()
	}
	return p
}

// close ends the workers.
func (p *pool) close() { p.once.Do(func() { close(p.stop) }) }

// floats returns n numbers of unspecified value, aligned to a cache line, that are the worker's
// until it asks for the same buffer again.
func (w *worker) floats(buffer, n int) []float32 {
	if len(w.scratch[buffer]) < n {
		w.scratch[buffer] = alignedFloats(n + n/4)
	}
	return w.scratch[buffer][:n]
}

// zeros returns n zeros, which are not to be written.
func (w *worker) zeros(n int) []float32 { return w.floats(scratchZeros, n) }

// ones returns n ones, which are not to be written.
func (w *worker) ones(n int) []float32 {
	ones := w.floats(scratchOnes, n)
	if ones[n-1] != 1 {
		for i := range ones {
			ones[i] = 1
		}
	}
	return ones
}

// parallel calls f(w, i) for i = 0 … n-1 on all workers, the calling goroutine among them, and
// returns when all calls have. Each worker takes the next i that is left. Where the workers are
// busy, with a loop of another goroutine or with the one that this call is nested in, the caller
// runs all of it. It allocates nothing unless f does: a closure that captures is made once and
// kept, see [product].
func (p *pool) parallel(n int, f func(w *worker, i int)) {
	w := p.worker()
	defer p.workers.put(w)
	if n <= 1 || p.threads == 1 {
		for i := range n {
			f(w, i)
		}
		return
	}
	l := p.loops.get()
	l.f = f
	l.n.Store(int64(n))
	l.next.Store(0)
	shared := p.active.CompareAndSwap(nil, l)
	if shared {
		p.rouse(min(n-1, p.threads-1))
	}
	l.run(w)
	if shared {
		p.active.Store(nil)
		l.wait()
	}
	l.f = nil
	p.loops.put(l)
}

func (p *pool) worker() *worker {
	w := p.workers.get()
	w.kernels = &p.kernels
	return w
}

// rouse wakes up to n parked workers.
func (p *pool) rouse(n int) {
	for range min(n, int(p.parked.Load())) {
		select {
		case p.wake <- struct{}{}:
		default:
			return
		}
	}
}

// run takes iterations until none is left.
func (l *loop) run(w *worker) {
	for i := l.next.Add(1) - 1; i < l.n.Load(); i = l.next.Add(1) - 1 {
		l.f(w, int(i))
	}
}

// wait returns when no worker holds the loop. The pool must offer it no longer.
func (l *loop) wait() {
	for range 1 << 10 {
		if l.guests.Load() == 0 {
			return
		}
	}
	for deadline := time.Now().Add(spinTime); time.Now().Before(deadline); {
		if l.guests.Load() == 0 {
			return
		}
		runtime.Gosched()
	}
	if l.done == nil {
		l.done = make(chan struct{}, 1)
	}
	l.waiting.Store(true)
	if l.guests.Load() == 0 && l.waiting.CompareAndSwap(true, false) {
		return
	}
	<-l.done
}

// leave gives the loop back after run.
func (l *loop) leave() {
	if l.guests.Add(-1) == 0 && l.waiting.CompareAndSwap(true, false) {
		l.done <- struct{}{}
	}
}

// serve is a worker's life: take part in loops, spin for a while without one, park.
func (p *pool) serve() {
	w := p.worker()
	for {
		idle := time.Now()
		for spins := 0; ; spins++ {
			if p.join(w) {
				idle, spins = time.Now(), 0
				continue
			}
			if spins%64 == 63 {
				if time.Since(idle) > spinTime {
					break
				}
				runtime.Gosched()
			}
		}
		p.parked.Add(1)
		if p.active.Load() == nil {
			select {
			case <-p.wake:
			case <-p.stop:
				return
			}
		}
		p.parked.Add(-1)
	}
}

// join takes part in the active loop, and reports whether there was one with iterations left.
// The order matters: a worker counts itself as a guest before it looks again whether the loop is
// still offered, and the caller withdraws the loop before it looks for guests, so that a loop is
// never reused under a worker.
func (p *pool) join(w *worker) bool {
	l := p.active.Load()
	if l == nil || l.next.Load() >= l.n.Load() {
		return false
	}
	l.guests.Add(1)
	ok := p.active.Load() == l
	if ok {
		l.run(w)
	}
	l.leave()
	return ok
}

// freelist keeps values for reuse, so that the steady state allocates nothing.
type freelist[T any] struct {
	mu   sync.Mutex
	free []*T
}

func (l *freelist[T]) get() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free)
	if n == 0 {
		return new(T)
	}
	t := l.free[n-1]
	l.free = l.free[:n-1]
	return t
}

func (l *freelist[T]) put(t *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, t)
}
