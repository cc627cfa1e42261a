package asr

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Scheduler decides what devices do next for the windows of many recordings: which recordings
// are loaded, which windows are encoded together, and which enter the decoding batch at which step.
// It is a pure core: it has no goroutine, clock, network or disk, and knows of a window only its size.
// Time is counted from any beginning.
//
// Of several devices each has its own places, memory and turns, and all take windows from the same queues: one
// that asks for its next plan is given the window whose turn it is, if it has room for it, and keeps it until
// it is done. So there is nothing to balance, no device waits while another has a queue, and what
// is said of priorities, deadlines and fairness holds for all of them together.
//
// A task is one recording, or one of several windows of one that are independent of each other. Its
// windows are served one after the other. The rules, in their order:
//
//   - A window is admitted where there is a place for it and its memory, and keeps both until it is
//     done, whatever attempts that takes. What one that is alone needs is not asked.
//   - Decoding steps and encoder batches take turns: a place that becomes free at one step is taken
//     at the next, and no window waits for more than one encoder batch between two of its steps.
//   - The earliest deadline of the highest priority goes first. Live windows have places and memory
//     beyond those of others, so that they wait for nobody to end.
//   - While live windows are there, of the others one in OtherSteps steps is admitted and encoded: so
//     much they hinder live ones, and so much they are sure of. If there is no place for one whose
//     turn it is, the next one free is its own.
//   - Of four windows that are not live one is of bulk while both wait. Nothing starves.
//   - A window whose adapter is brought in has neither place nor memory meanwhile, so that others go on.
type Scheduler struct {
	options SchedulerOptions
	tasks   map[TaskID]*task
	next    TaskID

	unloaded [priorities]taskQueue // in the order of their turn
	waiting  [priorities]taskQueue // loaded, for admission
	devices  []*places             // by number
	dropped  []TaskID              // that are on no device

	ahead      [priorities]int
	adapting   int   // tasks that wait for their adapters
	sinceBulk  int   // windows since one of bulk was encoded
	admissions int64 // ever
}

// SchedulerOptions size what a scheduler fills.
type SchedulerOptions struct {
	// MaxWindows is the greatest number of windows decoded together. The default value is 16.
	MaxWindows int

	// LiveWindows is how many live windows beyond them are. The default value is 0: a quarter of
	// MaxWindows, at least one.
	LiveWindows int

	// MaxEncoderFrames is the greatest number of log-mel frames, of 10 ms, encoded together, one
	// window excepted: so long a step may have to wait, and a live window that comes. The default
	// value is 3,000: a window of 30 s, beyond which a processor gains nothing.
	MaxEncoderFrames int

	// Memory is the greatest number of bytes of all windows admitted on a device, one window excepted. Those
	// that are not live leave a part of it free, that of LiveWindows in all places. The default value is
	// 4 GiB.
	Memory int

	// Devices is the number of devices, each of which has MaxWindows, LiveWindows and Memory of its own. The
	// default value is 1.
	Devices int

	// MaxQueue is the greatest number of tasks that wait to be loaded, or for their adapters. The default value is 256.
	MaxQueue int

	// Ahead is the number of recordings of each priority that are loaded or loading before there is a
	// place for them. The default value is 4.
	Ahead int

	// OtherSteps is the number of steps for which live windows are not hindered by the encoding of
	// others. The default value is 16.
	OtherSteps int
}

// bulkShare is the number of windows, none of them live, of which one is of bulk where both wait.
const bulkShare = 4

func (o SchedulerOptions) withDefaults() SchedulerOptions {
	set := func(x *int, value int) {
		if *x <= 0 {
			*x = value
		}
	}
	set(&o.MaxWindows, 16)
	set(&o.LiveWindows, max(1, o.MaxWindows/4))
	set(&o.MaxEncoderFrames, 3_000)
	set(&o.Memory, 4<<30)
	set(&o.Devices, 1)
	set(&o.MaxQueue, 256)
	set(&o.Ahead, 4)
	set(&o.OtherSteps, 16)
	return o
}

// Priority says whose windows go first.
type Priority uint8

// The priorities.
const (
	Normal Priority = iota // somebody waits for the text
	Live                   // somebody speaks
	Bulk                   // nobody waits
	priorities
)

// String returns the name of the priority.
func (p Priority) String() string { return [...]string{"normal", "live", "bulk"}[p] }

// MarshalText returns the name of the priority.
func (p Priority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name of a priority, "" as Normal. The error is ErrInvalid.
func (p *Priority) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Normal
		return nil
	}
	for _, of := range []Priority{Normal, Live, Bulk} {
		if string(text) == of.String() {
			*p = of
			return nil
		}
	}
	return fmt.Errorf("%w: priority %q is none of live, normal, bulk", ErrInvalid, text)
}

// Target is the time after which a text is wanted where nothing else is said.
func (p Priority) Target() time.Duration {
	return [...]time.Duration{10 * time.Second, time.Second, time.Minute}[p]
}

// Phase is what a task needs next.
type Phase uint8

// The phases of a task.
const (
	ToLoad   Phase = iota // its recording is read, beside the device
	ToAdapt               // its adapter is brought in, beside the device
	ToEncode              // its window, or what tells its language, goes through the encoder
	ToDecode              // its window is decoded, one token at each step
	ToAlign               // the words of its window are timed
	Nothing               // it has come to its end
)

// TaskID names a task. Later ones are greater.
type TaskID int64

// Task is what a scheduler is told of a recording when it comes.
type Task struct {
	Priority Priority
	Deadline time.Duration // of its order alone; 0: the target of its priority from now on
	Request  int64         // of equal deadlines the smallest goes first

	// Taken says that the task is part of a request that was taken before, and not refused.
	Taken bool
}

// Outcome is what became of a task that a plan named, or of one in the batch that has ended there.
type Outcome struct {
	Task TaskID

	// Next is what it needs next. A window that was decoded may be decoded again, keeping its place;
	// ToEncode then stands for the next window of the recording, which waits for a place again. With
	// ToAdapt it gives its place back; another outcome follows when the adapter is there.
	Next Phase

	// Frames are the size of what is encoded next, and Bytes the memory of its window until it is
	// done: those with which the window waited for its place hold.
	Frames, Bytes int
}

// task is a task on its way.
type task struct {
	Task
	id        TaskID
	phase     Phase
	busy      bool    // a plan named it, its outcome is not known yet
	ahead     bool    // loaded or loading, no window of it was admitted yet
	adapting  bool    // its adapter is brought in
	on        *places // the device where it is admitted, nil outside
	admission int64   // so many were admitted before
	refused   uint64  // the numbers of devices that had no memory for it alone, as bits
	cancelled bool
	frames    int
	bytes     int
}

// taskQueue are tasks in the order of their turn.
type taskQueue []*task

func inTurn(a, b *task) int {
	return cmp.Or(cmp.Compare(a.Deadline, b.Deadline), cmp.Compare(a.Request, b.Request), cmp.Compare(a.id, b.id))
}

func (q *taskQueue) add(t *task) {
	i, _ := slices.BinarySearchFunc(*q, t, inTurn)
	*q = slices.Insert(*q, i, t)
}

func (q *taskQueue) remove(t *task) {
	if i, ok := slices.BinarySearchFunc(*q, t, inTurn); ok {
		*q = slices.Delete(*q, i, i+1)
	}
}

// first returns the one whose turn it is, nil of none.
func (q taskQueue) first() *task {
	if len(q) == 0 {
		return nil
	}
	return q[0]
}

// firstFor is first of those that a device has not refused.
func (q taskQueue) firstFor(d *places) *task {
	for _, t := range q {
		if !t.refusedBy(d) {
			return t
		}
	}
	return nil
}

// NewScheduler returns a scheduler without tasks.
func NewScheduler(o SchedulerOptions) *Scheduler {
	o = o.withDefaults()
	s := &Scheduler{options: o, tasks: make(map[TaskID]*task)}
	for range o.Devices {
		s.AddDevice(o.Memory)
	}
	return s
}

// Options returns the options with the values that zeros stand for.
func (s *Scheduler) Options() SchedulerOptions { return s.options }

// Len returns the number of tasks.
func (s *Scheduler) Len() int { return len(s.tasks) }

// Submit takes a task, to be loaded first, or refuses it with ErrBusy.
func (s *Scheduler) Submit(now time.Duration, t Task) (TaskID, error) {
	queued := s.adapting
	for _, q := range s.unloaded {
		queued += len(q)
	}
	if queued >= s.options.MaxQueue && !t.Taken {
		return 0, fmt.Errorf("%w: %d requests wait", ErrBusy, queued)
	}
	if t.Deadline == 0 {
		t.Deadline = now + t.Priority.Target()
	}
	s.next++
	n := &task{Task: t, id: s.next}
	s.tasks[n.id] = n
	s.unloaded[t.Priority].add(n)
	return n.id, nil
}

// Cancel takes a task back. If it is in a batch, the next plan of that device says that it leaves it.
func (s *Scheduler) Cancel(id TaskID) {
	t := s.tasks[id]
	if t == nil || t.cancelled {
		return
	}
	t.cancelled = true
	switch {
	case !t.busy:
		s.queue(t).remove(t)
	case t.phase == ToDecode:
		t.on.stepping--
	default:
		return // until its outcome is known
	}
	s.drop(t)
}

// Apply takes what became of tasks.
func (s *Scheduler) Apply(outcomes ...Outcome) {
	for _, o := range outcomes {
		t := s.tasks[o.Task]
		if t == nil {
			continue // cancelled meanwhile
		}
		if t.busy && t.phase == ToDecode {
			t.on.stepping--
		}
		t.busy = false
		s.notAdapting(t)
		if t.cancelled {
			s.drop(t)
			continue
		}
		if o.Next == Nothing {
			s.leave(t)
			continue
		}
		if o.Next == ToAdapt {
			s.adapt(t)
			continue
		}
		if o.Next == ToEncode && t.phase > ToEncode {
			s.release(t)
		}
		if o.Next == ToEncode {
			t.frames = o.Frames
		}
		if t.on == nil {
			t.bytes = o.Bytes
		}
		t.phase = o.Next
		s.queue(t).add(t)
	}
}

// adapt lets a task be without a place until its adapter is there.
func (s *Scheduler) adapt(t *task) {
	s.release(t)
	s.notAhead(t)
	t.phase, t.busy, t.adapting = ToAdapt, true, true
	s.adapting++
}

// notAdapting ends that. The task is ahead of its place then, as it was when it was loaded.
func (s *Scheduler) notAdapting(t *task) {
	if t.adapting {
		t.adapting, t.ahead = false, true
		s.adapting--
		s.ahead[t.Priority]++
	}
}

// queue returns where a task waits for its phase.
func (s *Scheduler) queue(t *task) *taskQueue {
	switch {
	case t.phase == ToLoad:
		return &s.unloaded[t.Priority]
	case t.phase == ToEncode && t.on == nil:
		return &s.waiting[t.Priority]
	case t.phase == ToEncode:
		return &t.on.again
	case t.phase == ToDecode:
		return &t.on.ready
	}
	return &t.on.aligning
}

// leave forgets a task.
func (s *Scheduler) leave(t *task) {
	s.release(t)
	s.notAhead(t)
	delete(s.tasks, t.id)
}

// drop forgets a task that was cancelled.
func (s *Scheduler) drop(t *task) {
	dropped := &s.dropped
	if t.on != nil {
		dropped = &t.on.dropped
	}
	*dropped = append(*dropped, t.id)
	s.leave(t)
}

// notAhead counts a task no longer as one that is loaded ahead.
func (s *Scheduler) notAhead(t *task) {
	if t.ahead {
		t.ahead = false
		s.ahead[t.Priority]--
	}
}
