package simulate

import (
	"slices"
	"time"

	"glossa/asr"
)

// batch are the windows that are decoded together.
type batch struct {
	tasks    []*task
	rows     int
	adapted  int   // rows under an adapter
	windows  []int // windows by adapter
	adapters int   // distinct ones
}

// add counts a window with its rows, or with -1 takes it away.
func (b *batch) add(t *task, sign int) {
	b.rows += sign * t.rows
	a := int(t.job.adapter)
	if a == 0 {
		return
	}
	b.adapted += sign * t.rows
	for len(b.windows) <= a {
		b.windows = append(b.windows, 0)
	}
	if sign > 0 && b.windows[a] == 0 {
		b.adapters++
	}
	if b.windows[a] += sign; b.windows[a] == 0 {
		b.adapters--
	}
}

// begin begins to carry out a plan.
func (w *worker) begin(now time.Duration, p asr.Plan) {
	for _, id := range p.Load {
		w.load(now, w.tasks[id])
	}
	d := &w.device
	d.kind, d.tasks = p.Kind, d.tasks[:0]
	for _, id := range p.Tasks {
		d.tasks = append(d.tasks, w.tasks[id])
	}
	what, tasks := "", d.tasks
	switch p.Kind {
	case asr.Nothing:
		return
	case asr.ToEncode:
		what, d.left = "encodes", w.encode(now)
	case asr.ToDecode:
		what, d.left, tasks = "steps", w.step(), w.batch.tasks
	case asr.ToAlign:
		what, d.left = "aligns", w.sim.prices.Align.of(len(d.tasks))
	}
	d.left += w.waking(now)
	w.note(now, what, tasks, d.left)
}

// waking returns how much longer the device takes because it has rested.
func (w *worker) waking(now time.Duration) float64 {
	wake := w.sim.prices.wake(now - w.computed)
	if wake.Device == 0 || wake.Often < 1 && w.sim.random.Float64() >= wake.Often {
		return 0
	}
	return wake.Device / wake.Often
}

// load begins to load a recording, or a window of its speech, and its adapter where that is known.
func (w *worker) load(now time.Duration, t *task) {
	p, j := w.sim.prices, t.job
	seconds := p.load(j.seconds, j.speech)
	if j.speech {
		of := float64(t.size(p)) / framesPerSecond
		if !t.first {
			seconds = 0 // the first window's has read it
		}
		seconds += p.mel(of)
	}
	if !j.detect {
		w.adapters.prefetch(w, j)
	}
	w.loading.add(seconds, t, 0)
	if w.sim.transcript != nil {
		w.note(now, "loads", []*task{t}, seconds)
	}
}

// encode returns what the encoder batch costs.
func (w *worker) encode(now time.Duration) float64 {
	p := w.sim.prices
	var sum encodeSum
	detected, projected, frames := 0, 0, 0
	for _, t := range w.device.tasks {
		w.sim.begun(now, t.job)
		n := t.encodeFrames(p)
		sum.add(p, n, !t.job.detect && t.job.adapter != 0)
		if t.job.detect {
			detected++
			if w.projects(t) {
				projected, frames = projected+1, frames+n
			}
		}
	}
	w.sim.stats.encodes++
	w.sim.stats.encoded += int64(len(w.device.tasks))
	seconds := sum.seconds() + p.Detect.of(detected)
	if projected > 0 {
		seconds += p.Project.of(projected) * float64(frames) / float64(projected*p.WindowFrames)
	}
	return seconds
}

// projects reports whether of a window whose language is detected the encoder's states are of use, and no more.
func (w *worker) projects(t *task) bool {
	p := w.sim.prices
	return t.job.adapter != 0 && p.Adapters.Reach == reachCross && t.ofWindow(p) && w.adapters.ready(t.job)
}

// detected goes on with a window whose language was detected, and reports whether what was encoded for that is of use.
func (w *worker) detected(now time.Duration, t *task) bool {
	p, j := w.sim.prices, t.job
	j.detect = false
	w.adapters.pin(j)
	if j.speech {
		w.submitRest(now, t)
	}
	reach := reachDecoder
	if j.adapter != 0 {
		reach = p.Adapters.Reach
	}
	ready := w.adapters.ready(j)
	return ready && t.ofWindow(p) && (reach == reachDecoder || reach == reachCross)
}

// step lets windows enter the batch and returns what a step costs.
func (w *worker) step() float64 {
	p, b, s := w.sim.prices, &w.batch, &w.sim.stats
	prompt := 0
	for _, t := range w.device.tasks {
		if t.steps == nil {
			t.steps = slices.Clone(w.sim.speaker.window(t.job.index, t.window, t.job.language, float64(t.size(p))/framesPerSecond))
		}
		t.left, t.rows, t.fed = t.steps[t.attempt], 1, false
		prompt += t.prompt(p)
		b.tasks = append(b.tasks, t)
		b.add(t, 1)
	}
	s.steps++
	s.rows += int64(b.rows)
	s.adapters += int64(b.adapters)
	return p.steps(b.rows, b.adapted, b.adapters, len(w.device.tasks), prompt)
}

// finish tells the scheduler what became of what the device has done.
func (w *worker) finish(now time.Duration) {
	kind := w.device.kind
	w.device.kind = asr.Nothing
	w.outcomes = w.outcomes[:0]
	switch kind {
	case asr.ToEncode:
		for _, t := range w.device.tasks {
			o := asr.Outcome{Task: t.id, Next: asr.ToDecode}
			if t.job.detect && !w.detected(now, t) {
				o = w.nextWindow(now, t)
			}
			w.outcomes = append(w.outcomes, o)
		}
	case asr.ToDecode:
		w.stepped(now)
	case asr.ToAlign:
		for _, t := range w.device.tasks {
			w.outcomes = append(w.outcomes, w.windowDone(now, t))
		}
	}
	w.scheduler.Apply(w.outcomes...)
}

// stepped moves every window of the batch one token on.
func (w *worker) stepped(now time.Duration) {
	b := &w.batch
	stay := b.tasks[:0]
	for _, t := range b.tasks {
		if t.left--; t.left > 0 {
			if !t.fed {
				t.fed = true
				if beams := w.sim.options.Beams; beams > 1 && t.attempt == 0 {
					b.add(t, -1)
					t.rows = beams
					b.add(t, 1)
				}
			}
			stay = append(stay, t)
			continue
		}
		b.add(t, -1)
		w.outcomes = append(w.outcomes, w.attempted(now, t))
	}
	clear(b.tasks[len(stay):])
	b.tasks = stay
}

// attempted says what follows an attempt at a window.
func (w *worker) attempted(now time.Duration, t *task) asr.Outcome {
	if t.attempt+1 < len(t.steps) {
		t.attempt++
		w.sim.stats.again++
		return asr.Outcome{Task: t.id, Next: asr.ToDecode}
	}
	if t.job.words {
		return asr.Outcome{Task: t.id, Next: asr.ToAlign}
	}
	return w.windowDone(now, t)
}

// windowDone keeps what is done of a job, and goes on behind the window.
func (w *worker) windowDone(now time.Duration, t *task) asr.Outcome {
	p, j := w.sim.prices, t.job
	w.sim.stats.windows++
	if j.speech {
		j.done[t.window] = true
		t.frame = t.end(p)
	} else {
		t.tokens += t.steps[t.attempt] - 1
		t.frame += t.size(p)
		t.window++
		j.frame, j.window, j.tokens = t.frame, t.window, t.tokens
	}
	t.steps, t.attempt = nil, 0
	return w.nextWindow(now, t)
}
