//go:build cuda && linux

package driver

import (
	"time"

	"gorgonia.org/cu"
)

// Elapsed runs a list plainly, waits, and returns how long the device took, by its own clock. It empties the list.
func (d *Device) Elapsed(l *List) (t time.Duration, err error) {
	err = d.do(func() (err error) {
		if l.err != nil {
			return l.err
		}
		if len(l.words) == 0 {
			return nil
		}
		t, err = d.elapsed(l)
		return err
	})
	return t, d.finish(l, err)
}

// elapsed is Elapsed on the device's thread.
func (d *Device) elapsed(l *List) (time.Duration, error) {
	if err := l.stage.copy(d); err != nil {
		return 0, err
	}
	var events [2]cu.Event // before and behind
	for i := range events {
		var err error
		if events[i], err = cu.MakeEvent(cu.DefaultEvent); err != nil {
			return 0, wrap("cuEventCreate", err)
		}
		defer cu.DestroyEvent(&events[i])
	}
	if err := wrap("cuEventRecord", events[0].Record(d.stream)); err != nil {
		return 0, err
	}
	if err := d.runPlainly(l); err != nil {
		return 0, err
	}
	if err := wrap("cuEventRecord", events[1].Record(d.stream)); err != nil {
		return 0, err
	}
	if err := d.wait(); err != nil {
		return 0, err
	}
	ms, err := events[0].Elapsed(events[1])
	return time.Duration(ms * float64(time.Millisecond)), wrap("cuEventElapsedTime", err)
}
