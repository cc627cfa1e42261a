package tensor

import "runtime"

// Memory is room for numbers that outlives the arena: on the host a slice, on a [Device] an address. It is
// given back by Free, or when it is collected.
type Memory struct {
	n       int
	data    []float32
	device  Device // nil: the host
	address uintptr
	cleanup runtime.Cleanup
}

// NewMemory returns room for n numbers of b, zeros on the host and unspecified on a device, which begins at
// a cache line. The error wraps [ErrMemory].
func NewMemory(b Backend, n int) (*Memory, error) {
	d, ok := b.(Device)
	if !ok {
		return &Memory{n: n, data: Aligned(n)}, nil
	}
	address, err := d.Alloc(max(n, 1))
	if err != nil {
		return nil, err
	}
	m := &Memory{n: n, device: d, address: address}
	m.cleanup = runtime.AddCleanup(m, d.Free, address)
	return m, nil
}

// Len returns the number of numbers.
func (m *Memory) Len() int { return m.n }

// Lacks reports whether there was none: see [Ops.Alloc].
func (m *Memory) Lacks() bool { return m.address == nowhere }

// Address returns where the memory is on a device, 0 on the host.
func (m *Memory) Address() uintptr { return m.address }

// Mat returns the numbers from the given one on as a matrix (rows, cols), which must not be used when the
// memory is given back.
func (m *Memory) Mat(from, rows, cols int) Mat {
	to := from + rows*cols
	if from < 0 || to > m.n {
		fail("numbers %d:%d of memory of %d", from, to, m.n)
	}
	if m.device == nil {
		return Mat{Rows: rows, Cols: cols, Data: m.data[from:to:to]}
	}
	return Mat{Rows: rows, Cols: cols, Dev: m.address + uintptr(4*from)}
}

// Free gives the memory back. Kernels that were called before may still use it. Further calls do nothing, as
// one on nil.
func (m *Memory) Free() {
	if m == nil || m.device == nil || m.address == 0 {
		return
	}
	if m.address != nowhere {
		m.cleanup.Stop()
		m.device.Free(m.address)
	}
	m.address = 0
}

// Place copies matrices to new memory of b: to[i] becomes from[i] there, the zero Mat where that is one. On
// a device each keeps the host's numbers too, and a host matrix without numbers is left out. The error wraps
// [ErrMemory]; to is unchanged then.
func Place(b Backend, to []*Mat, from []Mat) (*Memory, error) {
	n := 0
	for _, m := range from {
		n += roundUp(len(m.Data))
	}
	memory, err := NewMemory(b, n)
	if err != nil {
		return nil, err
	}
	at := 0
	for i, m := range from {
		if m.Data == nil {
			*to[i] = m
			continue
		}
		placed := memory.Mat(at, m.Rows, m.Cols)
		if memory.device == nil {
			copy(placed.Data, m.Data)
		} else {
			memory.device.Write(placed, m.Data)
			placed.Data = m.Data
		}
		placed.grad = m.grad
		*to[i] = placed
		at += roundUp(len(m.Data))
	}
	return memory, nil
}

// roundUp returns n rounded up to whole alignments.
func roundUp(n int) int { return (n + alignment - 1) / alignment * alignment }

// alignment is what matrices in one memory begin at a multiple of: 256 bytes.
const alignment = 256 / 4
