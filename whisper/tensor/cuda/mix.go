//go:build cuda && linux

package cuda

import (
	"fmt"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

// update is an Update on the device, in float32.
type update struct {
	held
	entry mixEntry // without to
}

// mixEntry is mix_update of mix.cu: an update of a weight, and where it is written.
type mixEntry struct {
	to, a, b, u, v    driver.Address // a, b, u and v are 0 where they are absent
	terms, rank, base int32
}

// into returns the update that is written to an address.
func (u *update) into(to driver.Address) mixEntry {
	e := u.entry
	e.to = to
	return e
}

// PackUpdate copies an update in host memory to the device. The error wraps [tensor.ErrMemory].
func (b *Backend) PackUpdate(u tensor.Update, nOut, nIn int) (tensor.PackedUpdate, error) {
	p := &update{}
	e := &p.entry
	e.terms, e.rank = int32(max(u.A.Rows, u.B.Rows)), int32(u.V.Rows)
	if u.Base {
		e.base = 1
	}
	var whole []byte
	parts := []tensor.Mat{u.A, u.B, u.U, u.V}
	at := make([]int, len(parts))
	for i, m := range parts {
		at[i] = -1
		if m.IsZero() {
			continue
		}
		for len(whole)%256 != 0 {
			whole = append(whole, 0)
		}
		at[i] = len(whole)
		whole = append(whole, bytesOf(hostNumbers("part of an update", m))...)
	}
	if err := b.hold(&p.held, len(whole)); err != nil {
		return nil, err
	}
	for i, to := range []*driver.Address{&e.a, &e.b, &e.u, &e.v} {
		if at[i] >= 0 {
			*to = p.at + driver.Address(at[i])
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.fill(&p.held, 0, whole); err != nil {
		p.Free()
		return nil, err
	}
	return p, nil
}

// NewMixed returns memory for an update of w. The error wraps [tensor.ErrMemory].
func (b *Backend) NewMixed(w tensor.Packed) (tensor.Packed, error) {
	nOut, nIn := w.Shape()
	p, err := b.newPacked(nOut, nIn, w.DType())
	if err != nil {
		return nil, fmt.Errorf("memory for an update of (%d, %d): %w", nOut, nIn, err)
	}
	return p, nil
}

// Mix writes the update of w to dst.
func (b *Backend) Mix(dst, w tensor.Packed, u tensor.PackedUpdate) {
	b.begin()
	defer b.end()
	b.mixing = append(b.mixing[:0], u.(*update).into(dst.(*packed).at))
	b.mix(w.(*packed), b.mixing)
}

// mixRows are the rows that a thread of mix.cu has, mixThreads the threads of a block.
const mixRows, mixThreads = 4, 128

// mix appends updates of a weight, as one launch.
func (b *Backend) mix(w *packed, updates []mixEntry) {
	if w.nOut*w.nIn == 0 {
		return
	}
	k := b.k.mixF32
	switch w.dtype {
	case tensor.BF16:
		k = b.k.mixBF16
	case tensor.F16:
		k = b.k.mixF16
	}
	width := 16 / typeOf(w.dtype).Bytes()
	wide := w.nIn%width == 0 && aligned(uintptr(w.at))
	for i := range updates {
		e := &updates[i]
		wide = wide && aligned(uintptr(e.to), uintptr(e.b), uintptr(e.v))
	}
	if !wide {
		width = 1
	}
	threads := blocks(w.nOut, mixRows) * (w.nIn / width)
	b.list.Launch(k, driver.Dim3{X: blocks(threads, mixThreads), Y: 1, Z: len(updates)}, driver.Dim3{X: mixThreads}, 0, driver.Pointer(w.at),
		driver.Pointer(stage(b, updates)), driver.Int32(w.nOut), driver.Int32(w.nIn), truth(wide))
}
