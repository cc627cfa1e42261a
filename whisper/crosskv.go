package whisper

import (
	"cmp"
	"slices"

	"glossa/whisper/tensor"
)

// CrossKV holds the cross-attention keys and values of one utterance, (nFrame, nState) for each
// layer of the decoder. All hypotheses of the utterance read it.
type CrossKV struct {
	layer  []tensor.KeyValue
	memory *tensor.Memory // of all layers, where it was kept
}

// rows returns the number of the encoder's rows.
func (c *CrossKV) rows() int { return c.layer[0].Rows() }

// each calls f with the numbers of every layer's parts, which f may replace.
func (c *CrossKV) each(o *tensor.Ops, f func(m *tensor.Mat)) {
	for i := range c.layer {
		l := &c.layer[i]
		if l.Packed.IsZero() {
			f(&l.K)
			f(&l.V)
			continue
		}
		m := o.PackedNumbers(l.Packed)
		f(&m)
		l.Packed.Data, l.Packed.Dev = m.Data, m.Dev
	}
}

// CrossPool has the memory of keys and values that are needed no longer, for others: it holds as
// many as were kept at the same time. It is not safe for concurrent use.
type CrossPool struct{ free []*tensor.Memory }

// Len returns the number of keys and values that there is memory of.
func (p *CrossPool) Len() int { return len(p.free) }

// Trim gives back the memory that no keys and values are in.
func (p *CrossPool) Trim() {
	for _, m := range p.free {
		m.Free()
	}
	p.free = nil
}

// Keep copies keys and values out of the arena of o, in which they were computed. Where a device has no memory for
// them, that is an error of the next Read, and they are of no use.
func (p *CrossPool) Keep(o *tensor.Ops, c *CrossKV) *CrossKV {
	n := 0
	c.each(o, func(m *tensor.Mat) { n += roundToLine(m.Rows * m.Cols) })
	kept := &CrossKV{layer: slices.Clone(c.layer), memory: p.take(o, n)}
	at := 0
	kept.each(o, func(m *tensor.Mat) {
		to := kept.memory.Mat(at, m.Rows, m.Cols)
		o.CopyTo(to, *m)
		*m, at = to, at+roundToLine(m.Rows*m.Cols)
	})
	return kept
}

// roundToLine returns n, the numbers of a part, rounded up to where parts begin: at cache lines of the host, and 256
// bytes of a device.
func roundToLine(n int) int {
	const line = 64 // numbers
	return (n + line - 1) / line * line
}

// Free takes the memory of kept keys and values back. They must not be used afterwards, nor freed
// again.
func (p *CrossPool) Free(c *CrossKV) {
	if !c.memory.Lacks() {
		i, _ := slices.BinarySearchFunc(p.free, c.memory, bySize)
		p.free = slices.Insert(p.free, i, c.memory)
	}
	c.layer, c.memory = nil, nil
}

func bySize(a, b *tensor.Memory) int { return cmp.Compare(a.Len(), b.Len()) }

// take returns n numbers or more: the least that is enough. Where none is, the least of all makes
// room for new ones, and all where a device has no memory.
func (p *CrossPool) take(o *tensor.Ops, n int) *tensor.Memory {
	i := slices.IndexFunc(p.free, func(m *tensor.Memory) bool { return m.Len() >= n })
	if i >= 0 {
		m := p.free[i]
		p.free = slices.Delete(p.free, i, i+1)
		return m
	}
	if len(p.free) > 0 {
		p.free[0].Free()
		p.free = slices.Delete(p.free, 0, 1)
	}
	m, err := tensor.NewMemory(o.Backend(), n)
	if err == nil {
		return m
	}
	p.Trim()
	return o.Alloc(n)
}

// freeAll takes back keys and values that are of no use.
func (p *CrossPool) freeAll(cs []*CrossKV) {
	for _, c := range cs {
		p.Free(c)
	}
}
