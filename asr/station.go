package asr

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Device is what an engine computes on: a backend, and the model packed for it.
type Device struct {
	Name    string // such as cuda:0, for messages
	Model   *whisper.Model
	Backend tensor.Backend
}

// station is a device of an engine, with the windows in its batch. Only the engine's goroutine uses it, and the device
// in it only while that is not busy.
type station struct {
	device
	number  int // as scheduler and bank have it
	name    string
	tickets map[int]*recording // in the batch
	busy    bool
	took    time.Duration // what it did last
	sweep   bool          // the bank has something to do in its batch
	fault   error         // why it is out of service, nil while it is not
}

func newStation(d Device, number int, adapters *flora.Batch) *station {
	return &station{device: newModelDevice(d.Model, d.Backend, adapters), number: number, name: d.Name, tickets: make(map[int]*recording)}
}

// windowMemory returns the memory in bytes that windows may take on a backend: where it tells how much there is, what the
// work of a batch leaves of it, otherwise the given.
func windowMemory(b tensor.Backend, otherwise int) int {
	d, ok := b.(interface{ MemoryInfo() (free, total int64) })
	if !ok {
		return otherwise
	}
	free, _ := d.MemoryInfo()
	const share = 0.75 // the rest is for what an encoder batch computes; what is too much, the scheduler learns
	return max(1, int(share*float64(free)))
}

// finished is work that a device has done.
type finished struct {
	station *station
	err     error
	then    func(err error)
}

// compute lets a device do work, and then goes on with its error. One device alone does it at once; of several, each
// works on a goroutine of its own, and the engine's goroutine is told.
func (e *Engine) compute(s *station, work func() error, then func(err error)) {
	if len(e.stations) == 1 {
		began := time.Now()
		err := work()
		s.took = time.Since(began)
		then(err)
		return
	}
	s.busy = true
	e.busy++
	go func() {
		began := time.Now()
		err := work()
		s.took = time.Since(began)
		e.finished <- finished{s, err, then}
	}()
}

// take goes on with what a device has done.
func (e *Engine) take(f finished) {
	f.station.busy = false
	e.busy--
	if f.station.fault == nil { // otherwise its windows are elsewhere
		f.then(f.err)
	}
}

// byLoad returns the devices, those with the fewest windows first.
func (e *Engine) byLoad() []*station {
	if len(e.stations) == 1 {
		return e.stations
	}
	sorted := slices.Clone(e.stations)
	slices.SortStableFunc(sorted, func(a, b *station) int {
		return cmp.Compare(e.scheduler.devices[a.number].admitted, e.scheduler.devices[b.number].admitted)
	})
	return sorted
}

// enters lets a window take part in the decoding batch. The error is the window's.
func (s *station) enters(r *recording) error {
	ticket, err := s.add(whisper.Utterance{Cross: r.window.cross, Adapter: r.window.adapter, Options: r.decodeOptions()})
	if err == nil {
		r.ticket, s.tickets[ticket] = ticket, r
	}
	return err
}

// leaves takes a window out of the decoding batch.
func (s *station) leaves(r *recording) {
	s.remove(r.ticket)
	delete(s.tickets, r.ticket)
	r.ticket = -1
}

// freeOf frees what was encoded of a window, if anything was.
func (s *station) freeOf(r *recording) {
	if r.window.cross != nil {
		s.free(r.window.cross)
		r.window.cross = nil
	}
}

// DeviceLoad is what a device has to do.
type DeviceLoad struct {
	Name    string `json:"name"`
	Fault   string `json:"fault,omitempty"` // why it is out of service, "" while it is not
	Windows int    `json:"windows"`         // that have their places there

	// Memory is the number of bytes of these windows, MaxMemory the greatest as far as is known.
	Memory    int `json:"memory_bytes"`
	MaxMemory int `json:"max_memory_bytes"`
}

// addLoad adds what a device has to do.
func (e *Engine) addLoad(l *Load, s *station) {
	p, o := e.scheduler.devices[s.number], e.scheduler.Options()
	d := DeviceLoad{Name: s.name, Windows: p.admitted, Memory: p.used, MaxMemory: p.memory}
	if s.fault != nil {
		d.Fault = s.fault.Error()
	} else {
		l.MaxWindows += o.MaxWindows + o.LiveWindows
		l.Memory += p.used
		l.MaxMemory += p.memory
	}
	l.Devices = append(l.Devices, d)
	for _, ticket := range slices.Sorted(maps.Keys(s.tickets)) {
		r := s.tickets[ticket]
		w := WindowLoad{Device: s.name, Language: r.window.language, Priority: r.request.Priority.String(), Attempt: r.window.attempt}
		if r.window.pin != nil {
			w.Adapter = r.window.pin.Name()
		}
		l.Windows = append(l.Windows, w)
	}
}
