package asr

import (
	"time"

	"glossa/audio"
	"glossa/flora"
)

// job is a request on its way through the engine.
type job struct {
	number   int64
	deadline time.Duration
	checked  *recording // the request, without sound
	parallel *parallel  // its windows, where they are decoded side by side
	parts    []*recording
	live     int  // of them, those that the engine has
	taken    bool // it is not refused
	ended    bool
	routes   map[string]string     // names of adapters by the language of windows, "" for the base model, as the request or the engine has them
	pins     map[string]*flora.Pin // versions of adapters by these names
	versions map[string]string     // hashes by these names, of the versions that checkpoints were made under
	keep     *keeping              // nil where there are no checkpoints
	done     func(r *Result)
	observed observed
}

// submit checks a request and sends it on its way. done is called once, unless it is cancelled before.
// With taken, the request is not refused however many wait.
func (e *Engine) submit(q Request, taken bool, done func(r *Result)) (*job, error) {
	j, err := e.begin(q)
	if err != nil {
		return nil, err
	}
	j.taken, j.done = taken, e.observedFrom(j, done)
	now := time.Since(e.start)
	if j.deadline = now + q.Priority.Target(); !q.Deadline.IsZero() {
		j.deadline = q.Deadline.Sub(e.start)
	}
	err = e.send(func() {
		e.jobs++
		j.number = e.jobs
		if err := e.add(j, j.checked); err != nil {
			j.unpin()
			j.end(&Result{Err: err})
		}
	})
	if err != nil {
		j.unpin()
	}
	return j, err
}

// end delivers the result of a job that has none yet.
func (j *job) end(r *Result) {
	if !j.ended {
		j.ended = true
		j.done(r)
	}
}

// add gives a recording of a job to the scheduler.
func (e *Engine) add(j *job, r *recording) error {
	id, err := e.scheduler.Submit(0, Task{Priority: r.request.Priority, Deadline: j.deadline, Request: j.number, Taken: j.taken})
	if err != nil {
		return err
	}
	j.taken = true
	j.live++
	r.job, r.task, r.ticket = j, id, -1
	e.tasks[id] = r
	j.parts = append(j.parts, r)
	return nil
}

// leaves forgets a recording of which nothing is left on the device. With the last of a job its adapters
// go.
func (e *Engine) leaves(r *recording) {
	delete(e.tasks, r.task)
	if r.job.live--; r.job.live == 0 {
		r.job.unpin()
	}
}

// cancel ends a job without a result.
func (e *Engine) cancel(j *job) {
	if !j.ended {
		j.ended = true
		e.observeFinished(j, &Result{Err: ErrCancelled})
	}
	for _, r := range j.parts {
		e.scheduler.Cancel(r.task)
	}
}

// load reads a recording on a goroutine of its own.
func (e *Engine) load(r *recording) {
	r.job.prefetch()
	go func() {
		r.result.Err = r.read()
		e.send(func() { e.read(r) })
	}()
}

// read loads the sound of a recording, or of a window of one.
func (r *recording) read() error {
	if r.whole != nil {
		return r.load(r.whole.pcm(r))
	}
	if r.request.Mel != nil {
		return r.loadMel()
	}
	pcm, err := r.request.Audio()
	if err != nil {
		return err
	}
	if r.request.Speech == nil {
		return r.readWhole(pcm)
	}
	p, err := newParallel(r, pcm)
	if err != nil {
		return err
	}
	if first := p.first(); first != nil {
		err = first.load(p.pcm(first))
	}
	r.job.parallel = p
	return err
}

// readWhole loads the sound of a recording that is heard from its beginning to its end.
func (r *recording) readWhole(pcm []float32) error {
	if silent, err := r.silent(pcm); err != nil || silent {
		return err // it has no windows
	}
	if err := r.goOn(pcm); err != nil {
		return err
	}
	return r.load(pcm)
}

// silent reports whether the request has the recording passed over.
func (r *recording) silent(pcm []float32) (bool, error) {
	if r.request.Silent == nil || r.job.keep.before() {
		return false, nil
	}
	r.result.Duration = float64(len(pcm)) / audio.SampleRate
	return r.request.Silent(pcm)
}

// read goes on with a recording that has been read.
func (e *Engine) read(r *recording) {
	j := r.job
	if j.ended {
		e.scheduler.Apply(Outcome{Task: r.task, Next: Nothing})
		return
	}
	j.observed.sound = r.soundSeconds()
	if p := j.parallel; p != nil && r == j.checked && r.result.Err == nil {
		first := p.first()
		if first == nil {
			e.leaves(r)
			j.end(p.result())
			e.scheduler.Apply(Outcome{Task: r.task, Next: Nothing})
			return
		}
		first.job, first.task, first.ticket = j, r.task, -1
		e.tasks[r.task], j.parts[0] = first, first
		r = first
		if p.parts[0].result.Language != "" || r.request.SwitchLanguage {
			e.addRest(p)
		}
	}
	e.scheduler.Apply(e.nextWindow(r))
}

// addRest gives the windows of a recording behind the first that is to be decoded to the scheduler, in the language of the recording.
func (e *Engine) addRest(p *parallel) {
	for _, r := range p.rest() {
		if !r.request.SwitchLanguage {
			r.result.Language, r.result.LanguageProb = p.parts[0].result.Language, p.parts[0].result.LanguageProb
		}
		if err := e.add(p.checked.job, r); err != nil {
			panic(err) // what was taken is not refused
		}
	}
}

// end returns the outcome of a recording that has come to its end, and delivers the result with
// that of the last window of its job. A window that fails takes the others along.
func (e *Engine) end(r *recording) Outcome {
	e.leaves(r)
	j := r.job
	switch p := j.parallel; {
	case p == nil:
		r.close()
		j.end(&r.result)
	case r.result.Err != nil:
		j.end(p.failed(r.result.Err))
		for _, other := range j.parts {
			if other != r {
				e.scheduler.Cancel(other.task)
			}
		}
	default:
		r.forget()
		if p.finished == len(p.parts) {
			j.end(p.result())
		}
	}
	return Outcome{Task: r.task, Next: Nothing}
}

// drop forgets a recording that was cancelled.
func (e *Engine) drop(id TaskID) {
	r := e.tasks[id]
	if r == nil {
		return
	}
	defer e.leaves(r)
	if r.on == nil || r.on.fault != nil {
		return
	}
	if r.ticket >= 0 {
		r.on.leaves(r)
	}
	r.on.freeOf(r)
}
