package main

import "sync"

// queue hands values on in the order in which they came. It is safe for concurrent use, and takes any number.
type queue[T any] struct {
	mu     sync.Mutex
	change sync.Cond
	values []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.change.L = &q.mu
	return q
}

// put adds a value.
func (q *queue[T]) put(v T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.values = append(q.values, v)
	q.change.Signal()
}

// take waits for a value and takes it. !ok: there will be none any more.
func (q *queue[T]) take() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.values) == 0 && !q.closed {
		q.change.Wait()
	}
	if len(q.values) == 0 {
		return v, false
	}
	v = q.values[0]
	q.values = q.values[1:]
	return v, true
}

// close says that nothing more will be put.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}
