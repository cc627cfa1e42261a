//go:build cuda && linux

package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// longList is the number of operations that are run without waiting for a Read.
const longList = 8192

// begin is called first in each kernel, with the lock, and end last.
func (b *Backend) begin() {
	b.beginAware()
	b.widenAll()
}

// beginAware is begin in a kernel that knows of short matrices.
func (b *Backend) beginAware() {
	b.mu.Lock()
	b.flush()
}

func (b *Backend) end() {
	if b.list.Len() >= longList {
		b.run()
	}
	b.mu.Unlock()
}

// run hands the list over. With the lock.
func (b *Backend) run() {
	b.flush()
	b.widenAll()
	b.copied = copied{}
	b.unswap()
	if b.list.Len() == 0 {
		return
	}
	b.fail(b.device.Run(b.list))
}

// unswap lets the next list begin with the buffers that this one began with, so that it is the same.
func (b *Backend) unswap() {
	if b.swapped {
		b.narrow, b.beside, b.swapped = b.beside, b.narrow, false
	}
}

// fail makes err the error of the next Read, where there is none yet.
func (b *Backend) fail(err error) {
	if err == nil || b.err != nil {
		return
	}
	b.err = memoryError(err)
}

// memoryError lets callers know the driver's lack of memory as that of any device.
func memoryError(err error) error {
	if errors.Is(err, driver.ErrMemory) && !errors.Is(err, tensor.ErrMemory) {
		return fmt.Errorf("%w: %w", tensor.ErrMemory, err)
	}
	return err
}

// blockSize is the threads of a block of most kernels.
const blockSize = 256

// launch appends a kernel with blocks of 256 threads.
func (b *Backend) launch(k *driver.Kernel, grid driver.Dim3, args ...driver.Arg) {
	b.list.Launch(k, grid, driver.Dim3{X: blockSize}, 0, args...)
}

// blocks returns how many blocks of size have n.
func blocks(n, size int) int { return (n + size - 1) / size }

// stage copies x to the staging buffer and returns where it will be on the device, null where x is empty.
func stage[T any](b *Backend, x []T) driver.Address {
	if len(x) == 0 {
		return 0
	}
	at, to := b.list.Stage(len(x)*int(unsafe.Sizeof(x[0])), 16)
	copy(to, bytesOf(x))
	return at
}

// buffer is memory of the device that kernels need beside their operands. It grows, and is used by one kernel after the other.
type buffer struct {
	at    driver.Address
	bytes int
}

// room returns the buffer's address with room for n bytes; !ok where the device has none, which the next Read tells.
func (b *Backend) room(f *buffer, n int) (at driver.Address, ok bool) {
	if n <= f.bytes {
		return f.at, true
	}
	grown := n + n/4
	at, err := b.device.Alloc(grown)
	if err != nil { // all of it, then, but no more
		grown = n
		if at, err = b.device.Alloc(grown); err != nil {
			b.fail(err)
			return 0, false
		}
	}
	if f.bytes > 0 {
		b.device.Free(f.at)
	}
	if f == &b.narrow {
		b.copied = copied{}
	}
	f.at, f.bytes = at, grown
	return at, true
}

// copied says that the buffer of narrow rows holds n numbers from an address on in a format of 16 bits.
type copied struct {
	from  uintptr
	n     int
	dtype tensor.DType
}

// wrote is told of what each kernel writes: a copy of it is of no use any more.
func (b *Backend) wrote(y tensor.Mat) {
	b.wroteShort(y)
	c := b.copied
	if c.n > 0 && y.Dev < c.from+uintptr(4*c.n) && c.from < y.Dev+uintptr(4*y.Rows*y.Cols) {
		b.copied = copied{}
	}
}

// narrowRows are where rows are left in a format of 16 bits; the zero value stands for nowhere.
type narrowRows struct {
	at    driver.Address
	dtype tensor.DType
}

// args returns what kernels are told of them: the address and the format.
func (n narrowRows) args() (at, dtype driver.Arg) { return driver.Pointer(n.at), format(n.dtype) }

// copyRoom returns where a kernel that writes y may leave it in 16 bits too for the product that follows, nowhere where none is to be
// expected. The kernel must not read the buffer.
func (b *Backend) copyRoom(y tensor.Mat) narrowRows {
	b.copied = copied{}
	if b.narrows == tensor.F32 {
		return narrowRows{}
	}
	at, ok := b.room(&b.narrow, 2*y.Rows*y.Cols)
	if !ok {
		return narrowRows{}
	}
	b.copied = copied{y.Dev, y.Rows * y.Cols, b.narrows}
	return narrowRows{at, b.narrows}
}

// copyOf returns where there is a copy of x in 16 bits.
func (b *Backend) copyOf(x tensor.Mat) (rows narrowRows, ok bool) {
	c := b.copied
	if c.n == 0 || x.Dev < c.from || x.Dev+uintptr(4*x.Rows*x.Cols) > c.from+uintptr(4*c.n) {
		return narrowRows{}, false
	}
	return narrowRows{b.narrow.at + driver.Address(x.Dev-c.from)/2, c.dtype}, true
}

// narrowed returns x in a format of 16 bits.
func (b *Backend) narrowed(x tensor.Mat, dtype tensor.DType) (at driver.Address, ok bool) {
	n := x.Rows * x.Cols
	if s, short := b.shortOf(x); short && s.dtype == dtype {
		return s.at, true
	}
	if c, ok := b.copyOf(x); ok && c.dtype == dtype {
		return c.at, true
	}
	if at, ok = b.room(&b.narrow, 2*n); !ok {
		return 0, false
	}
	b.finish(finished{copy: narrowRows{at, dtype}, x: x})
	b.copied = copied{x.Dev, n, dtype}
	return at, true
}
