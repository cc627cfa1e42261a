//go:build cuda && linux

package driver

import (
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// CopyIn copies data to the device, after all that was run. It returns when data may change, which may be before the copy has happened;
// what goes wrong in that comes out of Wait or CopyOut. Lists that were not run yet come after it: memory that such a list uses must
// not be written by CopyIn.
func (d *Device) CopyIn(to Address, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	return d.do(func() error { return d.copyIn(to, data) })
}

// CopyOut waits for all that was run and copies from the device to data.
func (d *Device) CopyOut(data []byte, from Address) error {
	if len(data) == 0 {
		return d.Wait()
	}
	return d.hand(call{data: data, from: from})
}

// RunRead is Run and CopyOut in one call.
func (d *Device) RunRead(l *List, data []byte, from Address) error {
	return d.finish(l, d.hand(call{list: l, data: data, from: from, wait: true}))
}

// fillers is how many slots are filled side by side: one core reads memory more slowly than a device is given it.
const fillers = 8

func (d *Device) copyIn(to Address, data []byte) error {
	d.count(func(s *Stats) { s.BytesIn += int64(len(data)) })
	var pieces [fillers]struct {
		*slot
		n int
	}
	for at := 0; at < len(data); {
		var filling sync.WaitGroup
		n := 0
		for end := at; n < fillers && end < len(data); n++ {
			s, err := d.slots.take()
			if err != nil {
				filling.Wait()
				return err
			}
			part := data[end:min(end+slotBytes, len(data))]
			pieces[n].slot, pieces[n].n = s, len(part)
			if end += len(part); end == len(data) || n == fillers-1 { // the last one is filled here
				copy(s.host, part)
				continue
			}
			filling.Go(func() { copy(s.host, part) })
		}
		filling.Wait()
		for _, p := range pieces[:n] {
			if err := d.copyAsync(cu.DevicePtr(to)+cu.DevicePtr(at), p.host[:p.n]); err != nil {
				return err
			}
			if err := wrap("cuEventRecord", p.copied.Record(d.stream)); err != nil {
				return err
			}
			at += p.n
		}
	}
	return nil
}

// copyAsync queues a copy from page-locked memory, which must not change before it has happened.
func (d *Device) copyAsync(to cu.DevicePtr, pinned []byte) error {
	err := cu.MemcpyHtoDAsync(to, unsafe.Pointer(&pinned[0]), int64(len(pinned)), d.stream)
	return wrap("copy to the device", err)
}

// copyBack queues a copy to page-locked memory.
func (d *Device) copyBack(pinned []byte, from cu.DevicePtr) error {
	return wrap("copy from the device", cu.MemcpyDtoHAsync(unsafe.Pointer(&pinned[0]), from, int64(len(pinned)), d.stream))
}

func (d *Device) copyOut(data []byte, from Address) error {
	d.count(func(s *Stats) { s.BytesOut += int64(len(data)) })
	if len(data) > slotBytes { // several slots, and so all that there may be
		if err := d.wait(); err != nil {
			return err
		}
	}
	for at := 0; at < len(data); {
		var pieces [maxSlots][]byte
		n := 0
		for end := at; n < maxSlots && end < len(data); n++ {
			s, err := d.slots.take()
			if err != nil {
				return err
			}
			pieces[n] = s.host[:min(slotBytes, len(data)-end)]
			if err := d.copyBack(pieces[n], cu.DevicePtr(from)+cu.DevicePtr(end)); err != nil {
				return err
			}
			end += len(pieces[n])
		}
		if err := d.wait(); err != nil {
			return err
		}
		for _, p := range pieces[:n] {
			at += copy(data[at:], p)
		}
	}
	return nil
}

func (d *Device) count(f func(*Stats)) {
	d.mu.Lock()
	f(&d.stats)
	d.mu.Unlock()
}
