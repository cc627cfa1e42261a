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
	d.mu.Lock()
	if d.pool.taken == nil {
		d.pool.taken = make(map[Address]*block)
	}
	a, ok := d.pool.take(int64(bytes))
	d.mu.Unlock()
	if ok && !d.pool.checked {
		return a, nil
	}
	return d.allocSlowly(a, ok, int64(bytes))
}

// Free makes the memory free for what is added to lists from now on. Lists that wait may still use it. Free(0) does nothing; it panics
// where nothing is allocated.
func (d *Device) Free(a Address) {
	if a == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pool.give(a)
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
func (d *Device) allocSlowly(a Address, ok bool, bytes int64) (Address, error) {
	if ok {
		return a, nil
	}
	err := d.do(func() error {
		d.mu.Lock()
		wish := d.pool.wish(bytes)
		d.mu.Unlock()
		err := d.grow(wish)
		if errors.Is(err, ErrMemory) {
			if err = d.trim(); err == nil {
				err = d.grow(roundUp(max(bytes, 1), grain))
			}
		}
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
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

// grow gets a slab from the driver. On the device's thread.
func (d *Device) grow(size int64) error {
	p, err := cu.MemAlloc(size)
	if err != nil {
		return wrap("cuMemAlloc", err)
	}
	d.mu.Lock()
	d.pool.add(Address(p), size)
	d.mu.Unlock()
	return nil
}

// trim gives memory that nothing uses back to the driver. On the device's thread.
func (d *Device) trim() error {
	if err := d.wait(); err != nil {
		return err
	}
	d.mu.Lock()
	since := uint64(math.MaxUint64)
	for l := range d.lists {
		if len(l.words) > 0 {
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
