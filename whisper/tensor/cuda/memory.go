//go:build cuda && linux

package cuda

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// stagedWrite is the most bytes of [Backend.Write] that go with the list; more is copied at once.
const stagedWrite = 64 << 10

// Alloc returns the address of n numbers. The error wraps [tensor.ErrMemory].
func (b *Backend) Alloc(n int) (uintptr, error) {
	at, err := b.device.Alloc(4 * n)
	return uintptr(at), memoryError(err)
}

// Free takes memory back. Kernels that wait in the list still have it: what it is handed out for comes after them.
func (b *Backend) Free(address uintptr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.widenAll() // what is short may be there
	b.device.Free(driver.Address(address))
}

// Write copies data to m.
func (b *Backend) Write(m tensor.Mat, data []float32) {
	if len(data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("cuda: %d numbers for a matrix (%d, %d)", len(data), m.Rows, m.Cols))
	}
	if len(data) == 0 {
		return
	}
	b.begin()
	defer b.end()
	b.wrote(m)
	if 4*len(data) <= stagedWrite {
		b.list.CopyDevice(address(m), stage(b, data), 4*len(data))
		return
	}
	b.run()
	b.fail(b.device.CopyIn(address(m), bytesOf(data)))
}

// Read runs the list, waits, and copies m to data.
func (b *Backend) Read(data []float32, m tensor.Mat) error {
	if len(data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("cuda: a matrix (%d, %d) into %d numbers", m.Rows, m.Cols, len(data)))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	b.widenAll()
	b.copied = copied{}
	b.unswap()
	var to []byte
	if len(data) > 0 {
		to = bytesOf(data)
	}
	b.fail(b.device.RunRead(b.list, to, address(m)))
	err := b.err
	b.err = nil
	return err
}

// Copy computes y = x.
func (b *Backend) Copy(y, x tensor.Mat) {
	b.begin()
	defer b.end()
	b.wrote(y)
	if n := 4 * x.Rows * x.Cols; n > 0 {
		b.list.CopyDevice(address(y), address(x), n)
	}
}

// Zero computes y = 0.
func (b *Backend) Zero(y tensor.Mat) {
	b.begin()
	defer b.end()
	b.zero(y)
}

func (b *Backend) zero(y tensor.Mat) {
	b.wrote(y)
	if n := 4 * y.Rows * y.Cols; n > 0 {
		b.list.Set(address(y), 0, n)
	}
}

// CopyRows copies row i of x to the address to[i].
func (b *Backend) CopyRows(to []uintptr, x tensor.Mat) {
	if len(to) != x.Rows {
		panic(fmt.Sprintf("cuda: %d rows to %d addresses", x.Rows, len(to)))
	}
	if x.Rows == 0 || x.Cols == 0 {
		return
	}
	b.begin()
	defer b.end()
	b.copied = copied{} // where the rows go is not compared
	b.launchRows(b.k.scatter, x.Rows, x.Cols, driver.Pointer(stage(b, to)), pointer(x), driver.Int32(x.Cols))
}

// MemoryInfo returns the bytes of the device's memory, and how many of them are free.
func (b *Backend) MemoryInfo() (free, total int64) {
	free, total, err := b.device.Memory()
	if err != nil {
		return 0, b.info.TotalBytes
	}
	return free, total
}

// held is memory of the device that something packed has. It is given back by Free, or when its owner is collected.
type held struct {
	at      driver.Address
	bytes   int64
	device  *driver.Device
	freed   atomic.Bool
	cleanup runtime.Cleanup
}

// Bytes returns the size of the memory.
func (h *held) Bytes() int64 { return h.bytes }

// Free gives the memory back.
func (h *held) Free() {
	if h.freed.CompareAndSwap(false, true) {
		h.cleanup.Stop()
		h.device.Free(h.at)
	}
}

// hold gets memory for h, which must not be copied.
func (b *Backend) hold(h *held, bytes int) error {
	at, err := b.device.Alloc(max(bytes, 1))
	if err != nil {
		return memoryError(err)
	}
	h.at, h.bytes, h.device = at, int64(bytes), b.device
	h.cleanup = runtime.AddCleanup(h, b.device.Free, at)
	return nil
}

// fill copies data to memory of hold, from byte `from` on. With the lock.
func (b *Backend) fill(h *held, from int, data []byte) error {
	b.run() // the memory may have been another's, which the list still uses
	return memoryError(b.device.CopyIn(h.at+driver.Address(from), data))
}
