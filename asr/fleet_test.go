package asr

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// fleet makes engines over several devices, which are one backend in truth, as one would have them.
type fleet struct {
	model    *whisper.Model
	backend  tensor.Backend
	adapters []*flora.Adapter
	requests []Request
	alone    []*Result // of the requests on one device, one after the other
}

func newFleet(t testing.TB, requests ...Request) *fleet {
	t.Helper()
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, b, true)
	f := &fleet{model: m, backend: b, adapters: []*flora.Adapter{newAdapter(t, m, "cs", flora.FLoRA), newAdapter(t, m, "de", flora.LoRA)}, requests: requests}
	e := f.engine(t, 1, Options{})
	for i, q := range requests {
		f.alone = append(f.alone, f.result(transcribe(t, e, q)[0]))
		if f.alone[i].Err != nil {
			t.Fatalf("request %d alone: %v", i, f.alone[i].Err)
		}
	}
	return f
}

// engine returns an engine over n devices.
func (f *fleet) engine(t testing.TB, n int, o Options) *Engine {
	t.Helper()
	var devices []Device
	for i := range n {
		devices = append(devices, f.device(fmt.Sprint("device", i)))
	}
	e, err := NewOn(devices, f.adapters, map[string]string{"cs": "cs", "de": "de"}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (f *fleet) device(name string) Device { return Device{name, f.model, f.backend} }

// result returns a result without what a fault may change: how often it was encoded.
func (f *fleet) result(r *Result) *Result {
	c := *r
	c.Encodes = 0
	return &c
}

// check has an engine do all requests at once, and checks that each has the text that it has alone, or an error that may
// be.
func (f *fleet) check(t *testing.T, e *Engine, what string, mayFail func(error) bool) (failed int) {
	t.Helper()
	results, err := f.run(t, e)
	if err != nil {
		if mayFail == nil || !mayFail(err) {
			t.Errorf("%s: %v", what, err)
		}
		return len(f.requests)
	}
	for i, r := range results {
		switch {
		case r == nil:
			t.Errorf("%s: request %d has no result", what, i)
		case r.Err != nil:
			failed++
			if mayFail == nil || !mayFail(r.Err) {
				t.Errorf("%s: request %d: %v", what, i, r.Err)
			}
		case !reflect.DeepEqual(f.result(r), f.alone[i]):
			t.Errorf("%s: request %d:\n%+v, alone\n%+v", what, i, f.result(r), f.alone[i])
		}
	}
	return failed
}

// run has an engine do all requests at once, closes it, and checks that nothing is left.
func (f *fleet) run(t *testing.T, e *Engine) ([]*Result, error) {
	t.Helper()
	results := make([]*Result, len(f.requests))
	err := e.TranscribeAll(t.Context(), f.requests, func(i int, r *Result) { results[i] = r })
	e.Close()
	if n := len(e.tasks); n > 0 || e.busy > 0 {
		t.Errorf("%d tasks are left, %d devices are busy", n, e.busy)
	}
	for _, s := range e.stations {
		if d, ok := s.device.(*modelDevice); ok && s.fault == nil && err == nil && (len(s.tickets) > 0 || d.batch.Len() > 0) {
			t.Errorf("device %s: %d windows are left", s.name, d.batch.Len())
		}
	}
	return results, err
}

// few are requests of as many kinds as matter to devices: with and without adapters and detection, with words, in
// several windows, with fallback and beams.
func few() []Request {
	return []Request{
		chirp(200, 0.7, Request{Language: "en"}),
		chirp(400, 4.3, Request{Language: "cs", Timestamps: true}),
		chirp(350, 1, Request{}),
		chirp(600, 1, Request{Language: "de", Words: &WordOptions{SilenceThreshold: 0.1}}),
		chirp(700, 1, Request{Decoding: Decoding{Temperatures: []float64{0, 0.4}, LogProbThreshold: -0.01, BestOf: 3, Seed: 4}}),
		chirp(650, 0.5, Request{Language: "cs", Adapter: None, Priority: Bulk, Decoding: Decoding{BeamSize: 3}}),
	}
}

// TestFleetIsOne checks that requests have the same results to the bit on one device and on several, whose batches all
// of them have a part of.
func TestFleetIsOne(t *testing.T) {
	f := newFleet(t, mixed()...)
	for n := 1; n <= 3; n++ {
		var mu sync.Mutex
		seen := make(map[string]int)
		count := &Observer{Stepped: func(s Stepped) { mu.Lock(); seen[s.Device] += s.Windows; mu.Unlock() }}
		for _, o := range []Options{{}, sized(2, 0)} {
			o.Observer = count
			f.check(t, f.engine(t, n, o), fmt.Sprintf("%d devices", n), nil)
		}
		if len(seen) != n {
			t.Errorf("of %d devices these have windows: %v", n, seen)
		}
	}
}

// adapterWatch is a device that notes the adapters of the windows which it encodes together.
type adapterWatch struct {
	device
	batches [][]int32
}

func (d *adapterWatch) encode(mels []audio.Mel, adapterOf []int32, keep []int) ([]*whisper.CrossKV, error) {
	d.batches = append(d.batches, slices.Clone(adapterOf))
	return d.device.encode(mels, adapterOf, keep)
}

// TestWindowsOfAnAdapterAreSideBySide checks it of windows that are encoded together, whose languages take turns, and that each has its own text still.
func TestWindowsOfAnAdapterAreSideBySide(t *testing.T) {
	var requests []Request
	for i := range 12 {
		requests = append(requests, chirp(200+40*float64(i), 0.5, Request{Language: []string{"cs", "en", "de"}[i%3]}))
	}
	f := newFleet(t, requests...)
	e := f.engine(t, 1, Options{SchedulerOptions: SchedulerOptions{MaxEncoderFrames: 8 * f.model.Dims.WindowFrames(), Ahead: 8}})
	d := &adapterWatch{device: e.stations[0].device}
	e.stations[0].device = d
	f.check(t, e, "12 windows", nil)
	several := 0
	for _, b := range d.batches {
		if !slices.IsSorted(b) {
			t.Errorf("windows under adapters %v are encoded together", b)
		}
		if len(slices.Compact(slices.Clone(b))) > 1 {
			several++
		}
	}
	if several == 0 {
		t.Errorf("no batch has windows of several adapters: %v", d.batches)
	}
}

// TestFleetLoad checks what is told of several devices.
func TestFleetLoad(t *testing.T) {
	e := newFleet(t).engine(t, 3, sized(4, 0))
	defer e.Close()
	l := e.Load()
	if len(l.Devices) != 3 || l.Devices[2].Name != "device2" || l.MaxWindows != 3*5 || l.MaxMemory != 3*(4<<30) {
		t.Errorf("%+v", l)
	}
	if list := e.Adapters(); len(list) != 2 || list[0].Name != "cs" || list[0].Tier != flora.OnDevice {
		t.Errorf("the adapters: %+v", list)
	}
}

// opDevice counts what a device does, and may let an operation fail.
type opDevice struct {
	device
	ops  int
	fail func(op int, what string, d *opDevice) error // nil: it does not
	kept int                                          // windows whose keys and values are there
}

func (d *opDevice) op(what string) error {
	d.ops++
	if d.fail == nil {
		return nil
	}
	return d.fail(d.ops, what, d)
}

func (d *opDevice) encode(mels []audio.Mel, adapterOf []int32, keep []int) ([]*whisper.CrossKV, error) {
	d.kept += len(mels)
	if err := d.op("encode"); err != nil {
		d.kept -= len(mels)
		return nil, err
	}
	return d.device.encode(mels, adapterOf, keep)
}

func (d *opDevice) project(kept []int, adapterOf []int32) ([]*whisper.CrossKV, error) {
	d.kept += len(kept)
	if err := d.op("project"); err != nil {
		d.kept -= len(kept)
		return nil, err
	}
	return d.device.project(kept, adapterOf)
}

func (d *opDevice) free(c *whisper.CrossKV) { d.kept--; d.device.free(c) }

func (d *opDevice) detect(cross []*whisper.CrossKV, allowed [][]string) ([]whisper.LanguageProbs, error) {
	if err := d.op("detect"); err != nil {
		return nil, err
	}
	return d.device.detect(cross, allowed)
}

func (d *opDevice) step() ([]whisper.Finished, error) {
	if err := d.op("step"); err != nil {
		return nil, err
	}
	return d.device.step()
}

func (d *opDevice) align(items []whisper.Alignment) ([]whisper.Aligned, error) {
	if err := d.op("align"); err != nil {
		return nil, err
	}
	return d.device.align(items)
}

var errLost = fmt.Errorf("%w: it has fallen off the bus", tensor.ErrDevice)

// failsAt lets a device be lost at an operation. It must not be used any more then.
func failsAt(t *testing.T, n int) func(int, string, *opDevice) error {
	return func(op int, what string, _ *opDevice) error {
		if op > n {
			t.Errorf("the lost device is to do a %s", what)
		}
		if op == n {
			return fmt.Errorf("%s: %w", what, errLost)
		}
		return nil
	}
}

// watchDevices wraps the devices of an engine.
func watchDevices(e *Engine) (list []*opDevice) {
	for _, s := range e.stations {
		d := &opDevice{device: s.device}
		s.device = d
		list = append(list, d)
	}
	return list
}

// everyOp calls try with 1, 2, … until it reports that an operation of that number never came. Under the race detector
// it leaves most of them out.
func everyOp(try func(n int) (more bool)) {
	for n, step := 1, 1; try(n); n += step {
		if raceDetector {
			step = 1 + n/2
		}
	}
}

// TestLostDeviceHurtsNobody loses one of two devices at each of its operations: all requests have their texts.
func TestLostDeviceHurtsNobody(t *testing.T) {
	f := newFleet(t, few()...)
	everyOp(func(n int) bool {
		var events []DeviceEvent
		o := sized(3, 0)
		o.Observer = &Observer{Device: func(d DeviceEvent) { events = append(events, d) }}
		e := f.engine(t, 2, o)
		devices := watchDevices(e)
		devices[0].fail = failsAt(t, n)
		f.check(t, e, fmt.Sprintf("lost at operation %d", n), nil)
		more := devices[0].ops >= n
		if more != (len(events) == 1) || more && (events[0].Kind != DeviceLost || events[0].Device != "device0" || events[0].Left != 1 || !errors.Is(events[0].Err, errLost)) {
			t.Errorf("operation %d: told of %v", n, events)
		}
		if more && e.Load().Devices != nil {
			t.Error("a closed engine has devices")
		}
		return more
	})
}

// TestFallback loses the only device, or both of two, at each of its operations: with a fallback all requests have their texts,
// without one they have the device's error.
func TestFallback(t *testing.T) {
	f := newFleet(t, few()...)
	for _, n := range []int{1, 2} {
		everyOp(func(at int) bool {
			o := sized(3, 0)
			called := 0
			o.Fallback = func() (Device, error) { called++; return f.device("spare"), nil }
			e := f.engine(t, n, o)
			devices := watchDevices(e)
			for _, d := range devices {
				d.fail = failsAt(t, at)
			}
			f.check(t, e, fmt.Sprintf("%d devices lost at operation %d", n, at), nil)
			lost := 0
			for _, d := range devices {
				if d.ops >= at {
					lost++
				}
			}
			if (called == 1) != (lost == n) {
				t.Errorf("%d of %d devices are lost, the fallback was called %d times", lost, n, called)
			}
			return lost > 0
		})
	}
	internal := func(err error) bool { return errors.Is(err, ErrInternal) && errors.Is(err, errLost) }
	everyOp(func(at int) bool {
		e := f.engine(t, 1, sized(3, 0))
		d := watchDevices(e)[0]
		d.fail = failsAt(t, at)
		failed := f.check(t, e, fmt.Sprintf("the device lost at operation %d", at), internal)
		if more := d.ops >= at; more != (failed > 0) || more != internal(e.Err()) {
			t.Errorf("operation %d: %d requests fail, %v", at, failed, e.Err())
		}
		return d.ops >= at
	})
}

// TestFallbackFails checks that an engine without a device says so, and is not ready while the fallback is made.
func TestFallbackFails(t *testing.T) {
	f := newFleet(t, few()...)
	var e *Engine
	bad := errors.New("no memory for it here")
	e = f.engine(t, 1, Options{Fallback: func() (Device, error) {
		if err := e.Ready(); !errors.Is(err, ErrBusy) || !errors.Is(err, errLost) || e.Err() != nil {
			t.Errorf("while the fallback is made: %v, %v", err, e.Err())
		}
		return Device{}, bad
	}})
	watchDevices(e)[0].fail = failsAt(t, 3)
	_, err := f.run(t, e)
	if !errors.Is(err, ErrInternal) || !errors.Is(err, bad) || !errors.Is(err, errLost) || !errors.Is(e.Ready(), ErrInternal) {
		t.Errorf("%v; ready: %v", err, e.Ready())
	}
}

// TestPoison checks that a recording which devices fail at is given up before all are lost, and that the others are not.
func TestPoison(t *testing.T) {
	f := newFleet(t, few()...)
	e := f.engine(t, 5, sized(1, 0))
	for _, d := range watchDevices(e) {
		d.device = &poisoned{d.device}
	}
	results, err := f.run(t, e)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, r := range results {
		if r.Err != nil {
			failed++
			if !errors.Is(r.Err, ErrInternal) || !errors.Is(r.Err, errLost) || !strings.Contains(r.Err.Error(), "3 devices") {
				t.Errorf("request %d: %v", i, r.Err)
			}
		} else if !reflect.DeepEqual(f.result(r), f.alone[i]) {
			t.Errorf("request %d: %+v, alone %+v", i, f.result(r), f.alone[i])
		}
	}
	if failed != 1 || results[5].Err == nil {
		t.Errorf("%d requests fail", failed)
	}
}

// poisoned is lost when it decodes with beams.
type poisoned struct{ device }

func (d *poisoned) add(u whisper.Utterance) (int, error) {
	ticket, err := d.device.add(u)
	if u.Options.BeamSize > 0 {
		d.device = lostDevice{d.device}
	}
	return ticket, err
}

type lostDevice struct{ device }

func (lostDevice) step() ([]whisper.Finished, error) { return nil, errLost }

// TestScarceMemory gives one device, and two, memory for so many windows and hypotheses, from none on: requests wait, or those
// that do not fit alone fail alone.
func TestScarceMemory(t *testing.T) {
	f := newFleet(t, few()...)
	tooLarge := func(err error) bool {
		return errors.Is(err, tensor.ErrMemory) && (errors.Is(err, ErrInternal) || errors.Is(err, ErrInvalid))
	}
	for _, n := range []int{1, 2} {
		for room := range 9 {
			e := f.engine(t, n, sized(6, 9000))
			for _, d := range watchDevices(e) {
				d.fail = func(_ int, what string, d *opDevice) error {
					if d.kept > room || what == "step" && d.device.rows() > room {
						return fmt.Errorf("%s: %w", what, tensor.ErrMemory)
					}
					return nil
				}
			}
			failed := f.check(t, e, fmt.Sprintf("%d devices with room for %d", n, room), tooLarge)
			want := 0
			switch { // beams and samples need three rows
			case room == 0:
				want = len(f.requests)
			case room < 3:
				want = 2
			}
			if failed != want {
				t.Errorf("%d devices with room for %d: %d requests fail, want %d", n, room, failed, want)
			}
		}
	}
}

// TestMemoryFailsAnywhere lets each operation of a device find no memory once: nobody is hurt.
func TestMemoryFailsAnywhere(t *testing.T) {
	f := newFleet(t, few()...)
	everyOp(func(n int) bool {
		e := f.engine(t, 1, sized(3, 0))
		d := watchDevices(e)[0]
		d.fail = func(op int, what string, _ *opDevice) error {
			if op == n {
				return fmt.Errorf("%s: %w", what, tensor.ErrMemory)
			}
			return nil
		}
		f.check(t, e, fmt.Sprintf("no memory at operation %d", n), nil)
		if e.scheduler.devices[0].out || d.kept != 0 {
			t.Errorf("operation %d: %d windows are not freed", n, d.kept)
		}
		return d.ops >= n
	})
}

// TestUnequalDevices checks that a window which one device has no memory for goes to another, and fails when that is lost.
func TestUnequalDevices(t *testing.T) {
	f := newFleet(t, few()...)
	for _, lost := range []bool{false, true} {
		e := f.engine(t, 2, sized(6, 9000))
		for i, d := range watchDevices(e) {
			room, beams := 1+8*i, 0
			d.fail = func(_ int, what string, d *opDevice) error {
				if what == "step" && d.device.rows() >= 3 && room > 1 {
					beams++
				}
				switch {
				case lost && beams > 2:
					return errLost
				case d.kept > room || what == "step" && d.device.rows() > room:
					return fmt.Errorf("%s: %w", what, tensor.ErrMemory)
				}
				return nil
			}
		}
		failed := f.check(t, e, fmt.Sprintf("lost %v", lost), func(err error) bool { return lost && errors.Is(err, tensor.ErrMemory) })
		if lost != (failed > 0) {
			t.Errorf("lost %v: %d requests fail", lost, failed)
		}
	}
}
