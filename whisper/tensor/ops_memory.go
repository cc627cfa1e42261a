package tensor

import (
	"errors"
	"fmt"
	"slices"
)

// ErrDevice is wrapped by the errors that [Ops.Read] returns for a fault of the device.
var ErrDevice = errors.New("tensor: device fault")

// Reset takes back every matrix made since the last Reset, and ends the tape. Where there was no memory for
// one, what the arena holds is given back, and operations compute again.
func (o *Ops) Reset() {
	o.discard(mark{})
	o.arena.reset()
	clear(o.tape)
	o.tape = o.tape[:0]
	o.recording = false
	if o.idle {
		o.arena.free()
		o.idle, o.backend, o.err = false, o.own, nil
		o.gradients, _ = o.own.(Gradients)
	}
}

// Free gives back the memory that the arena holds of a device; every matrix of it is of no more use.
func (o *Ops) Free() {
	o.Reset()
	o.arena.free()
}

// Scope returns the result of f and takes back whatever else f made, so that a deep network holds
// the memory of one layer. With a tape on, it takes nothing back. A result that was made before stays where it is.
func (o *Ops) Scope(f func() Mat) Mat {
	if o.recording {
		return f()
	}
	m := o.arena.mark()
	y := f()
	if !o.arena.since(m, y) {
		o.discard(m)
		o.arena.release(m)
		return y
	}
	if o.device != nil {
		return o.keep(y, m)
	}
	o.arena.release(m)
	kept := o.New(y.Rows, y.Cols)
	copy(kept.Data, y.Data) // the two may overlap, which copy allows
	return kept
}

// discard tells a device that nothing of what was made since m is read any more.
func (o *Ops) discard(m mark) {
	if d, ok := o.own.(Discarder); ok && o.device != nil && !o.idle {
		o.arena.eachSince(m, d.Discard)
	}
}

// keep takes back what was made since m, but for y, on a device.
func (o *Ops) keep(y Mat, m mark) Mat {
	n := y.Rows * y.Cols
	if n == 0 {
		o.arena.release(m)
		return Mat{Rows: y.Rows, Cols: y.Cols, Dev: y.Dev}
	}
	end := o.arena.mark()
	o.arena.release(m)
	kept := o.New(y.Rows, y.Cols)
	switch size := uintptr(4 * n); {
	case kept.Dev == y.Dev:
	case kept.Dev+size <= y.Dev || y.Dev+size <= kept.Dev:
		o.CopyTo(kept, y)
	default: // by way of memory behind y
		after := o.arena.mark()
		o.arena.release(end)
		between := o.New(y.Rows, y.Cols)
		o.CopyTo(between, y)
		o.CopyTo(kept, between)
		o.arena.release(after)
	}
	return kept
}

// Bytes returns the memory that the arena holds.
func (o *Ops) Bytes() int { return o.arena.bytes() }

// New returns a matrix (rows, cols) of unspecified values from the arena.
func (o *Ops) New(rows, cols int) Mat {
	m := o.take(rows * cols)
	m.Rows, m.Cols = rows, cols
	return m
}

// take returns n numbers of unspecified value from the arena, as one row. Where there is no memory for them,
// they are nowhere, and so is the result of all operations until Reset.
func (o *Ops) take(n int) Mat {
	if !o.idle {
		m, err := o.arena.take(n)
		if err == nil {
			return m
		}
		o.Fail(err)
	}
	return Mat{Rows: 1, Cols: n, Dev: nowhere}
}

// Alloc returns memory that outlives the arena. Where there is none, that is an error of Read, and the result is as
// if freed.
func (o *Ops) Alloc(n int) *Memory {
	if !o.idle {
		m, err := NewMemory(o.own, n)
		if err == nil {
			return m
		}
		o.Fail(err)
	}
	return &Memory{n: n, device: o.device, address: nowhere}
}

// Fail makes err the error of the next Read, where there is none before it. It is for what is computed outside
// of the operations. After an ErrMemory nothing more is computed until Reset.
func (o *Ops) Fail(err error) {
	if o.err == nil {
		o.err = err
	}
	if o.device != nil && !o.idle && errors.Is(err, ErrMemory) {
		o.idle, o.backend = true, idle{o.own}
		if o.gradients != nil {
			o.gradients = idle{o.own}
		}
	}
}

// fault returns the first error since the last call; one of memory stays until Reset.
func (o *Ops) fault() error {
	err := o.err
	switch {
	case err == nil:
		return nil
	case o.idle:
		return err
	}
	o.err = nil
	if errors.Is(err, ErrDevice) || errors.Is(err, ErrMemory) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDevice, err)
}

// Upload returns a copy of data as a matrix (rows, cols).
func (o *Ops) Upload(rows, cols int, data []float32) Mat {
	m := o.New(rows, cols)
	if len(data) != rows*cols {
		fail("upload of %d numbers as (%d, %d)", len(data), rows, cols)
	}
	o.write(m, data)
	return m
}

// UploadParts is [Ops.Upload] of data that lies in parts, one after the other, each of whole rows.
func (o *Ops) UploadParts(rows, cols int, parts [][]float32) Mat {
	m := o.New(rows, cols)
	at := 0
	for _, p := range parts {
		n := 0
		if cols > 0 {
			n = len(p) / cols
		}
		if len(p) != n*cols || at+n > rows {
			fail("part of %d numbers at row %d of an upload (%d, %d)", len(p), at, rows, cols)
		}
		o.write(m.Slice(at, at+n), p)
		at += n
	}
	if at != rows {
		fail("upload of %d rows as (%d, %d)", at, rows, cols)
	}
	return m
}

// Operand returns data as a matrix (rows, cols) to be read until the next Reset: over data itself where the
// backend computes in host memory, and a copy on a device.
func (o *Ops) Operand(rows, cols int, data []float32) Mat {
	if o.device == nil {
		return NewMat(rows, cols, data)
	}
	return o.Upload(rows, cols, data)
}

// write copies data to m.
func (o *Ops) write(m Mat, data []float32) {
	switch {
	case o.device == nil:
		copy(m.Data, data)
	case !o.idle && len(data) > 0:
		o.device.Write(m, data)
	}
}

// Read copies m to dst and returns the first error of the device since the last Read. Kernels
// return none, so that model code stays an expression; the first failure comes out here. Where the error wraps
// [ErrMemory], the matrices made since Reset are of no use, and nothing else is.
func (o *Ops) Read(dst []float32, m Mat) error {
	if len(dst) != m.Rows*m.Cols {
		fail("read of (%d, %d) into %d numbers", m.Rows, m.Cols, len(dst))
	}
	if err := o.fault(); err != nil {
		return err
	}
	if o.device == nil {
		copy(dst, m.Data)
		return nil
	}
	return deviceError(o.device.Read(dst, m))
}

// deviceError returns an error of the device, of which one of memory is no fault.
func deviceError(err error) error {
	if err == nil || errors.Is(err, ErrMemory) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDevice, err)
}

// View is [Ops.Read] without the copy where the backend computes in host memory: m's own numbers,
// which the caller may change. Elsewhere it reads into buffer, which it grows.
func (o *Ops) View(m Mat, buffer *[]float32) ([]float32, error) {
	if o.device == nil {
		return m.Data, o.fault()
	}
	n := m.Rows * m.Cols
	*buffer = slices.Grow((*buffer)[:0], n)[:n]
	return *buffer, o.Read(*buffer, m)
}

// Host returns m for the host to read: m itself where the backend computes in host memory, else a copy. Where
// the device is at fault that is of zeros, and the error that of the next Read.
func (o *Ops) Host(m Mat) Mat {
	if o.device == nil || m.IsZero() {
		return m
	}
	y := Zeros(m.Rows, m.Cols)
	if err := o.Read(y.Data, m); err != nil {
		clear(y.Data)
		o.Fail(err)
	}
	return y
}

// Send makes a device's numbers of m what the host's are, and Fetch the other way round, for a matrix with
// both: see [Place]. On others they do nothing.
func (o *Ops) Send(m Mat) {
	if o.device != nil && m.Dev != 0 && len(m.Data) > 0 {
		o.write(m, m.Data)
	}
}

// Fetch is the other way of [Ops.Send]. The error is that of Read.
func (o *Ops) Fetch(m Mat) error {
	if o.device == nil || m.Dev == 0 || len(m.Data) == 0 {
		return nil
	}
	return o.Read(m.Data, m)
}

// CopyTo computes y = x, which do not overlap. It is not differentiable.
func (o *Ops) CopyTo(y, x Mat) {
	checkShape("copy", y, x.Rows, x.Cols)
	switch {
	case o.device == nil:
		copy(y.Data, x.Data)
	case !o.idle && x.Rows*x.Cols > 0:
		o.device.Copy(y, x)
	}
}

// CopyRows copies row i of x to the address to[i] of a device.
func (o *Ops) CopyRows(to []uintptr, x Mat) {
	if len(to) != x.Rows {
		fail("%d rows to %d addresses", x.Rows, len(to))
	}
	if !o.idle && x.Rows > 0 {
		o.device.CopyRows(to, x)
	}
}
