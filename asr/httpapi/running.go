package httpapi

import (
	"sync"
	"sync/atomic"
)

// running counts the requests that run, bounds them, and lets the server drain.
type running struct {
	max     int
	warming atomic.Bool
	drained chan struct{} // closed when it drains
	idle    chan struct{} // closed when it drains and nothing runs

	mu       sync.Mutex
	n        int
	draining bool
}

func newRunning(max int) *running {
	return &running{max: max, drained: make(chan struct{}), idle: make(chan struct{})}
}

// begin counts a request, until its end is called. !ok where as many run as may, or the server drains.
func (w *running) begin() (end func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining || w.n >= w.max {
		return nil, false
	}
	w.n++
	return sync.OnceFunc(w.end), true
}

func (w *running) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.closeIfIdle()
}

// drain lets no more begin.
func (w *running) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.draining {
		w.draining = true
		close(w.drained)
		w.closeIfIdle()
	}
}

func (w *running) closeIfIdle() {
	if w.draining && w.n == 0 {
		close(w.idle)
	}
}

func (w *running) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

func (w *running) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}
