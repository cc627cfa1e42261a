package asr

import (
	"cmp"
	"slices"
)

// places is a device as the scheduler sees it: the windows that are admitted there, and the turns that it has taken.
type places struct {
	number int
	out    bool // of service

	again    taskQueue // admitted, to be encoded once more
	ready    taskQueue // admitted, for the next step
	aligning taskQueue
	stepping int      // windows in the batch
	dropped  []TaskID // cancelled ones, to leave the batch

	admitted int // windows
	live     int // of them
	used     int // bytes of them

	memory     int  // the greatest number of bytes, as far as is known
	most       int  // the one to begin with
	since      int  // windows that have given their places back since memory was last found to be less
	encoded    bool // the last plan was an encoder batch
	sinceOther int  // steps beside live windows since a window that is not was encoded
}

// AddDevice adds a device with memory for windows of so many bytes together, one window excepted. It returns its number.
func (s *Scheduler) AddDevice(memory int) (number int) {
	s.devices = append(s.devices, &places{number: len(s.devices), memory: memory, most: memory})
	return len(s.devices) - 1
}

// SetMemory sets the greatest number of bytes of all windows admitted on a device.
func (s *Scheduler) SetMemory(device, bytes int) {
	d := s.devices[device]
	d.memory, d.most = bytes, bytes
}

// InService returns the number of devices that were not retired.
func (s *Scheduler) InService() (n int) {
	for _, d := range s.devices {
		if !d.out {
			n++
		}
	}
	return n
}

// Retire takes a device out of service, and takes back the windows that were admitted there, in the order of their
// admission. Whatever they were at, they have no place any more, and an Outcome each, as those of a plan.
func (s *Scheduler) Retire(device int) []TaskID {
	d := s.devices[device]
	back := s.takeBack(s.admittedOn(d))
	d.out = true
	s.dropped = append(s.dropped, d.dropped...)
	d.dropped = nil
	return back
}

// Shrink tells that a device had no memory for what it was to do, or for the given windows alone. It takes back these,
// or the last of the windows that were admitted there, a quarter of them, as Retire does. From now on the device has memory
// for those that are left, and for more bit by bit: an eighth after each recoverAfter windows. Where none would be left, it
// takes back none.
func (s *Scheduler) Shrink(device int, these ...TaskID) (back []TaskID) {
	d := s.devices[device]
	held := s.admittedOn(d)
	last := held[len(held)-min(len(held), max(1, len(held)/4)):]
	if these != nil {
		last = slices.DeleteFunc(slices.Clone(held), func(t *task) bool { return !slices.Contains(these, t.id) })
	}
	if len(last) == len(held) {
		return nil
	}
	back = s.takeBack(last)
	d.memory, d.since = min(d.memory, d.used), 0
	return back
}

// recoverAfter is the number of windows after which a device that had too little memory is given more to do.
const recoverAfter = 1000

// recover lets a device have more windows again.
func (d *places) recover() {
	if d.since++; d.memory < d.most && d.since >= recoverAfter {
		d.memory, d.since = min(d.most, d.memory+d.memory/8+1), 0
	}
}

// Refuse tells that a device has no memory for a window that is alone there, which it takes back as Retire does. It
// reports whether there is another device for it.
func (s *Scheduler) Refuse(id TaskID, device int) (another bool) {
	t := s.tasks[id]
	if t == nil {
		return false
	}
	t.refused |= 1 << device
	s.takeBack([]*task{t})
	return s.wanted(t)
}

// Homeless takes back, as Retire does, the windows that no device in service has memory for.
func (s *Scheduler) Homeless() []TaskID {
	var homeless []*task
	for _, q := range s.waiting {
		for _, t := range q {
			if t.refused != 0 && !s.wanted(t) {
				homeless = append(homeless, t)
			}
		}
	}
	return s.takeBack(homeless)
}

// wanted reports whether any device in service has not refused a task.
func (s *Scheduler) wanted(t *task) bool {
	return slices.ContainsFunc(s.devices, func(d *places) bool { return !d.out && !t.refusedBy(d) })
}

// refusedBy reports whether a device had no memory for the task's window alone.
func (t *task) refusedBy(d *places) bool { return t.refused&(1<<d.number) != 0 }

// admittedOn returns the tasks that are admitted on a device in the order of their admission.
func (s *Scheduler) admittedOn(d *places) (on []*task) {
	for _, t := range s.tasks {
		if t.on == d {
			on = append(on, t)
		}
	}
	slices.SortFunc(on, func(a, b *task) int { return cmp.Compare(a.admission, b.admission) })
	return on
}

// takeBack takes back windows, whatever they were at: they give their places back, and are busy until their outcomes
// are known, as if a plan had just had them encoded.
func (s *Scheduler) takeBack(tasks []*task) (ids []TaskID) {
	for _, t := range tasks {
		switch {
		case !t.busy:
			s.queue(t).remove(t)
		case t.phase == ToDecode:
			t.on.stepping--
		}
		s.release(t)
		t.phase, t.busy = ToEncode, true
		ids = append(ids, t.id)
	}
	return ids
}

// admissible reports whether there is a place for a window and its memory on a device. One that goes before live
// ones has their places.
func (s *Scheduler) admissible(d *places, t *task, first bool) bool {
	o := &s.options
	places, memory := o.MaxWindows, d.memory/(o.MaxWindows+o.LiveWindows)*o.MaxWindows
	if first || t.Priority == Live {
		places, memory = o.MaxWindows+o.LiveWindows, d.memory
	}
	return d.admitted == 0 || d.admitted < places && d.used+t.bytes <= memory
}

// admit gives a window its place and its memory on a device.
func (s *Scheduler) admit(d *places, t *task) {
	t.on, t.admission = d, s.admissions
	s.admissions++
	d.admitted++
	d.used += t.bytes
	s.notAhead(t)
	switch {
	case t.Priority == Live:
		d.live++
		return
	case t.Priority == Bulk:
		s.sinceBulk = 0
	case len(s.waiting[Bulk]) > 0:
		s.sinceBulk++
	}
	d.sinceOther = 0
}

// release gives back the place and the memory of a task's window.
func (s *Scheduler) release(t *task) {
	d := t.on
	if d == nil {
		return
	}
	t.on = nil
	d.admitted--
	d.used -= t.bytes
	d.recover()
	if t.Priority == Live {
		d.live--
	}
}
