//go:build cuda && linux

package cuda

import (
	"slices"

	"glossa/whisper/tensor"
)

// GroupedLinear computes the rows of each group as a linear of their own, but what may be left in 16 bits of many rows is one matrix that is,
// and the weights of groups that follow each other are made together.
func (b *Backend) GroupedLinear(y, x tensor.Mat, w tensor.Packed, groups []tensor.RowGroup, gelu, add bool) {
	b.mu.Lock()
	defer b.end()
	all := linearCall{y: y, x: x, w: w.(*packed), gelu: gelu, add: add}
	leaves := b.leaves(&all)
	if leaves {
		b.flush()
		b.leave(y, all.w.dtype)
	}
	for len(groups) > 0 {
		n := b.mixAhead(all.w, groups)
		for i := range groups[:n] {
			b.group(all, &groups[i], leaves)
		}
		groups = groups[n:]
	}
}

// group appends the linear of a group, whose rows of y are those of a matrix that is left in 16 bits, or none that is.
func (b *Backend) group(all linearCall, g *tensor.RowGroup, left bool) {
	if g.From == g.To || all.w.nOut == 0 {
		return
	}
	c := all
	c.y, c.x = all.y.Slice(g.From, g.To), all.x.Slice(g.From, g.To)
	c.bias, c.scales, c.low = g.Bias, g.Scales, g.Low
	if g.Weight != nil {
		c.w = g.Weight.(*packed)
	}
	if left {
		c.left, _ = b.shortOf(c.y)
	}
	if all.y.Rows >= manyRows || !b.few(&c) { // of many, the rows of a group may be in 16 bits
		b.many(&c)
	}
}

// mixAhead appends the updates of w for the first n groups: up to one whose weight is made where one of theirs is.
func (b *Backend) mixAhead(w *packed, groups []tensor.RowGroup) (n int) {
	updates := b.mixing[:0]
	for n = 0; n < len(groups); n++ {
		g := &groups[n]
		if g.Update == nil {
			continue
		}
		if slices.ContainsFunc(groups[:n], func(before tensor.RowGroup) bool { return before.Weight == g.Weight }) {
			break
		}
		updates = append(updates, g.Update.(*update).into(g.Weight.(*packed).at))
	}
	if b.mixing = updates; len(updates) > 0 {
		b.flush() // what waits may be for a weight that is made anew
		b.mix(w, updates)
	}
	return n
}
