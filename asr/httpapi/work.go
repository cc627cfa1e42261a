package httpapi

import (
	"sync"
	"sync/atomic"
)

// work counts the requests that run, bounds them, and lets the server drain.
type work struct {
	max     int
	warming atomic.Bool
	idle    chan struct{} // closed when it drains and nothing runs

	mu       sync.Mutex
	running  int
	draining bool
}

func newWork(max int) *work { return &work{max: max, idle: make(chan struct{})} }

// begin counts a request, until its end is called. !ok where as many run as may, or the server drains.
func (w *work) begin() (end func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining || w.running >= w.max {
		return nil, false
	}
	w.running++
	return sync.OnceFunc(w.end), true
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	w.closeIfIdle()
}

// drain lets no more begin.
func (w *work) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.draining {
		w.draining = true
		w.closeIfIdle()
	}
}

func (w *work) closeIfIdle() {
	if w.draining && w.running == 0 {
		close(w.idle)
	}
}

func (w *work) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

func (w *work) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}
