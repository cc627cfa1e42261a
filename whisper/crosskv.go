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
	memory []float32 // of all layers, where it was kept
}

// rows returns the number of the encoder's rows.
func (c *CrossKV) rows() int { return c.layer[0].Rows() }

// each calls f with the numbers of every layer's parts.
func (c *CrossKV) each(f func(data *[]float32)) {
	for i := range c.layer {
		l := &c.layer[i]
		for _, data := range []*[]float32{&l.K.Data, &l.V.Data, &l.Packed.Data} {
			if *data != nil {
				f(data)
			}
		}
	}
}

// CrossPool has the memory of keys and values that are needed no longer, for others: it holds as
// many as were kept at the same time. It is not safe for concurrent use.
type CrossPool struct{ free [][]float32 }

// Len returns the number of keys and values that there is memory of.
func (p *CrossPool) Len() int { return len(p.free) }

// Trim gives back the memory that the pool holds.
func (p *CrossPool) Trim() { p.free = nil }

// Keep copies keys and values out of the arena that they were computed in.
func (p *CrossPool) Keep(c *CrossKV) *CrossKV {
	n := 0
	c.each(func(data *[]float32) { n += roundToLine(len(*data)) })
	kept := &CrossKV{layer: slices.Clone(c.layer), memory: p.take(n)}
	rest := kept.memory
	kept.each(func(data *[]float32) {
		n := len(*data)
		copy(rest, *data)
		*data, rest = rest[:n:n], rest[roundToLine(n):]
	})
	return kept
}

// roundToLine returns n, the numbers of a part, rounded up to whole cache lines, at which each part begins.
func roundToLine(n int) int {
	const line = 16 // numbers in a cache line
	return (n + line - 1) / line * line
}

// Free takes the memory of kept keys and values back. They must not be used afterwards, nor freed
// again.
func (p *CrossPool) Free(c *CrossKV) {
	i, _ := slices.BinarySearchFunc(p.free, c.memory, bySize)
	p.free = slices.Insert(p.free, i, c.memory)
	c.layer, c.memory = nil, nil
}

func bySize(a, b []float32) int { return cmp.Compare(len(a), len(b)) }

// take returns n numbers or more: the least that is enough. Where none is, the least of all makes
// room for new ones.
func (p *CrossPool) take(n int) []float32 {
	i := slices.IndexFunc(p.free, func(m []float32) bool { return len(m) >= n })
	if i >= 0 {
		m := p.free[i]
		p.free = slices.Delete(p.free, i, i+1)
		return m
	}
	if len(p.free) > 0 {
		p.free = slices.Delete(p.free, 0, 1)
	}
	return tensor.Aligned(n)
}
