package simulate

import (
	"sort"
	"time"
)

// fifo is a queue in the memory of what it held at most.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(x T) {
	if q.head > len(q.items)/2 && q.head > 64 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, x)
}

func (q *fifo[T]) first() T { return q.items[q.head] }

func (q *fifo[T]) pop() T {
	x := q.items[q.head]
	var none T
	q.items[q.head] = none
	q.head++
	return x
}

// jobQueue are the jobs of a priority that wait: those that come again first, as JetStream has it, and the others in the order in which
// they came.
type jobQueue struct{ again, first fifo[*job] }

func (q *jobQueue) len() int { return q.again.len() + q.first.len() }

func (q *jobQueue) push(j *job) {
	if j.deliveries > 1 {
		q.again.push(j)
	} else {
		q.first.push(j)
	}
}

func (q *jobQueue) pop() *job {
	if q.again.len() > 0 {
		return q.again.pop()
	}
	return q.first.pop()
}

// overdue returns the number of jobs that came before a time.
func (q *jobQueue) overdue(before time.Duration) int {
	late := func(f *fifo[*job], i int) bool { return f.items[f.head+i].came < before }
	n := sort.Search(q.first.len(), func(i int) bool { return !late(&q.first, i) })
	for i := range q.again.len() {
		if late(&q.again, i) {
			n++
		}
	}
	return n
}

// dispatcher is the work queue that workers share: jobs by priority, and the workers that ask for some, in turn. The first line of
// workers is of those that have room for jobs that are not live, the second of those that have room for live ones.
type dispatcher struct {
	jobs  [3]jobQueue // in the order of priorities
	lines [2]fifo[*worker]
}

// rank returns the index of the job's priority.
func (j *job) rank() int {
	for i, p := range priorities {
		if p == j.priority {
			return i
		}
	}
	return 0
}

// line returns the line of those that may take jobs of a priority.
func line(priority int) int {
	if priority == 0 {
		return 1
	}
	return 0
}

// ask puts a worker into the lines that it has room for.
func (d *dispatcher) ask(w *worker) {
	for i := range d.lines {
		if !w.waiting[i] && w.room(i) {
			w.waiting[i] = true
			d.lines[i].push(w)
		}
	}
}

// next takes the worker out of its line whose turn it is to take a job of a priority, nil where none has room.
func (d *dispatcher) next(priority int) *worker {
	i := line(priority)
	for l := &d.lines[i]; l.len() > 0; {
		w := l.pop()
		w.waiting[i] = false
		if w.room(i) {
			return w
		}
	}
	return nil
}

// offer gives a job to the worker whose turn it is, or lets it wait.
func (s *simulation) offer(now time.Duration, j *job) {
	i := j.rank()
	var w *worker
	if s.queue.jobs[i].len() == 0 {
		w = s.queue.next(i)
	}
	if w == nil {
		s.queue.jobs[i].push(j)
		return
	}
	w.advance(now)
	w.take(now, j)
	s.queue.ask(w)
	w.proceed(now)
	s.agenda.update(w)
}

// bulkShare is the number of normal jobs for each of bulk that a worker takes while both wait, as the workers of package jobs do.
const bulkShare = 3

// pull gives a worker the jobs that it has room for, and lets it ask for more. It must be at work.
func (s *simulation) pull(now time.Duration, w *worker) {
	live, normal, bulk := &s.queue.jobs[0], &s.queue.jobs[1], &s.queue.jobs[2]
	for live.len() > 0 && w.room(1) {
		w.take(now, live.pop())
	}
	for normal.len()+bulk.len() > 0 && w.room(0) {
		if bulk.len() == 0 {
			w.since = 0
		}
		if normal.len() == 0 || w.since >= bulkShare {
			w.take(now, bulk.pop())
		} else {
			w.take(now, normal.pop())
		}
	}
	s.queue.ask(w)
}
