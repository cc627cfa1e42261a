package asr

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the transcripts of testdata/scheduler come to")

// TestTranscripts runs the transcripts of testdata/scheduler: comments, then commands behind which
// stands, after ----, what they come to.
//
//	options max-windows=2 …   begins anew; memory, queue, ahead, live-windows, encoder-frames, other-steps
//	submit NAME PRIORITY …    a task: frames=3000 bytes=1 steps=3 attempts=1 windows=1 deadline=1s
//	                          words detect; adapt=1s to bring its adapter in, once; so many alike
//	                          with NAME*N
//	cancel NAME
//	run N                     so many plans, or all
//
// A plan is shown with the time at which it begins and what it costs the device of the test.
func TestTranscripts(t *testing.T) {
	testTranscripts(t, "testdata/scheduler/*.txt", func() *world { return newWorld(nil) })
}

// world is a device in which everything costs a time that is known.
type world struct {
	*Scheduler
	now   time.Duration
	tasks map[TaskID]*worldTask
	batch []*worldTask
	out   *strings.Builder
}

// worldTask is a task and what is left of it.
type worldTask struct {
	name                       string
	id                         TaskID
	submitted                  time.Duration
	frames, bytes, steps       int
	attempts, windows          int // left, those of the window
	allAttempts, left          int // left: steps of the attempt
	words, detect, detectFirst bool
	adapt                      time.Duration // that its adapter takes, 0 once it is there
	adaptedAt                  time.Duration
}

// Costs of the test's device.
const (
	costFrame  = 20 * time.Microsecond
	costStep   = 10 * time.Millisecond
	costWindow = time.Millisecond // of each window in a step
	costAlign  = 20 * time.Millisecond
)

func (w *world) written() *strings.Builder { return w.out }

func newWorld(options map[string]int) *world {
	o := SchedulerOptions{
		MaxWindows: options["max-windows"], LiveWindows: options["live-windows"], MaxEncoderFrames: options["encoder-frames"],
		Memory: options["memory"], MaxQueue: options["queue"], Ahead: options["ahead"], OtherSteps: options["other-steps"],
	}
	return &world{Scheduler: NewScheduler(o), tasks: make(map[TaskID]*worldTask), out: new(strings.Builder)}
}

// arguments returns the numbers of words of the form name=number, 1 of words alone.
func arguments(words []string) map[string]int {
	m := make(map[string]int)
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if d, bad := time.ParseDuration(value); err != nil && bad == nil {
			n, err = int(d), nil
		}
		if !ok {
			n, err = 1, nil
		}
		if err != nil {
			panic(err)
		}
		m[name] = n
	}
	return m
}

func (w *world) command(words []string) *world {
	switch words[0] {
	case "options":
		return newWorld(arguments(words[1:]))
	case "submit":
		name, times, _ := strings.Cut(words[1], "*")
		n, _ := strconv.Atoi(times)
		for i := range max(n, 1) {
			one := name
			if n > 0 {
				one += strconv.Itoa(i + 1)
			}
			w.submit(one, words[2], arguments(words[3:]))
		}
	case "cancel":
		for _, t := range w.tasks {
			if t.name == words[1] {
				w.Cancel(t.id)
			}
		}
	case "run":
		n := 1000
		if len(words) > 1 {
			n, _ = strconv.Atoi(words[1])
		}
		for range n {
			if !w.run() {
				break
			}
		}
	default:
		panic("unknown command " + words[0])
	}
	return w
}

func (w *world) submit(name, priority string, a map[string]int) {
	set := func(key string, value int) int {
		if n, ok := a[key]; ok {
			return n
		}
		return value
	}
	p := map[string]Priority{"live": Live, "normal": Normal, "bulk": Bulk}[priority]
	id, err := w.Submit(w.now, Task{Priority: p, Deadline: time.Duration(a["deadline"])})
	if err != nil {
		if !errors.Is(err, ErrBusy) {
			panic(err)
		}
		fmt.Fprintf(w.out, "%s: %v\n", name, err)
		return
	}
	t := &worldTask{name: name, id: id, submitted: w.now, frames: set("frames", 3000), bytes: set("bytes", 1), steps: set("steps", 3),
		allAttempts: set("attempts", 1), windows: set("windows", 1), words: a["words"] > 0, detect: a["detect"] > 0, adapt: time.Duration(a["adapt"])}
	w.tasks[id] = t
	t.begin()
}

// begin begins a window.
func (t *worldTask) begin() { t.attempts, t.left, t.detectFirst = t.allAttempts, t.steps, t.detect }

// run carries out one plan, and reports whether there was one.
func (w *world) run() bool {
	arrived := w.arrive()
	p := w.Next()
	if p.Kind == Nothing && len(p.Drop)+len(p.Load) == 0 && !arrived && w.wait() {
		return true
	}
	var shown []string
	names := func(what string, ids []TaskID) {
		if len(ids) == 0 {
			return
		}
		what += ":"
		for _, id := range ids {
			what += " " + w.tasks[id].name
		}
		shown = append(shown, what)
	}
	names("drop", p.Drop)
	for _, id := range p.Drop {
		w.batch = slices.DeleteFunc(w.batch, func(t *worldTask) bool { return t.id == id })
		delete(w.tasks, id)
	}
	names("load", p.Load)
	begin := w.now
	var outcomes []Outcome
	for _, id := range p.Load {
		outcomes = append(outcomes, w.outcome(w.tasks[id], ToEncode))
	}
	switch p.Kind {
	case ToEncode:
		names("encode", p.Tasks)
	case ToAlign:
		names("align", p.Tasks)
		w.now += costAlign
	case ToDecode:
		names("enter", p.Tasks)
	}
	for _, id := range p.Tasks {
		t := w.tasks[id]
		switch p.Kind {
		case ToEncode:
			w.now += time.Duration(t.frames) * costFrame
			next := ToDecode
			if t.detectFirst {
				next, t.detectFirst = ToEncode, false
			}
			outcomes = append(outcomes, w.outcome(t, next))
		case ToAlign:
			outcomes = append(outcomes, w.endWindow(t))
		case ToDecode:
			w.batch = append(w.batch, t)
		}
	}
	if p.Kind == ToDecode {
		w.now += costStep + time.Duration(len(w.batch))*costWindow
		step := "step:"
		stay := w.batch[:0]
		for _, t := range w.batch {
			step += " " + t.name
			if t.left--; t.left > 0 {
				stay = append(stay, t)
				continue
			}
			outcomes = append(outcomes, w.endAttempt(t))
		}
		w.batch = stay
		shown = append(shown, step)
	}
	if len(shown) == 0 {
		fmt.Fprintln(w.out, "nothing to do")
		return false
	}
	fmt.Fprintf(w.out, "%6.3f %s\n", begin.Seconds(), strings.Join(shown, "; "))
	w.Apply(outcomes...)
	for _, o := range outcomes {
		if o.Next == Nothing {
			t := w.tasks[o.Task]
			fmt.Fprintf(w.out, "       %s done after %.3f s\n", t.name, (w.now - t.submitted).Seconds())
			delete(w.tasks, o.Task)
		}
	}
	return true
}

// outcome says what a task needs next: where that is the encoder and the language is known, its adapter
// first.
func (w *world) outcome(t *worldTask, next Phase) Outcome {
	if next == ToEncode && t.adapt > 0 && !t.detectFirst {
		t.adaptedAt, t.adapt = w.now+t.adapt, 0
		return Outcome{Task: t.id, Next: ToAdapt}
	}
	return Outcome{Task: t.id, Next: next, Frames: t.frames, Bytes: t.bytes}
}

// arrive lets adapters be there whose time has come, and reports whether there are any.
func (w *world) arrive() bool {
	var there []*worldTask
	for _, t := range w.tasks {
		if t.adaptedAt > 0 && t.adaptedAt <= w.now {
			there = append(there, t)
		}
	}
	slices.SortFunc(there, func(a, b *worldTask) int {
		return cmp.Or(cmp.Compare(a.adaptedAt, b.adaptedAt), cmp.Compare(a.id, b.id))
	})
	for _, t := range there {
		fmt.Fprintf(w.out, "       the adapter of %s is there\n", t.name)
		t.adaptedAt = 0
		w.Apply(w.outcome(t, ToEncode))
	}
	return len(there) > 0
}

// wait lets the time pass until the next adapter is there, if one is on its way.
func (w *world) wait() bool {
	next := time.Duration(0)
	for _, t := range w.tasks {
		if t.adaptedAt > 0 && (next == 0 || t.adaptedAt < next) {
			next = t.adaptedAt
		}
	}
	w.now = max(w.now, next)
	return next > 0
}

// endAttempt says what follows an attempt at a window.
func (w *world) endAttempt(t *worldTask) Outcome {
	if t.attempts--; t.attempts > 0 {
		t.left = t.steps
		return w.outcome(t, ToDecode)
	}
	if t.words {
		return w.outcome(t, ToAlign)
	}
	return w.endWindow(t)
}

// endWindow says what follows a window.
func (w *world) endWindow(t *worldTask) Outcome {
	if t.windows--; t.windows > 0 {
		t.begin()
		return w.outcome(t, ToEncode)
	}
	return w.outcome(t, Nothing)
}
