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

// Next is NextOn of the first device.
func (s *Scheduler) Next() Plan { return s.NextOn(0) }

// NextOn returns what a device does next, which must have nothing to do. One that was retired does nothing.
func (s *Scheduler) NextOn(device int) Plan {
	d := s.devices[device]
	p := Plan{Kind: Nothing}
	if d.out {
		return p
	}
	p.Drop = append(d.dropped, s.dropped...)
	d.dropped, s.dropped = nil, nil
	s.load(&p)
	if len(d.aligning) > 0 {
		p.Kind = ToAlign
		for len(d.aligning) > 0 {
			p.take(&d.aligning)
		}
		return p
	}
	steps := d.stepping > 0 || len(d.ready) > 0
	if !d.encoded || !steps {
		if s.encode(d, &p); len(p.Tasks) > 0 {
			d.encoded, p.Kind = true, ToEncode
			return p
		}
	}
	d.encoded = false
	if steps {
		p.Kind = ToDecode
		for len(d.ready) > 0 {
			p.take(&d.ready)
			d.stepping++
		}
		if d.sinceOther++; !s.anyLive(d) {
			d.sinceOther = 0
		}
	}
	return p
}

// anyLive reports whether there are live windows on a device or before it.
func (s *Scheduler) anyLive(d *places) bool { return d.live > 0 || s.waiting[Live].firstFor(d) != nil }

// take moves the first task of a queue to the plan.
func (p *Plan) take(q *taskQueue) *task {
	t := (*q)[0]
	*q = (*q)[1:]
	p.add(t)
	return t
}

// add adds a task to the plan.
func (p *Plan) add(t *task) {
	t.busy = true
	p.Tasks = append(p.Tasks, t.id)
}

// load begins to load recordings: as many as there are places, so that a short one does not wait for long ones to be read, and
// as far ahead as is allowed.
func (s *Scheduler) load(p *Plan) {
	devices, free := 0, 0
	for _, d := range s.devices {
		if !d.out {
			devices, free = devices+1, free+max(0, s.options.MaxWindows-d.admitted)
		}
	}
	for _, priority := range inOrder {
		most := devices * s.options.Ahead
		if priority == Normal { // live sound needs no reading, and nobody waits for bulk
			most += free
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

// encode fills the plan of a device with windows for the encoder: those that are admitted already, and those for
// which there is a place.
func (s *Scheduler) encode(d *places, p *Plan) {
	frames := 0
	fits := func(t *task) bool {
		return len(p.Tasks) == 0 || frames+t.frames <= s.options.MaxEncoderFrames
	}
	for t := d.again.first(); t != nil && fits(t); t = d.again.first() {
		frames += p.take(&d.again).frames
	}
	for {
		t, first := s.turn(d)
		if t == nil || !fits(t) || !s.admissible(d, t, first) {
			return
		}
		s.waiting[t.Priority].remove(t)
		s.admit(d, t)
		p.add(t)
		frames += t.frames
	}
}

// turn returns the waiting window whose turn it is on a device, nil where none is to be encoded now. With first
// it goes before live ones.
func (s *Scheduler) turn(d *places) (t *task, first bool) {
	live, other := s.waiting[Live].firstFor(d), s.other(d)
	if !s.anyLive(d) {
		return other, false
	}
	if other != nil && d.sinceOther >= s.options.OtherSteps {
		return other, true
	}
	return live, false
}

// other returns the window whose turn it is among those that are not live.
func (s *Scheduler) other(d *places) *task {
	normal, bulk := s.waiting[Normal].firstFor(d), s.waiting[Bulk].firstFor(d)
	if normal == nil || bulk != nil && s.sinceBulk >= bulkShare-1 {
		return bulk
	}
	return normal
}
