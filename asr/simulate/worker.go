package simulate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"glossa/asr"
)

// worker is an engine of asr: its scheduler, and what it does in simulated time.
type worker struct {
	sim       *simulation
	id        int
	at        time.Duration // as far as device and loading have been accounted for
	scheduler *asr.Scheduler
	tasks     map[asr.TaskID]*task
	mail      []message
	device    operation
	computed  time.Duration // when the device last did something
	loading   loading
	adapters  residents
	batch     batch
	timers    []timer // in the order of their times
	outcomes  []asr.Outcome

	jobs    []*job
	held    [2]int // of them, those that are not live and those that are
	since   int    // normal jobs since one of bulk
	turn    int64
	waiting [2]bool // in the lines of those that ask for jobs
	down    bool
	fails   time.Duration
	place   int // in the agenda
}

// message is what an engine's goroutine is sent.
type message struct {
	job     *job  // it has come
	loaded  *task // it was loaded
	adapted *task // its adapter is there
	at      time.Duration
}

// timer is what happens at a time: a job comes to the engine, or its result is stored.
type timer struct {
	at     time.Duration
	job    *job
	stored bool
}

// operation is what the device does.
type operation struct {
	kind  asr.Phase // asr.Nothing where it is idle
	tasks []*task
	left  float64 // seconds of the device alone
}

// longRest is longer than any that costs more than one that is shorter.
const longRest = time.Hour

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

func newWorker(s *simulation, id int) *worker {
	w := &worker{sim: s, id: id}
	w.boot(0)
	return w
}

// boot begins with nothing in memory.
func (w *worker) boot(now time.Duration) {
	w.scheduler = asr.NewScheduler(w.sim.options.SchedulerOptions)
	w.tasks = make(map[asr.TaskID]*task)
	w.at, w.down, w.fails = now, false, never
	w.computed = now - longRest
	w.device = operation{kind: asr.Nothing, tasks: w.device.tasks[:0]}
	w.mail, w.timers, w.loading, w.batch = w.mail[:0], w.timers[:0], loading{}, batch{}
	w.adapters = newResidents(w.sim)
	if mean := w.sim.options.MTBF; mean > 0 {
		w.fails = now + time.Duration(w.sim.random.ExpFloat64()*float64(mean))
	}
}

// next returns when something happens next.
func (w *worker) next() time.Duration {
	at := w.fails
	if len(w.timers) > 0 {
		at = min(at, w.timers[0].at)
	}
	if w.down {
		return at
	}
	busy := w.device.kind != asr.Nothing
	if busy {
		at = min(at, w.at+ceil(w.device.left/w.deviceRate()))
	}
	if left, ok := w.loading.first(); ok {
		at = min(at, w.at+ceil(left/w.loadRate(busy)))
	}
	return at
}

// ceil returns seconds as a duration that is not shorter.
func ceil(seconds float64) time.Duration {
	return time.Duration(math.Ceil(min(seconds*1e9-roundingError, maxAt*1e9)))
}

// roundingError is in nanoseconds: what adding times up may be wrong by.
const roundingError = 1e-3

// over reports whether a time has passed, in seconds that are left.
func over(left float64) bool { return left*1e9 <= roundingError }

// advance accounts for the time until now.
func (w *worker) advance(now time.Duration) {
	passed := (now - w.at).Seconds()
	w.at = now
	if passed == 0 || w.down {
		return
	}
	busy := w.device.kind != asr.Nothing
	device, load := w.deviceRate(), w.loadRate(busy)
	if busy {
		w.device.left -= passed * device
		w.sim.stats.busy += passed
	}
	w.loading.advance(passed * load)
}

// work does what is due.
func (w *worker) work(now time.Duration) {
	w.advance(now)
	if now >= w.fails {
		if !w.down {
			w.fail(now)
			return
		}
		w.boot(now)
		w.sim.pull(now, w)
	}
	if w.device.kind != asr.Nothing && over(w.device.left) {
		w.computed = now
		w.finish(now)
	}
	for t, adapter, ok := w.loading.take(); ok; t, adapter, ok = w.loading.take() {
		if t != nil {
			w.mail = append(w.mail, message{loaded: t})
			continue
		}
		for _, t := range w.adapters.arrive(adapter) {
			w.mail = append(w.mail, message{adapted: t})
		}
	}
	for len(w.timers) > 0 && w.timers[0].at <= now {
		t := w.timers[0]
		w.timers = slices.Delete(w.timers, 0, 1)
		if t.stored {
			w.sim.leave(now, t.job)
		} else {
			w.mail = append(w.mail, message{job: t.job, at: now})
		}
	}
	w.proceed(now)
}

// take takes a job that the queue has given it.
func (w *worker) take(now time.Duration, j *job) {
	j.worker, j.number = w, len(w.jobs)
	w.jobs = append(w.jobs, j)
	w.held[line(j.rank())]++
	switch j.priority {
	case asr.Normal:
		w.since++
	case asr.Bulk:
		w.since = 0
	}
	if delay := w.sim.options.Broker; delay > 0 {
		w.timers = append(w.timers, timer{at: now + delay, job: j})
		return
	}
	w.mail = append(w.mail, message{job: j, at: now})
}

// drop forgets a job.
func (w *worker) drop(j *job) {
	last := w.jobs[len(w.jobs)-1]
	w.jobs[j.number], last.number = last, j.number
	w.jobs = w.jobs[:len(w.jobs)-1]
	j.worker = nil
	w.held[line(j.rank())]--
}

// room reports whether a job of a line could be taken: live ones have slots of their own.
func (w *worker) room(line int) bool {
	o := &w.sim.options
	return !w.down && w.held[line] < [2]int{o.Slots, o.LiveSlots}[line]
}

// fail loses the worker and what it was at; its jobs are delivered again when their leases end.
func (w *worker) fail(now time.Duration) {
	s := w.sim
	w.note(now, "is lost", nil, 0)
	s.stats.failures++
	slices.SortFunc(w.jobs, func(a, b *job) int { return int(a.index - b.index) })
	for _, j := range w.jobs {
		j.lose()
		s.redeliver(now+s.options.Lease, j)
	}
	w.jobs, w.held = w.jobs[:0], [2]int{}
	w.down, w.fails = true, now+s.options.Restart
	w.timers, w.mail = w.timers[:0], w.mail[:0]
	w.device.kind = asr.Nothing
	w.loading = loading{}
}

// proceed goes on as the engine's goroutine does: it opens its mail and carries out plans until the device has something to do or nothing
// is left.
func (w *worker) proceed(now time.Duration) {
	for w.device.kind == asr.Nothing && !w.down {
		w.open(now)
		p := w.scheduler.Next()
		if p.Kind == asr.Nothing && len(p.Load) == 0 {
			return
		}
		w.begin(now, p)
	}
}

// open does what was sent.
func (w *worker) open(now time.Duration) {
	for i := 0; i < len(w.mail); i++ {
		switch m := w.mail[i]; {
		case m.job != nil:
			w.come(m.at, m.job)
		case m.loaded != nil:
			w.read(now, m.loaded)
		default:
			w.apply(w.nextWindow(now, m.adapted))
		}
	}
	w.mail = w.mail[:0]
}

// apply tells the scheduler of one outcome.
func (w *worker) apply(o asr.Outcome) { w.scheduler.Apply(o) }

// come gives a job to the scheduler.
func (w *worker) come(at time.Duration, j *job) {
	w.turn++
	j.turn, j.left, j.spread = w.turn, 1, false
	w.adapters.pin(j)
	t := &task{job: j, first: true, frame: j.frame, window: j.window, tokens: j.tokens}
	if j.speech {
		windows := (j.frames() + w.sim.prices.WindowFrames - 1) / w.sim.prices.WindowFrames
		if j.done == nil {
			j.done = make([]bool, windows)
		}
		j.left = 0
		t.window, t.frame = windows-1, j.frames() // behind the last, where none is left
		for i, done := range slices.Backward(j.done) {
			if !done {
				j.left++
				t.window, t.frame = i, i*w.sim.prices.WindowFrames
			}
		}
	}
	j.left = max(1, j.left)
	if !w.submit(at, t, false) {
		w.adapters.unpin(j)
		w.sim.refuse(at, j)
	}
}

// submit gives a task to the scheduler, and reports whether it was taken.
func (w *worker) submit(at time.Duration, t *task, taken bool) bool {
	j := t.job
	id, err := w.scheduler.Submit(at, asr.Task{Priority: j.priority, Deadline: at + j.priority.Target(), Request: j.turn, Taken: taken})
	if err != nil {
		return false
	}
	t.id = id
	w.tasks[id] = t
	return true
}

// read goes on with a task whose sound was loaded.
func (w *worker) read(now time.Duration, t *task) {
	if t.first && t.job.speech && !t.job.detect {
		w.submitRest(now, t)
	}
	w.apply(w.nextWindow(now, t))
}

// submitRest gives the windows of a job behind its first to the scheduler.
func (w *worker) submitRest(now time.Duration, first *task) {
	j := first.job
	if j.spread {
		return
	}
	j.spread = true
	for i := first.window + 1; i < len(j.done); i++ {
		if !j.done[i] {
			w.submit(now, &task{job: j, window: i, frame: i * w.sim.prices.WindowFrames}, true)
		}
	}
}

// nextWindow says what a task needs next whose window, if it had one, is done.
func (w *worker) nextWindow(now time.Duration, t *task) asr.Outcome {
	p := w.sim.prices
	if t.finished(p) {
		w.end(now, t)
		return asr.Outcome{Task: t.id, Next: asr.Nothing}
	}
	if t.job.detect || w.adapters.ready(t.job) {
		return asr.Outcome{Task: t.id, Next: asr.ToEncode, Frames: t.encodeFrames(p), Bytes: p.bytes(w.sim.options.hypotheses())}
	}
	w.adapters.bring(w, t)
	return asr.Outcome{Task: t.id, Next: asr.ToAdapt}
}

// end forgets a task, and with the last of a job the job.
func (w *worker) end(now time.Duration, t *task) {
	j := t.job
	delete(w.tasks, t.id)
	if j.left--; j.left > 0 {
		return
	}
	w.adapters.unpin(j)
	if delay := w.sim.options.Broker; delay > 0 {
		w.timers = append(w.timers, timer{at: now + delay, job: j, stored: true})
		return
	}
	w.sim.leave(now, j)
}

// note writes a line of the transcript, where there is one: what the worker does, of which tasks, and with seconds how long it takes.
func (w *worker) note(now time.Duration, what string, tasks []*task, seconds float64) {
	if w.sim.transcript == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "worker %d %s", w.id, what)
	for _, t := range tasks {
		fmt.Fprintf(&b, " %d", t.job.index)
		if t.window > 0 {
			fmt.Fprintf(&b, ".%d", t.window)
		}
	}
	if seconds > 0 {
		fmt.Fprintf(&b, ", %.6f s", seconds)
	}
	w.sim.transcript(now, b.String())
}
