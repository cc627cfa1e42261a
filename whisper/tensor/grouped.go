package tensor

// RowGroup is what rows From:To of a linear pass in the place of its weight and bias, and what stands beside it.
type RowGroup struct {
	From, To int
	Weight   Packed       // nil: the linear's
	Update   PackedUpdate // not nil: Weight, which [Mixer.NewMixed] has made of the linear's, is that update of it first
	Bias     Mat
	Scales   Scales     // Row and Low begin with row From
	Low      []*LowRank // nil: none
}

// GroupedLinear is implemented by a backend that is the faster for being told of all rows of a linear at once, which pass
// different weights.
type GroupedLinear interface {
	Mixer

	// GroupedLinear computes for the rows of each group what LowRankLinear does, or ScaledLinear or Linear, and with gelu GELU of that, or
	// with add adds it to them. w is the linear's weight. A weight may be made anew for a later group, after those before have passed it.
	GroupedLinear(y, x Mat, w Packed, groups []RowGroup, gelu, add bool)
}

// GroupedLinearTo computes into y (nRow, nOut) what [GroupedLinear] does, by the backend, which has it, for x (nRow, nIn) and a packed weight.
// It is not differentiable.
func (o *Ops) GroupedLinearTo(y, x Mat, w *Weight, groups []RowGroup, gelu, add bool) {
	if gelu && add {
		fail("GELU of a linear that is added to rows")
	}
	for i := range groups {
		g := &groups[i]
		if g.From < 0 || g.From > g.To || g.To > x.Rows {
			fail("a group of rows %d:%d, of %d", g.From, g.To, x.Rows)
		}
		o.checkLinearTo(y.Slice(g.From, g.To), x.Slice(g.From, g.To), w, g.Bias, g.Scales, g.Low)
	}
	if x.Rows > 0 && !o.idle {
		o.backend.(GroupedLinear).GroupedLinear(y, x, w.Packed, groups, gelu, add)
	}
}
