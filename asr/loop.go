package asr

import (
	"errors"
	"fmt"
)

// errStopped is wrapped by the errors of an engine that is of no more use.
var errStopped = errors.New("asr: the engine has stopped")

// send lets the engine's goroutine call f before it goes on, and begins it where there is none.
func (e *Engine) send(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped != nil {
		return e.stopped
	}
	e.mail = append(e.mail, f)
	if e.running == nil {
		e.running = make(chan struct{})
		go e.run(e.running)
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

// stop makes the engine's goroutine end, and send refuse.
func (e *Engine) stop(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped == nil {
		e.stopped = fmt.Errorf("%w: %w", errStopped, err)
	}
}

// run carries out plans until there is nothing to do.
func (e *Engine) run(running chan struct{}) {
	defer close(running)
	for {
		e.open()
		did := e.plan()
		switch {
		case e.leave(!did && e.busy == 0 && e.scheduler.Len() == 0):
			return
		case !did:
			select {
			case <-e.wake: // what is being loaded, or what comes
			case f := <-e.finished:
				e.take(f)
			}
		}
	}
}

// plan gives the devices that have nothing to do what the scheduler has for them, those with the fewest windows first.
// It reports whether there was anything.
func (e *Engine) plan() (did bool) {
	for _, s := range e.byLoad() {
		if s.busy || s.fault != nil {
			continue
		}
		if s.sweep {
			s.sweep = false
			e.bank.SweepBatch(s.number)
		}
		p := e.scheduler.NextOn(s.number)
		if p.Kind != Nothing || len(p.Drop)+len(p.Load) > 0 {
			did = true
			e.carryOut(s, p)
		}
	}
	return did
}

// sweep has the batches swept, each when its device has nothing to do.
func (e *Engine) sweep() {
	for _, s := range e.stations {
		s.sweep = true
	}
}

// open does what was sent.
func (e *Engine) open() {
	e.mu.Lock()
	mail := e.mail
	e.mail = nil
	e.mu.Unlock()
	for _, f := range mail {
		f()
	}
}

// leave reports whether the goroutine has to end: where the engine was stopped, which it then tells
// everyone, or is idle and there is no mail.
func (e *Engine) leave(idle bool) bool {
	if e.Err() != nil {
		for ; e.busy > 0; e.busy-- {
			<-e.finished
		}
	}
	e.mu.Lock()
	err := e.stopped
	ends := err != nil && e.busy == 0 || idle && len(e.mail) == 0
	if ends && err == nil {
		e.running = nil // the next mail begins another
	}
	e.mu.Unlock()
	if err != nil && ends {
		e.open() // the last
		e.bank.Sweep()
		for _, r := range e.tasks {
			r.job.end(&Result{Err: err})
			e.leaves(r) // of use to nobody, the device's windows need no adapters
		}
	}
	return ends
}
