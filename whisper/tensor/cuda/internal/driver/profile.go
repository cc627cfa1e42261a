//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gorgonia.org/cu"
)

// Timing is what the operations of one name took on the device.
type Timing struct {
	Name  string // of the kernel; or a product with its sizes, a copy, a set
	Calls int
	Time  time.Duration
}

// profiler runs lists plainly, with an event between operations.
type profiler struct {
	events []cu.Event
	totals map[string]*Timing
}

// Profile starts to time every operation, or ends it. While it is on, lists are not replayed as graphs, and Run waits for the work.
func (d *Device) Profile(on bool) error {
	return d.do(func() error {
		if on {
			d.profile = &profiler{totals: make(map[string]*Timing)}
			return nil
		}
		d.profile.close()
		d.profile = nil
		return nil
	})
}

// Timings returns what was timed since Profile, the longest total first.
func (d *Device) Timings() ([]Timing, error) {
	var all []Timing
	err := d.do(func() error {
		if d.profile == nil {
			return nil
		}
		for _, t := range d.profile.totals {
			all = append(all, *t)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b Timing) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Name, b.Name)) })
	return all, err
}

// run runs and times a list. On the device's thread.
func (p *profiler) run(d *Device, l *List) error {
	d.countPlain(l.words)
	i := 0
	for w := l.words; len(w) > 0; w = w[length(w):] {
		if err := p.record(d, i); err != nil {
			return err
		}
		i++
		f := C.run_words((*C.uint64_t)(&w[0]), C.size_t(length(w)), d.cStream(), &d.blas)
		if err := d.failure(f, w); err != nil {
			return err
		}
	}
	if err := p.record(d, i); err != nil {
		return err
	}
	if err := d.wait(); err != nil {
		return err
	}
	i = 0
	for w := l.words; len(w) > 0; w = w[length(w):] {
		ms, err := p.events[i].Elapsed(p.events[i+1])
		if err != nil {
			return wrap("cuEventElapsedTime", err)
		}
		i++
		p.add(d.timingName(w), time.Duration(ms*float64(time.Millisecond)))
	}
	return nil
}

// record records event i, which it makes where there are fewer.
func (p *profiler) record(d *Device, i int) error {
	if i == len(p.events) {
		e, err := cu.MakeEvent(cu.DefaultEvent)
		if err != nil {
			return wrap("cuEventCreate", err)
		}
		p.events = append(p.events, e)
	}
	return wrap("cuEventRecord", p.events[i].Record(d.stream))
}

func (p *profiler) add(name string, t time.Duration) {
	s := p.totals[name]
	if s == nil {
		s = &Timing{Name: name}
		p.totals[name] = s
	}
	s.Calls++
	s.Time += t
}

func (p *profiler) close() {
	if p == nil {
		return
	}
	for i := range p.events {
		cu.DestroyEvent(&p.events[i])
	}
}

// timingName is the name under which an operation is counted.
func (d *Device) timingName(w []uint64) string {
	switch w[0] & 255 {
	case opLaunch:
		return d.names[w[1]]
	case opGemm:
		return fmt.Sprintf("product %d x %d x %d, %d times", uint32(w[1]), w[1]>>32, uint32(w[2]), w[2]>>32)
	case opBiased:
		return fmt.Sprintf("product %d x %d x %d, with bias", uint32(w[1]), w[1]>>32, uint32(w[2]))
	case opCopy:
		return "copy"
	default:
		return "set"
	}
}
