//go:build cuda && linux

package driver

// #include "operation.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// pinnedBytes is the size of the buffer of page-locked memory through which data goes to the device and comes from it.
const pinnedBytes = 1 << 20

// CopyIn copies data to the device, after all that was run, and returns when data may change. Lists that were not run yet come
// after it: memory that such a list uses must not be written by CopyIn.
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

func (d *Device) copyIn(to Address, data []byte) error {
	d.count(func(s *Stats) { s.BytesIn += int64(len(data)) })
	for at := 0; at < len(data); at += len(d.pinned) {
		n := copy(d.pinned, data[at:])
		if err := d.copyAsync(cu.DevicePtr(to)+cu.DevicePtr(at), d.pinned[:n]); err != nil {
			return err
		}
		if err := d.wait(); err != nil { // before the buffer is filled again
			return err
		}
	}
	return nil
}

// copyAsync queues a copy from page-locked memory, which must not change before it has happened.
func (d *Device) copyAsync(to cu.DevicePtr, pinned []byte) error {
	err := cu.MemcpyHtoDAsync(to, unsafe.Pointer(&pinned[0]), int64(len(pinned)), d.stream)
	return wrap("copy to the device", err)
}

func (d *Device) copyOut(data []byte, from Address) error {
	d.count(func(s *Stats) { s.BytesOut += int64(len(data)) })
	for at := 0; at < len(data); at += len(d.pinned) {
		n := min(len(data)-at, len(d.pinned))
		err := cu.MemcpyDtoHAsync(unsafe.Pointer(&d.pinned[0]), cu.DevicePtr(from)+cu.DevicePtr(at), int64(n), d.stream)
		if err := wrap("copy from the device", err); err != nil {
			return err
		}
		if err := d.wait(); err != nil {
			return err
		}
		copy(data[at:], d.pinned[:n])
	}
	return nil
}

func (d *Device) count(f func(*Stats)) {
	d.mu.Lock()
	f(&d.stats)
	d.mu.Unlock()
}

// allocPinned allocates page-locked memory of the host, which the device reads and writes without a copy between.
func allocPinned(bytes int) ([]byte, error) {
	var p unsafe.Pointer
	if err := result("cuMemHostAlloc", int(C.cuMemHostAlloc(&p, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), bytes), nil
}

func freePinned(b []byte) {
	if b != nil {
		C.cuMemFreeHost(unsafe.Pointer(&b[0]))
	}
}
