package asr

import (
	"errors"
	"fmt"
	"testing"

	"glossa/flora"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/tensortest"
)

// deaf is a device that computes no log-mels, for results that are compared to the bit: a simulated device rounds them otherwise than the host,
// which computes them where there is no room.
type deaf struct {
	tensor.Device
	tensor.Chooser
}

// newSimulatedFleet returns a fleet whose engines have one device, a simulated one with memory of its own.
func newSimulatedFleet(t *testing.T) (*fleet, *tensortest.Simulated) {
	t.Helper()
	host, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	d := tensortest.Simulate(host, tensortest.DeviceOptions{})
	m := newModel(t, d, true)
	f := &fleet{model: m, backend: deaf{d, d}, adapters: []*flora.Adapter{newAdapter(t, m, "cs", flora.FLoRA), newAdapter(t, m, "de", flora.LoRA)}, requests: few()}
	e := f.engine(t, 1, Options{})
	for i, r := range transcribe(t, e, f.requests...) {
		if r.Err != nil {
			t.Fatalf("request %d: %v", i, r.Err)
		}
		f.alone = append(f.alone, f.result(r))
	}
	return f, d
}

// TestDeviceMemory serves on a device with memory of its own, of which there is less and less: requests have their texts, or
// where there is too little for one, a clear error; and when there is more again, the engine is as good as new.
func TestDeviceMemory(t *testing.T) {
	f, d := newSimulatedFleet(t)
	all, none := 0, 0
	for _, room := range []int64{0, 1 << 12, 1 << 16, 1 << 18, 1 << 20, 3 << 20, 5 << 20, 9 << 20, 17 << 20, 1 << 30} {
		e := f.engine(t, 1, sized(6, 9000)) // which brings its adapters into memory
		d.Limit(d.Stats().Used + room)
		failed := f.check(t, e, fmt.Sprintf("room for %d bytes", room), func(err error) bool { return errors.Is(err, tensor.ErrMemory) })
		d.Limit(0)
		t.Logf("room for %d bytes: %d of %d requests fail", room, failed, len(f.requests))
		switch failed {
		case 0:
			all++
		case len(f.requests):
			none++
		}
		for _, s := range e.stations {
			if s.fault != nil {
				t.Errorf("room for %d bytes: the device is out of service: %v", room, s.fault)
			}
		}
	}
	if all == 0 || none == 0 {
		t.Errorf("with %d sizes all requests have texts, with %d none", all, none)
	}
}

// TestDeviceBreaks breaks a device of its own memory while it serves: the fallback, which has other memory, takes its place.
func TestDeviceBreaks(t *testing.T) {
	for _, at := range []int{1, 2, 5, 9, 17, 30} {
		f, d := newSimulatedFleet(t)
		o := sized(3, 0)
		spare, _ := newSimulatedFleet(t)
		o.Fallback = func() (Device, error) { return spare.device("spare"), nil }
		e := f.engine(t, 1, o)
		watchDevices(e)[0].fail = func(op int, _ string, _ *opDevice) error {
			if op == at {
				d.Break(errLost)
			}
			return nil
		}
		f.check(t, e, fmt.Sprintf("broken before operation %d", at), nil)
		if len(e.stations) != 2 || !errors.Is(e.stations[0].fault, errLost) {
			t.Errorf("broken before operation %d: %d devices", at, len(e.stations))
		}
	}
}

// TestWindowMemory checks that the memory of windows is a part of what a device has free.
func TestWindowMemory(t *testing.T) {
	f, d := newSimulatedFleet(t)
	d.Limit(d.Stats().Used + 1<<30)
	if l := f.engine(t, 1, Options{}).Load(); l.MaxMemory < 1<<29 || l.MaxMemory >= 1<<30 {
		t.Errorf("%d bytes", l.MaxMemory)
	}
}
