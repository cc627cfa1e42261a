package main

import (
	"errors"
	"fmt"
	"time"

	"glossa/asr"
	"glossa/flora"
)

// What a GPU is given to do at a time: its steps cost hardly more for many windows than for few, and its encoder gains by
// several.
const (
	gpuBatch   = 64
	gpuEncodes = 8 // whole windows
)

// encodesOn returns the number of windows encoded together on a device, whole ones on a GPU.
func encodesOn(b computer) int {
	if b.gpu() {
		return gpuEncodes
	}
	return 1
}

// batchOn returns the greatest number of windows decoded together on a device.
func (f *modelFlags) batchOn(on computer) int {
	if on.gpu() && !f.given["batch"] {
		return gpuBatch
	}
	return f.Batch
}

// schedulerOptions size a scheduler for devices of one kind.
func schedulerOptions(on computer, batch int) asr.SchedulerOptions {
	o := asr.SchedulerOptions{MaxWindows: batch}
	if on.gpu() {
		const windowFrames = 3000
		o.MaxEncoderFrames = gpuEncodes * windowFrames
		o.Ahead = gpuEncodes
	}
	return o
}

// loadOn loads the model onto each device. It returns the adapters that the model brings with it too.
func (f *modelFlags) loadOn(on []computer) (devices []asr.Device, adapters []*flora.Adapter, err error) {
	for _, d := range on {
		checkpoint, theirs, err := openModel(f.Model)
		if err != nil {
			return nil, nil, err
		}
		m, err := f.load(checkpoint, d)
		if err = errors.Join(err, checkpoint.Close()); err != nil {
			if len(on) > 1 || d.gpu() {
				err = fmt.Errorf("device %s: %w", d.name, err)
			}
			return nil, nil, err
		}
		devices, adapters = append(devices, asr.Device{Name: d.name, Model: m, Backend: d.backend}), theirs
	}
	return devices, adapters, nil
}

// fallBack loads the model onto what takes the place of devices that have failed. It takes what a start takes, and as much
// memory as the model; then some tens of times less is done than on a GPU.
func (f *modelFlags) fallBack(open func() (computer, error)) (asr.Device, error) {
	began := time.Now()
	on, err := open()
	if err != nil {
		return asr.Device{}, err
	}
	g := *f
	if _, err := chooseDType(on.backend, g.DType); errors.Is(err, errDType) {
		g.DType = autoDType // the format is one of GPUs
	}
	devices, _, err := g.loadOn([]computer{on})
	if err != nil {
		return asr.Device{}, err
	}
	f.tell(fmt.Sprintf("no GPU is left; the model was loaded again in %v, for %s, which is far slower", time.Since(began).Round(time.Millisecond), on.describe()), nil)
	return devices[0], nil
}

// observing returns the observer of the engine, who tells of what befalls devices.
func (f *modelFlags) observing() *asr.Observer {
	o := asr.Observer{}
	if f.observer != nil {
		o = *f.observer
	}
	counted := o.Device
	o.Device = func(d asr.DeviceEvent) {
		f.tell(d.String(), d.Err)
		if counted != nil {
			counted(d)
		}
	}
	return &o
}

// tell writes what befell a device to the log, or the standard error.
func (f *modelFlags) tell(what string, err error) {
	switch {
	case f.log != nil && err != nil:
		f.log.Error(what)
	case f.log != nil:
		f.log.Warn(what)
	case f.say != nil:
		f.say(what)
	}
}
