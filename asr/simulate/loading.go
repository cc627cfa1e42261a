package simulate

import "slices"

// loading are recordings and adapters that are brought in, all at the same rate: what each has taken is told by one clock.
type loading struct {
	clock float64 // seconds that each has had since the beginning
	items []loadItem
}

// loadItem is a recording, or the adapter of a number.
type loadItem struct {
	until   float64 // on the clock
	task    *task
	adapter int32
}

// add begins one that takes so many seconds on a processor of its own.
func (l *loading) add(seconds float64, t *task, adapter int32) {
	if len(l.items) == 0 {
		l.clock = 0 // so that its numbers stay small
	}
	until := l.clock + seconds
	i := len(l.items)
	for i > 0 && l.items[i-1].until > until {
		i--
	}
	l.items = slices.Insert(l.items, i, loadItem{until, t, adapter})
}

// first returns what the one that is there next has left.
func (l *loading) first() (left float64, ok bool) {
	if len(l.items) == 0 {
		return 0, false
	}
	return max(0, l.items[0].until-l.clock), true
}

func (l *loading) advance(seconds float64) { l.clock += seconds }

// take takes one that is there.
func (l *loading) take() (t *task, adapter int32, ok bool) {
	if left, any := l.first(); !any || !over(left) {
		return nil, 0, false
	}
	i := l.items[0]
	l.items = slices.Delete(l.items, 0, 1)
	return i.task, i.adapter, true
}

// deviceRate returns how much of its speed the device has beside what is loaded.
func (w *worker) deviceRate() float64 { return 1 / w.sim.prices.beside(len(w.loading.items)).Device }

// loadRate returns how much of its speed each loading has.
func (w *worker) loadRate(busy bool) float64 {
	b := w.sim.prices.beside(len(w.loading.items))
	if busy {
		return 1 / b.Loading
	}
	return 1 / b.Others
}

// residents are the adapters in a worker's memory.
type residents struct {
	sim   *simulation
	of    map[int32]*resident
	bytes int64
	turn  int64
}

// resident is an adapter that is in memory, or on its way.
type resident struct {
	there   bool
	pins    int
	used    int64
	waiting []*task
}

func newResidents(s *simulation) residents { return residents{sim: s, of: make(map[int32]*resident)} }

// always reports whether a job's adapter never has to be brought in.
func (r *residents) always(j *job) bool {
	return j.adapter == 0 || r.sim.prices.Adapters.Bring == 0
}

// pin holds on to the adapter that a job is known to need, from now to its end.
func (r *residents) pin(j *job) {
	if j.detect || r.always(j) {
		return
	}
	a := r.of[j.adapter]
	if a == nil {
		a = new(resident)
		r.of[j.adapter] = a
	}
	a.pins++
	r.turn++
	a.used = r.turn
}

func (r *residents) unpin(j *job) {
	if j.detect || r.always(j) {
		return
	}
	r.of[j.adapter].pins--
	r.sweep()
}

// ready reports whether a job's adapter is in memory.
func (r *residents) ready(j *job) bool {
	a := r.of[j.adapter]
	return r.always(j) || a != nil && a.there
}

// prefetch begins to bring in an adapter that is not there.
func (r *residents) prefetch(w *worker, j *job) {
	if r.ready(j) {
		return
	}
	r.begin(w, j.adapter)
}

// begin brings in an adapter unless that was begun.
func (r *residents) begin(w *worker, adapter int32) {
	for _, i := range w.loading.items {
		if i.task == nil && i.adapter == adapter {
			return
		}
	}
	r.sim.stats.brought++
	w.loading.add(r.sim.prices.Adapters.Bring, nil, adapter)
}

// bring lets a task wait for its adapter.
func (r *residents) bring(w *worker, t *task) {
	a := r.of[t.job.adapter]
	a.waiting = append(a.waiting, t)
	r.begin(w, t.job.adapter)
}

// arrive puts an adapter into memory, and returns the tasks that wait for it.
func (r *residents) arrive(adapter int32) []*task {
	a := r.of[adapter]
	if a == nil { // nobody needs it any more, and it was forgotten
		return nil
	}
	a.there = true
	r.bytes += r.sim.prices.Adapters.Bytes
	waiting := a.waiting
	a.waiting = nil
	r.sweep()
	return waiting
}

// sweep takes the adapters out of memory that nobody needs and that were used least lately, while there are too many.
func (r *residents) sweep() {
	budget := r.sim.options.AdapterMemory
	for budget > 0 && r.bytes > budget {
		least := int32(0)
		for number, a := range r.of {
			if a.there && a.pins == 0 && (least == 0 || a.used < r.of[least].used) {
				least = number
			}
		}
		if least == 0 {
			return
		}
		r.bytes -= r.sim.prices.Adapters.Bytes
		delete(r.of, least)
	}
}
