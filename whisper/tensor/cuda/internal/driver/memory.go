//go:build cuda && linux

package driver

import (
	"errors"
	"fmt"
	"math"

	"gorgonia.org/cu"
)

// Alloc returns memory of unspecified contents, at an address that 256 divides. Where there is no room, even after unused memory of
// the pool was given back, the error is ErrMemory.
func (d *Device) Alloc(bytes int) (Address, error) {
	if bytes < 0 {
		panic(fmt.Sprintf("cuda: Alloc(%d)", bytes))
	}
	if d.dead.Load() { // the thread says why
		return d.allocSlowly(int64(bytes))
	}
	if d.pool.checked {
		return d.allocAlone(int64(bytes))
	}
	d.mu.Lock()
	a, ok := d.pool.take(int64(bytes))
	d.mu.Unlock()
	if ok {
		return a, nil
	}
	return d.allocSlowly(int64(bytes))
}

// Free makes the memory free for what is added to lists from now on. Lists that wait may still use it. Free(0) does nothing; it panics
// where nothing is allocated.
func (d *Device) Free(a Address) {
	if a == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool.taken != nil { // not closed
		d.pool.give(a)
	}
}

// Memory returns how much memory of the device can still be allocated, here or by other programs, and how much it has.
func (d *Device) Memory() (free, total int64, err error) {
	err = d.do(func() error {
		free, total, err = cu.MemInfo()
		return wrap("cuMemGetInfo", err)
	})
	d.mu.Lock()
	free += d.pool.reserved - d.pool.used
	d.mu.Unlock()
	return free, total, err
}

// allocSlowly gets a slab for a request that the pool could not meet.
func (d *Device) allocSlowly(bytes int64) (a Address, err error) {
	var ok bool
	err = d.do(func() error {
		d.mu.Lock()
		wish := d.pool.wish(bytes)
		d.mu.Unlock()
		p, size, err := d.grow(wish, bytes)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pool.openUp(d.pool.add(p, size))
		a, ok = d.pool.take(bytes)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("allocate %d bytes: %w", bytes, err)
	}
	if !ok { // another goroutine was faster
		return d.Alloc(int(bytes))
	}
	return a, nil
}

// allocAlone is Alloc where pool.checked.
func (d *Device) allocAlone(bytes int64) (a Address, err error) {
	err = d.do(func() (err error) {
		size := max(bytes, 1)
		if a, size, err = d.grow(size, size); err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.pool.count(d.pool.add(a, size))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("allocate %d bytes: %w", bytes, err)
	}
	return a, nil
}

// grow gets memory from the driver: `wish` bytes, or where there is no room `least`, after memory that nothing uses was given back. On the
// device's thread.
func (d *Device) grow(wish, least int64) (Address, int64, error) {
	p, err := cu.MemAlloc(wish)
	if err == nil {
		return Address(p), wish, nil
	}
	if err = wrap("cuMemAlloc", err); !errors.Is(err, ErrMemory) {
		return 0, 0, err
	}
	if err := d.trim(); err != nil {
		return 0, 0, err
	}
	least = roundUp(max(least, 1), grain)
	if p, err = cu.MemAlloc(least); err != nil {
		return 0, 0, wrap("cuMemAlloc", err)
	}
	return Address(p), least, nil
}

// Trim gives memory of the pool that nothing uses back to the driver, when all that was run has happened.
func (d *Device) Trim() error { return d.do(d.trim) }

// trim is Trim on the device's thread.
func (d *Device) trim() error {
	if err := d.wait(); err != nil {
		return err
	}
	d.mu.Lock()
	since := uint64(math.MaxUint64)
	for l := range d.lists {
		if l.waits {
			since = min(since, l.since)
		}
	}
	slabs := d.pool.release(since)
	d.mu.Unlock()
	for _, s := range slabs {
		if err := wrap("cuMemFree", cu.MemFree(cu.DevicePtr(s.address))); err != nil {
			return err
		}
	}
	return nil
}

// freeAll gives all slabs back. On the device's thread, when it ends.
func (p *pool) freeAll() {
	for _, s := range p.slabs {
		cu.MemFree(cu.DevicePtr(s.address))
	}
	*p = pool{}
}
