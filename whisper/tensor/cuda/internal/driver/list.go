//go:build cuda && linux

package driver

import (
	"fmt"
	"math"
)

// Address is a place in the memory of a device; 0 is none.
type Address uintptr

// Dim3 is the extent of a grid in blocks, or of a block in threads. A Y or Z of 0 stands for 1.
type Dim3 struct{ X, Y, Z int }

// Arg is one argument of a kernel. Make it by Pointer, Int32, Int64 or Float32.
type Arg struct {
	bits uint64
	kind paramKind
}

// Pointer is an argument of the type "pointer to device memory".
func Pointer(a Address) Arg { return Arg{uint64(a), param64} }

// Int32 is an argument of the types int and unsigned; v must fit into one of them.
func Int32(v int) Arg {
	if v < math.MinInt32 || v > math.MaxUint32 {
		panic(fmt.Sprintf("cuda: argument %d does not fit into 32 bits", v))
	}
	return Arg{uint64(uint32(v)), param32}
}

// Int64 is an argument of the types long long and unsigned long long.
func Int64(v int64) Arg { return Arg{uint64(v), param64} }

// Float32 is an argument of the type float.
func Float32(v float32) Arg { return Arg{uint64(math.Float32bits(v)), paramFloat} }

// List is work that waits for Device.Run, in order. Its methods call no driver and, once it has reached its size, allocate
// nothing. A list is used by one goroutine at a time.
type List struct {
	device *Device
	words  []uint64 // operations, as operation.h has them
	n      int      // operations
	stage  staging
	err    error // the first failure of Stage

	// guarded by device.mu where another goroutine looks
	waits bool   // whether there is an operation
	since uint64 // the number of frees of the device when the first came; see pool.release
}

// NewList returns an empty list for work on the device. Close frees what it holds.
func (d *Device) NewList() *List {
	l := &List{device: d}
	d.mu.Lock()
	d.lists[l] = struct{}{}
	d.mu.Unlock()
	return l
}

// Len returns the number of launches, products and copies in the list.
func (l *List) Len() int { return l.n }

// Reset empties the list: what was in it is not run.
func (l *List) Reset() {
	l.clear()
	l.stage.reset()
	l.err = nil
}

// clear drops the operations.
func (l *List) clear() {
	l.words, l.n = l.words[:0], 0
	l.device.mu.Lock()
	l.waits = false
	l.device.mu.Unlock()
}

// Launch adds one launch of a kernel, with shared bytes of dynamic shared memory for each block. It panics where the arguments are
// not those of the kernel: number, size, and integer or float.
func (l *List) Launch(k *Kernel, grid, block Dim3, shared int, args ...Arg) {
	grid, block = grid.full(), block.full()
	k.check(grid, block, shared, args)
	w := l.begin(opLaunch|uint64(len(args))<<8, 5+len(args))
	w[1] = k.function
	w[2] = uint64(grid.X) | uint64(grid.Y)<<32
	w[3] = uint64(grid.Z) | uint64(block.X)<<32
	w[4] = uint64(block.Y) | uint64(block.Z)<<32
	w[5] = uint64(shared)
	if k.early {
		w[5] |= 1 << 32
	}
	for i, a := range args {
		w[6+i] = a.bits
	}
}

// CopyDevice adds a copy of bytes from one place of the device's memory to another; they must not overlap.
func (l *List) CopyDevice(to, from Address, bytes int) {
	if bytes <= 0 {
		return
	}
	w := l.begin(opCopy, 3)
	w[1], w[2], w[3] = uint64(to), uint64(from), uint64(bytes)
}

// Set adds an operation that sets every one of bytes bytes to value.
func (l *List) Set(to Address, value byte, bytes int) {
	if bytes <= 0 {
		return
	}
	w := l.begin(opSet|uint64(value)<<8, 2)
	w[1], w[2] = uint64(to), uint64(bytes)
}

// Hold keeps memory that is freed from now on as if the list had an operation that names it, until the list is run.
func (l *List) Hold() {
	if !l.waits {
		l.device.mu.Lock()
		l.waits, l.since = true, l.device.pool.frees
		l.device.mu.Unlock()
	}
}

// begin adds an operation: its first word, and n words that the caller fills.
func (l *List) begin(first uint64, n int) []uint64 {
	l.Hold()
	at := len(l.words)
	l.words = append(l.words, first)
	for range n {
		l.words = append(l.words, 0)
	}
	l.n++
	return l.words[at:]
}

func (d Dim3) full() Dim3 {
	if d.Y == 0 {
		d.Y = 1
	}
	if d.Z == 0 {
		d.Z = 1
	}
	return d
}

// The kinds of operations, in the low byte of their first word; operation.h has the layout of the others.
const (
	opLaunch = iota + 1
	opGemm
	opCopy
	opSet
	opBiased
)
