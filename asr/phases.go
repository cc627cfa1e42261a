package asr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// carryOut has a device do what the scheduler has planned for it.
func (e *Engine) carryOut(s *station, p Plan) {
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
	switch p.Kind {
	case ToEncode:
		e.encode(s, rs)
	case ToDecode:
		e.step(s, rs)
	case ToAlign:
		e.align(s, rs)
	}
}

// encode encodes windows, each under its adapter, or under none to detect its language. Those of an adapter are side by side, so that they may pass a
// weight of its own together.
func (e *Engine) encode(s *station, rs []*recording) {
	if rs = e.seated(s, rs); len(rs) == 0 {
		return
	}
	slices.SortStableFunc(rs, func(a, b *recording) int { return cmp.Compare(a.window.adapter, b.window.adapter) })
	e.observeWait(rs)
	mels, adapterOf := make([]audio.Mel, len(rs)), make([]int32, len(rs))
	var d detection
	var allowed [][]string
	for i, r := range rs {
		if r.window.language != "" {
			mels[i], adapterOf[i] = r.windowMel(), r.window.adapter
			continue
		}
		var ofWindow bool
		mels[i], ofWindow = r.languageMel()
		d.add(i, ofWindow, ofWindow && e.keepsStates())
		allowed = append(allowed, e.allowed(r))
	}
	var cross []*whisper.CrossKV
	var probs []whisper.LanguageProbs
	e.compute(s, func() (err error) {
		if cross, err = s.encode(mels, adapterOf, d.keep); err != nil || len(d.at) == 0 {
			return err
		}
		unknown := make([]*whisper.CrossKV, len(d.at))
		for j, i := range d.at {
			unknown[j] = cross[i]
		}
		probs, err = s.detect(unknown, allowed)
		return err
	}, func(err error) {
		for i, c := range cross {
			rs[i].window.cross = c
		}
		if err != nil {
			e.failed(s, rs, ToEncode, err)
			return
		}
		for _, r := range rs {
			r.result.Encodes++
		}
		e.project(s, rs, &d, probs)
	})
}

// seated returns those of the windows of an encoder batch whose adapters are in memory on its device. The others wait
// for theirs without a place.
func (e *Engine) seated(s *station, rs []*recording) (ready []*recording) {
	for _, r := range rs {
		r.on = s
		switch ok, err := r.seat(); {
		case errors.Is(err, tensor.ErrMemory):
			e.scheduler.Apply(e.short(s, r, ToEncode, err))
		case err != nil:
			r.result.Err = fmt.Errorf("%w: %w", ErrInternal, err)
			e.scheduler.Apply(e.end(r))
		case ok:
			ready = append(ready, r)
		default:
			e.bring(r)
			e.scheduler.Apply(Outcome{Task: r.task, Next: ToAdapt})
		}
	}
	return ready
}

// project computes the keys and values of those windows of an encoder batch that have them from kept states, under the
// adapters of the languages that were detected.
func (e *Engine) project(s *station, rs []*recording, d *detection, probs []whisper.LanguageProbs) {
	again, states := e.detected(s, rs, d, probs)
	if len(again) == 0 {
		e.encoded(s, rs, s.took)
		return
	}
	adapterOf := make([]int32, len(again))
	for i, r := range again {
		adapterOf[i] = r.window.adapter
	}
	before := s.took
	var cross []*whisper.CrossKV
	e.compute(s, func() (err error) {
		cross, err = s.device.project(states, adapterOf)
		return err
	}, func(err error) {
		if err != nil {
			e.failed(s, rs, ToEncode, err)
			return
		}
		for i, r := range again {
			r.window.cross = cross[i]
		}
		e.encoded(s, rs, before+s.took)
	})
}

// encoded goes on with windows that were encoded.
func (e *Engine) encoded(s *station, rs []*recording, took time.Duration) {
	e.observeEncoded(s, rs, took)
	outcomes := make([]Outcome, len(rs))
	for i, r := range rs {
		switch {
		case r.window.cross == nil:
			outcomes[i] = e.nextWindow(r)
		case r.window.taken: // its device failed while its words were timed
			outcomes[i] = Outcome{Task: r.task, Next: ToAlign}
		default:
			outcomes[i] = Outcome{Task: r.task, Next: ToDecode}
		}
	}
	e.scheduler.Apply(outcomes...)
}

// outcome says what a recording needs to have its next window encoded.
func (r *recording) outcome() Outcome {
	return Outcome{Task: r.task, Next: ToEncode, Frames: r.encodeFrames(), Bytes: r.bytes()}
}

// step lets windows enter the decoding batch of a device, and takes it one token further.
func (e *Engine) step(s *station, entering []*recording) {
	var outcomes []Outcome
	for _, r := range entering {
		if err := s.enters(r); err != nil {
			outcomes = append(outcomes, e.decoded(r, whisper.Decoded{Err: err}))
		}
	}
	e.scheduler.Apply(outcomes...)
	var finished []whisper.Finished
	stepped := e.stepped(s)
	e.compute(s, func() (err error) {
		finished, err = s.device.step()
		return err
	}, func(err error) {
		e.observeStepped(stepped, s.took)
		if err != nil {
			e.failed(s, nil, ToDecode, err)
			return
		}
		var outcomes []Outcome
		for _, f := range finished {
			r := s.tickets[f.Ticket]
			delete(s.tickets, f.Ticket)
			r.ticket = -1
			if errors.Is(f.Err, tensor.ErrMemory) {
				outcomes = append(outcomes, e.short(s, r, ToDecode, f.Err))
				continue
			}
			outcomes = append(outcomes, e.decoded(r, f.Decoded))
		}
		e.scheduler.Apply(outcomes...)
	})
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
	r.on.free(cross)
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
func (e *Engine) align(s *station, rs []*recording) {
	windows := make([]spokenWindow, len(rs))
	for i, r := range rs {
		windows[i] = r.spoken()
	}
	e.compute(s, func() error { return timeWords(s.device, e.model.Tokenizer.EOT(), windows) }, func(err error) {
		if err != nil {
			e.failed(s, rs, ToAlign, err)
			return
		}
		outcomes := make([]Outcome, len(rs))
		for i, r := range rs {
			cross, language := r.window.cross, r.window.language
			r.takeWords(windows[i])
			r.settle()
			s.free(cross)
			e.windowDone(r, language)
			outcomes[i] = e.nextWindow(r)
		}
		e.scheduler.Apply(outcomes...)
	})
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
