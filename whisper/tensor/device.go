package tensor

import (
	"errors"
	"time"
)

// ErrMemory is wrapped by the error of what a device has no memory for. Nothing else is lost by it: what
// was computed before stays, and less at a time may do.
var ErrMemory = errors.New("tensor: out of device memory")

// Device is implemented by a backend whose kernels compute in memory of its own. Their operands have Dev,
// the address of their first number there, and 0 of a zero Mat alone; one that has nothing but Data is a
// programmer's fault, and panics with a clear message. Where a matrix has both, Dev counts: Data then is a
// copy for the host, as parameters have it. What is packed comes from the host: Pack, PackBalanced,
// PackLowRank and PackUpdate read Data.
//
// Kernels, and the methods here, take effect in the order in which they are called, by whatever
// goroutines, but may do so later: a call may return before it has read or written a number. Slices that
// are not numbers (row, id, segments, keys and values, pages, low) are read before it returns, and may be
// changed then. Read waits. The results do not depend on when that is.
//
// A kernel never touches memory outside its operands, and addresses come from the host alone, so that
// kernels may run on numbers that are of no use.
//
// A Device should be a [Chooser] too, of the host's kernels: unless it is a [Picker], logits are read before
// tokens are chosen.
type Device interface {
	Backend

	// Alloc returns the address of memory for n numbers, n > 0, of unspecified values, at a multiple of 256
	// bytes. The error wraps ErrMemory; nothing has changed then. It must be cheap where as much was freed
	// before.
	Alloc(n int) (address uintptr, err error)

	// Free takes memory back that Alloc returned, in the order of kernels: those that were called before may
	// still use it. Any goroutine may call it, that of a cleanup included.
	Free(address uintptr)

	// Write copies data to m, which has as many numbers, in the order of kernels. data may change when it has
	// returned.
	Write(m Mat, data []float32)

	// Read waits for all kernels that were called before, and copies m to data, which has as many numbers; both
	// may have none. The error is that of the device since the last Read. Where it wraps ErrMemory, a kernel had
	// no room for what it needs beside its operands: what that kernel writes is unspecified, and all else was
	// done. Any other fault is for good, and returned by every Read from then on.
	Read(data []float32, m Mat) error

	// Copy computes y = x, of as many numbers. The two do not overlap.
	Copy(y, x Mat)

	// Zero computes y = 0.
	Zero(y Mat)

	// CopyRows copies row i of x to the address to[i]: rows of x.Cols numbers, anywhere in memory of Alloc, that
	// overlap neither each other nor x.
	CopyRows(to []uintptr, x Mat)

	// MemoryInfo returns the bytes of the device's memory, and how many of them are free.
	MemoryInfo() (free, total int64)
}

// PageRows is the number of rows of keys, and of values, in a page of [PagedKV].
const PageRows = 64

// PagedKV are keys and values (Rows, Cols) in pages of a device's memory, which sequences with the same
// beginning may share. Key i is the row of Cols numbers at
//
//	Page[i/PageRows] + Keys + 4 Cols (i mod PageRows)
//
// and value i that with Values in the place of Keys. The last page may have room for rows that are not
// there yet, and hold anything in it. The zero value stands for none.
type PagedKV struct {
	Rows, Cols   int
	Page         []uintptr
	Keys, Values uintptr // bytes from the beginning of a page
}

// Freer is implemented by what was packed for a device and is given back before it is collected.
type Freer interface {
	// Free gives the memory back, in the order of kernels: see [Device.Free]. What is freed must not be used
	// any more. Further calls do nothing.
	Free()
}

// Free gives back the memory of what a backend has packed, where that is a device: a [Packed],
// [PackedLowRank] or [PackedUpdate], or nil.
func Free(packed any) {
	if f, ok := packed.(Freer); ok {
		f.Free()
	}
}

// Timing is what the kernels, products or copies of one name took on a device.
type Timing struct {
	Name  string // of the kernel; or a product with its sizes, a copy, a set
	Calls int
	Time  time.Duration // of all calls, by the device's own clock
}

// Profiler is implemented by a [Device] that times each of its operations.
type Profiler interface {
	// Profile starts to time every operation by itself, with which all takes longer, or ends it.
	Profile(on bool) error

	// Timings returns what was timed since Profile began, the longest time first.
	Timings() ([]Timing, error)
}
