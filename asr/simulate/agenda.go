package simulate

import "time"

// agenda is the workers in a heap, the one at which something happens next first; of equal times the one of the smallest number.
type agenda struct {
	workers []*worker
	times   []time.Duration
}

func (a *agenda) less(i, j int) bool {
	return a.times[i] < a.times[j] || a.times[i] == a.times[j] && a.workers[i].id < a.workers[j].id
}

func (a *agenda) swap(i, j int) {
	a.workers[i], a.workers[j] = a.workers[j], a.workers[i]
	a.times[i], a.times[j] = a.times[j], a.times[i]
	a.workers[i].place, a.workers[j].place = i, j
}

// add adds a worker.
func (a *agenda) add(w *worker) {
	w.place = len(a.workers)
	a.workers, a.times = append(a.workers, w), append(a.times, never)
	a.update(w)
}

// first returns the next time, and whose it is.
func (a *agenda) first() (time.Duration, *worker) { return a.times[0], a.workers[0] }

// update puts a worker where what happens at it next belongs.
func (a *agenda) update(w *worker) {
	i := w.place
	a.times[i] = w.next()
	for i > 0 && a.less(i, (i-1)/2) {
		a.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(a.workers); child++ {
			if a.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		a.swap(i, least)
		i = least
	}
}
