package asr

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"glossa/whisper/tensor"
)

// maxLosses is the number of devices that may fail while a recording is on them: it may be the cause.
const maxLosses = 3

// DeviceEventKind says what has befallen a device.
type DeviceEventKind string

// What befalls a device.
const (
	DeviceLost   DeviceEventKind = "lost"   // it failed, and is out of service
	DeviceShort  DeviceEventKind = "short"  // it had too little memory for what it had to do
	DeviceJoined DeviceEventKind = "joined" // it takes the place of those that were lost

	// It could not compute a log-mel, and the processor did. A device is told of once.
	DeviceLogMel DeviceEventKind = "log_mel"
)

// DeviceEvent is what befalls a device.
type DeviceEvent struct {
	Kind    DeviceEventKind
	Device  string
	Windows int // that were on it: of one that was lost all, of one that is short of memory those that it has given back
	Left    int // devices in service
	Err     error
}

// String returns the event as a sentence for a log.
func (d DeviceEvent) String() string {
	switch d.Kind {
	case DeviceLost:
		return fmt.Sprintf("device %s is out of service, %d windows are begun anew elsewhere, %d devices are left: %v", d.Device, d.Windows, d.Left, d.Err)
	case DeviceShort:
		return fmt.Sprintf("device %s has too little memory, %d windows wait until there is more: %v", d.Device, d.Windows, d.Err)
	case DeviceLogMel:
		return fmt.Sprintf("device %s could not compute a log-mel, the processor does: %v", d.Device, d.Err)
	}
	return fmt.Sprintf("device %s takes the place of those that were lost", d.Device)
}

// lost reports whether an error is that of a device which is of no more use.
func lost(err error) bool {
	return errors.Is(err, tensor.ErrDevice) && !errors.Is(err, tensor.ErrMemory)
}

// failed goes on where a device could not do what it was to do with windows, those of a step apart.
func (e *Engine) failed(s *station, rs []*recording, at Phase, err error) {
	if errors.Is(err, tensor.ErrMemory) {
		e.relieve(s, rs, at, err)
		return
	}
	e.lose(s, err)
}

// observeDevice tells of what befell a device.
func (e *Engine) observeDevice(d DeviceEvent) {
	if o := e.options.Observer; o != nil && o.Device != nil {
		d.Left = e.scheduler.InService()
		o.Device(d)
	}
}

// anew returns the outcome of a window that was taken back: it begins at the encoder, at the temperature that it was at.
func (r *recording) anew() Outcome {
	r.on, r.ticket, r.window.cross = nil, -1, nil
	return r.outcome()
}

// relieve lets a device that had too little memory do with fewer windows. What it was at has not happened: it is done
// again with those of its windows that are left. A decoding batch is as it was before.
func (e *Engine) relieve(s *station, rs []*recording, at Phase, err error) {
	if at == ToEncode {
		for _, r := range rs {
			s.freeOf(r)
		}
	}
	back := e.scheduler.Shrink(s.number)
	outcomes := e.putBack(s, back, err)
	if len(back) == 0 && at == ToDecode {
		rs = slices.Collect(maps.Values(s.tickets)) // the one
	}
	for _, r := range rs {
		switch {
		case slices.Contains(back, r.task):
		case len(back) == 0 && r.window.tight:
			outcomes = append(outcomes, e.refused(s, r, err))
		case at == ToDecode: // it stays in the batch
			r.window.tight = true
		default:
			r.window.tight = len(back) == 0
			outcomes = append(outcomes, Outcome{Task: r.task, Next: at, Frames: r.encodeFrames()})
		}
	}
	s.trim()
	e.scheduler.Apply(outcomes...)
}

// putBack returns the outcomes of windows that a device gives back, because it has too little memory.
func (e *Engine) putBack(s *station, back []TaskID, err error) (outcomes []Outcome) {
	e.observeDevice(DeviceEvent{Kind: DeviceShort, Device: s.name, Windows: len(back), Err: err})
	for _, id := range back {
		r := e.tasks[id]
		if r.ticket >= 0 {
			s.leaves(r)
		}
		s.freeOf(r)
		outcomes = append(outcomes, r.anew())
	}
	return outcomes
}

// short returns the outcome of a window that a device had no memory for, for itself alone. It is in no decoding batch.
func (e *Engine) short(s *station, r *recording, at Phase, err error) Outcome {
	if back := e.scheduler.Shrink(s.number, r.task); len(back) > 0 {
		return e.putBack(s, back, err)[0]
	}
	s.trim()
	if r.window.tight {
		return e.refused(s, r, err)
	}
	r.window.tight = true
	return Outcome{Task: r.task, Next: at, Frames: r.encodeFrames()}
}

// refused returns the outcome of a window that a device has no memory for though it is alone there.
func (e *Engine) refused(s *station, r *recording, err error) Outcome {
	if r.ticket >= 0 {
		s.leaves(r)
	}
	s.freeOf(r)
	if e.scheduler.Refuse(r.task, s.number) {
		r.window.tight = false
		return r.anew()
	}
	return e.tooLarge(r, err)
}

// tooLarge returns the outcome of a window that no device has memory for.
func (e *Engine) tooLarge(r *recording, err error) Outcome {
	kind, advice := ErrInternal, ""
	if n := max(r.decoding.BeamSize, r.decoding.BestOf); n > 1 {
		kind, advice = ErrInvalid, fmt.Sprintf(" with %d hypotheses; ask for fewer beams and samples", n)
	}
	r.result.Err = fmt.Errorf("%w: no device has memory for a window%s: %w", kind, advice, err)
	return e.end(r)
}

// lose takes a device out of service. Its windows begin anew on others; with no other left, Options.Fallback takes its
// place.
func (e *Engine) lose(s *station, err error) {
	if s.fault != nil {
		return
	}
	s.fault = err
	back := e.scheduler.Retire(s.number)
	clear(s.tickets)
	e.bank.Retire(s.number)
	e.spectra.remove(s.number)
	e.observeDevice(DeviceEvent{Kind: DeviceLost, Device: s.name, Windows: len(back), Err: err})
	if e.scheduler.InService() == 0 && (e.options.Fallback == nil || e.fellBack) {
		e.stop(fmt.Errorf("%w: device %s: %w", ErrInternal, s.name, err))
		return
	}
	var outcomes []Outcome
	for _, id := range back {
		r := e.tasks[id]
		outcome := r.anew()
		if r.losses++; r.losses >= maxLosses {
			r.result.Err = fmt.Errorf("%w: %d devices have failed at it: %w", ErrInternal, r.losses, err)
			outcome = e.end(r)
		}
		outcomes = append(outcomes, outcome)
	}
	e.scheduler.Apply(outcomes...)
	if e.scheduler.InService() == 0 {
		e.fallBack(s, err)
		return
	}
	for _, id := range e.scheduler.Homeless() {
		e.scheduler.Apply(e.tooLarge(e.tasks[id], tensor.ErrMemory))
	}
}

// fallBack lets Options.Fallback take the place of all devices, the last of which was lost.
func (e *Engine) fallBack(last *station, cause error) {
	e.fellBack = true
	e.setMissing(fmt.Errorf("%w: device %s, the last, is out of service, and what takes its place is made ready: %w", ErrBusy, last.name, cause))
	go func() {
		d, err := e.options.Fallback()
		e.send(func() {
			if err == nil {
				err = e.join(d)
			}
			if err != nil {
				e.stop(fmt.Errorf("%w: device %s: %w; nothing takes its place: %w", ErrInternal, last.name, cause, err))
			}
		})
	}()
}

// join puts a device into service.
func (e *Engine) join(d Device) error {
	if d.Model.Dims != e.model.Dims {
		return fmt.Errorf("%w: device %s has another model", ErrInvalid, d.Name)
	}
	number, err := e.bank.AddBatch(d.Model, d.Backend)
	if err != nil {
		return err
	}
	e.scheduler.AddDevice(windowMemory(d.Backend, e.scheduler.Options().Memory))
	e.stations = append(e.stations, newStation(d, number, e.bank.BatchAt(number)))
	e.spectra.add(number, d)
	e.setMissing(nil)
	e.observeDevice(DeviceEvent{Kind: DeviceJoined, Device: d.Name})
	return nil
}

func (e *Engine) setMissing(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.missing = err
}

// Ready returns why the engine does not compute at the moment, nil while it does: the error of Err, or ErrBusy while
// Options.Fallback is made ready. It does not wait.
func (e *Engine) Ready() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped != nil {
		return e.stopped
	}
	return e.missing
}
