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
		p := e.scheduler.Next()
		switch idle := p.Kind == Nothing && len(p.Drop)+len(p.Load) == 0; {
		case e.leave(idle && e.scheduler.Len() == 0):
			return
		case !idle:
			e.carryOut(p)
		case e.scheduler.Len() > 0:
			<-e.wake // what is being loaded, or what comes
		}
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
	e.mu.Lock()
	err := e.stopped
	ends := err != nil || idle && len(e.mail) == 0
	if ends {
		e.running = nil
	}
	e.mu.Unlock()
	if err != nil {
		e.open() // the last
		for _, r := range e.tasks {
			r.job.end(&Result{Err: err})
			e.leaves(r) // of use to nobody, the device's windows need no adapters
		}
	}
	return ends
}
