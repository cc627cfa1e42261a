package asr

import (
	"fmt"

	"glossa/audio"
	"glossa/whisper"
)

// carryOut does what the scheduler has planned. A fault of the device stops the engine.
func (e *Engine) carryOut(p Plan) {
	for _, id := range p.Drop {
		e.drop(id)
	}
	for _, id := range p.Load {
		e.load(e.tasks[id])
	}
	rs := make([]*recording, len(p.Tasks))
	for i, id := range p.Tasks {
		rs[i] = e.tasks[id]
	}
	var outcomes []Outcome
	var err error
	switch p.Kind {
	case ToEncode:
		began := e.observeWait(rs)
		outcomes, err = e.encode(rs)
		e.observeEncoded(rs, began)
	case ToDecode:
		outcomes, err = e.step(rs)
	case ToAlign:
		outcomes, err = e.align(rs)
	}
	if err != nil {
		e.stop(fmt.Errorf("%w: %w", ErrInternal, err))
		return
	}
	e.scheduler.Apply(outcomes...)
}

// encode encodes windows, each under its adapter, or under none to detect its language.
func (e *Engine) encode(rs []*recording) ([]Outcome, error) {
	mels, adapterOf := make([]audio.Mel, len(rs)), make([]int32, len(rs))
	var d detection
	for i, r := range rs {
		r.result.Encodes++
		if r.window.language != "" {
			mels[i], adapterOf[i] = r.windowMel(), r.window.adapter
			continue
		}
		var ofWindow bool
		mels[i], ofWindow = r.languageMel()
		d.add(i, ofWindow, ofWindow && e.keepsStates())
	}
	cross, err := e.device.encode(mels, adapterOf, d.keep)
	if err != nil {
		return nil, err
	}
	for i, r := range rs {
		r.window.cross = cross[i]
	}
	if err := e.detect(rs, &d); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(rs))
	for i, r := range rs {
		outcomes[i] = Outcome{Task: r.task, Next: ToDecode}
		if r.window.cross == nil {
			outcomes[i] = e.nextWindow(r)
		}
	}
	return outcomes, nil
}

// outcome says what a recording needs to have its next window encoded.
func (r *recording) outcome() Outcome {
	return Outcome{Task: r.task, Next: ToEncode, Frames: r.encodeFrames(), Bytes: r.bytes()}
}

// step lets windows enter the decoding batch, and takes it one token further.
func (e *Engine) step(entering []*recording) (outcomes []Outcome, err error) {
	for _, r := range entering {
		ticket, err := e.device.add(whisper.Utterance{Cross: r.window.cross, Adapter: r.window.adapter, Options: r.decodeOptions()})
		if err != nil {
			outcomes = append(outcomes, e.decoded(r, whisper.Decoded{Err: err}))
			continue
		}
		r.ticket, e.tickets[ticket] = ticket, r
	}
	finished, err := e.stepDevice()
	for _, f := range finished {
		r := e.tickets[f.Ticket]
		delete(e.tickets, f.Ticket)
		r.ticket = -1
		outcomes = append(outcomes, e.decoded(r, f.Decoded))
	}
	return outcomes, err
}

// decoded goes on with a window that was decoded.
func (e *Engine) decoded(r *recording, d whisper.Decoded) Outcome {
	cross, language := r.window.cross, r.window.language
	next := r.take(d)
	e.observeDecoded(r, d, next)
	switch next {
	case ToDecode:
		return Outcome{Task: r.task, Next: ToDecode}
	case ToAlign:
		return Outcome{Task: r.task, Next: ToAlign}
	}
	e.device.free(cross)
	e.windowDone(r, language)
	return e.nextWindow(r)
}

// windowDone tells what came of a window in a language, unless that is an error or comes too late.
func (e *Engine) windowDone(r *recording, language string) {
	if r.result.Err != nil || r.job.ended {
		return
	}
	r.windows++
	if r.whole != nil && r.finished() {
		r.whole.finish(r)
	}
	e.checkpoint(r, language)
}

// align times the words of windows.
func (e *Engine) align(rs []*recording) ([]Outcome, error) {
	windows := make([]spokenWindow, len(rs))
	for i, r := range rs {
		windows[i] = r.spoken()
	}
	if err := timeWords(e.device, e.model.Tokenizer.EOT(), windows); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(rs))
	for i, r := range rs {
		cross, language := r.window.cross, r.window.language
		r.takeWords(windows[i])
		r.settle()
		e.device.free(cross)
		e.windowDone(r, language)
		outcomes[i] = e.nextWindow(r)
	}
	return outcomes, nil
}

// nextWindow goes on with a recording whose window, if it had one, is done.
func (e *Engine) nextWindow(r *recording) Outcome {
	r.window.cross = nil
	if r.ended() {
		return e.end(r)
	}
	if r.window.language == "" || e.route(r) {
		return r.outcome()
	}
	if r.result.Err != nil {
		return e.end(r)
	}
	e.bring(r)
	return Outcome{Task: r.task, Next: ToAdapt}
}
