package asr

// Plan is what is done next. Each task that it names has an Outcome.
type Plan struct {
	// Drop are tasks that were cancelled, to be forgotten before all else: their windows leave the
	// batch.
	Drop []TaskID

	// Load are recordings to be read beside the device, from now on.
	Load []TaskID

	// Kind is what the device does: encode the windows of Tasks, or time their words, in one batch; or
	// with ToDecode take a step of all windows in the decoding batch, which those of Tasks enter; or
	// Nothing, until there is something new.
	Kind  Phase
	Tasks []TaskID
}

// Next returns what is done next.
func (s *Scheduler) Next() Plan {
	p := Plan{Drop: s.dropped, Kind: Nothing}
	s.dropped = nil
	s.load(&p)
	if len(s.aligning) > 0 {
		p.Kind = ToAlign
		for len(s.aligning) > 0 {
			p.take(&s.aligning)
		}
		return p
	}
	steps := s.stepping > 0 || len(s.ready) > 0
	if !s.encoded || !steps {
		if s.encode(&p); len(p.Tasks) > 0 {
			s.encoded, p.Kind = true, ToEncode
			return p
		}
	}
	s.encoded = false
	if steps {
		p.Kind = ToDecode
		for len(s.ready) > 0 {
			p.take(&s.ready)
			s.stepping++
		}
		if s.sinceOther++; !s.anyLive() {
			s.sinceOther = 0
		}
	}
	return p
}

// anyLive reports whether there are live windows.
func (s *Scheduler) anyLive() bool { return s.live > 0 || len(s.waiting[Live]) > 0 }

// take moves the first task of a queue to the plan.
func (p *Plan) take(q *taskQueue) *task {
	t := (*q)[0]
	*q = (*q)[1:]
	t.busy = true
	p.Tasks = append(p.Tasks, t.id)
	return t
}

// load begins to load recordings: as many as there are places, so that a short one does not wait for long ones to be read, and
// as far ahead as is allowed.
func (s *Scheduler) load(p *Plan) {
	for _, priority := range inOrder {
		most := s.options.Ahead
		if priority == Normal { // live sound needs no reading, and nobody waits for bulk
			most += max(0, s.options.MaxWindows-s.admitted)
		}
		for s.ahead[priority] < most && len(s.unloaded[priority]) > 0 {
			t := s.unloaded[priority][0]
			s.unloaded[priority] = s.unloaded[priority][1:]
			t.busy, t.ahead = true, true
			s.ahead[priority]++
			p.Load = append(p.Load, t.id)
		}
	}
}

// inOrder are the priorities, the highest first.
var inOrder = [...]Priority{Live, Normal, Bulk}

// encode fills the plan with windows for the encoder: those that are admitted already, and those for
// which there is a place.
func (s *Scheduler) encode(p *Plan) {
	frames := 0
	fits := func(t *task) bool {
		return len(p.Tasks) == 0 || frames+t.frames <= s.options.MaxEncoderFrames
	}
	for t := s.again.first(); t != nil && fits(t); t = s.again.first() {
		frames += p.take(&s.again).frames
	}
	for {
		t, first := s.turn()
		if t == nil || !fits(t) || !s.admissible(t, first) {
			return
		}
		s.admit(t)
		frames += p.take(&s.waiting[t.Priority]).frames
	}
}

// turn returns the waiting window whose turn it is, nil where none is to be encoded now. With first
// it goes before live ones.
func (s *Scheduler) turn() (t *task, first bool) {
	live, other := s.waiting[Live].first(), s.other()
	if !s.anyLive() {
		return other, false
	}
	if other != nil && s.sinceOther >= s.options.OtherSteps {
		return other, true
	}
	return live, false
}

// other returns the window whose turn it is among those that are not live.
func (s *Scheduler) other() *task {
	normal, bulk := s.waiting[Normal].first(), s.waiting[Bulk].first()
	if normal == nil || bulk != nil && s.sinceBulk >= bulkShare-1 {
		return bulk
	}
	return normal
}

// admissible reports whether there is a place for a window and its memory. One that goes before live
// ones has their places.
func (s *Scheduler) admissible(t *task, first bool) bool {
	o := &s.options
	places, memory := o.MaxWindows, o.Memory/(o.MaxWindows+o.LiveWindows)*o.MaxWindows
	if first || t.Priority == Live {
		places, memory = o.MaxWindows+o.LiveWindows, o.Memory
	}
	return s.admitted == 0 || s.admitted < places && s.memory+t.bytes <= memory
}

// admit gives a window its place and its memory.
func (s *Scheduler) admit(t *task) {
	t.admitted = true
	s.admitted++
	s.memory += t.bytes
	s.notAhead(t)
	switch {
	case t.Priority == Live:
		s.live++
		return
	case t.Priority == Bulk:
		s.sinceBulk = 0
	case len(s.waiting[Bulk]) > 0:
		s.sinceBulk++
	}
	s.sinceOther = 0
}
