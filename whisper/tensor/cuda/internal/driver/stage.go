//go:build cuda && linux

package driver

import (
	"fmt"

	"gorgonia.org/cu"
)

// staging is the memory through which small data goes to the device with a list. On the device it has fixed addresses, so that a
// replayed graph finds it. On the host there are two of it, in turn: one is filled while the other may still be copied.
type staging struct {
	chunks []*chunk
}

// chunk is one piece of it. More are added where a list stages more than before.
type chunk struct {
	device  cu.DevicePtr
	host    [2][]byte // page-locked
	copied  [2]cu.Event
	waiting [2]bool // whether copied was recorded
	side    int     // which of the two is being filled
	used    int     // bytes of it
}

const chunkBytes = 256 << 10

// Stage returns n bytes that the caller fills before Run, and their address on the device. They hold until Run or Reset. The
// bytes are not zero at first. align divides the address: a power of two up to 256. Where there is no room on the device, Run returns
// ErrMemory.
func (l *List) Stage(n, align int) (Address, []byte) {
	if n < 0 || align <= 0 || align > grain || align&(align-1) != 0 {
		panic(fmt.Sprintf("cuda: Stage(%d, %d)", n, align))
	}
	for _, c := range l.stage.chunks {
		at := (c.used + align - 1) &^ (align - 1)
		if at+n <= len(c.host[0]) {
			c.used = at + n
			return Address(c.device) + Address(at), c.host[c.side][at : at+n : at+n]
		}
	}
	if err := l.grow(n); err != nil {
		if l.err == nil {
			l.err = fmt.Errorf("stage %d bytes: %w", n, err)
		}
		return 0, make([]byte, n)
	}
	return l.Stage(n, align)
}

// grow adds a chunk that has room for n bytes.
func (l *List) grow(n int) error {
	size := int(roundUp(int64(max(n, chunkBytes)), grain))
	c := new(chunk)
	err := l.device.do(func() error { return c.alloc(size) })
	if err != nil {
		return err
	}
	l.stage.chunks = append(l.stage.chunks, c)
	return nil
}

// alloc gets the chunk's memory. On the device's thread.
func (c *chunk) alloc(size int) (err error) {
	defer func() {
		if err != nil {
			c.free()
		}
	}()
	if c.device, err = cu.MemAlloc(int64(size)); err != nil {
		return wrap("cuMemAlloc", err)
	}
	for i := range c.host {
		if c.host[i], err = allocPinned(size); err != nil {
			return err
		}
		if c.copied[i], err = cu.MakeEvent(cu.DisableTiming); err != nil {
			return wrap("cuEventCreate", err)
		}
	}
	return nil
}

// copy puts the copies of what was staged on the stream, and turns to the other buffers. On the device's thread.
func (s *staging) copy(d *Device) error {
	for _, c := range s.chunks {
		if c.used == 0 {
			continue
		}
		if err := d.copyAsync(c.device, c.host[c.side][:c.used]); err != nil {
			return err
		}
		if err := wrap("cuEventRecord", c.copied[c.side].Record(d.stream)); err != nil {
			return err
		}
		c.waiting[c.side] = true
		c.used = 0
		if d.oneStage {
			continue
		}
		c.side = 1 - c.side
		if !c.waiting[c.side] {
			continue
		}
		if err := wrap("cuEventSynchronize", c.copied[c.side].Synchronize()); err != nil {
			return err
		}
		c.waiting[c.side] = false
	}
	return nil
}

// bytes returns how much is staged.
func (s *staging) bytes() int {
	n := 0
	for _, c := range s.chunks {
		n += c.used
	}
	return n
}

// reset drops what was staged.
func (s *staging) reset() {
	for _, c := range s.chunks {
		c.used = 0
	}
}

// free gives the memory back. On the device's thread.
func (s *staging) free() {
	for _, c := range s.chunks {
		c.free()
	}
	s.chunks = nil
}

func (c *chunk) free() {
	if c.device != 0 {
		cu.MemFree(c.device)
	}
	for i := range c.host {
		freePinned(c.host[i])
		if c.copied[i] != (cu.Event{}) {
			cu.DestroyEvent(&c.copied[i])
		}
	}
}

// Close gives back what the list holds on the device. It is of no use then.
func (l *List) Close() error {
	d := l.device
	return d.do(func() error {
		if err := d.wait(); err != nil {
			return err
		}
		l.stage.free()
		d.mu.Lock()
		delete(d.lists, l)
		d.mu.Unlock()
		return nil
	})
}
