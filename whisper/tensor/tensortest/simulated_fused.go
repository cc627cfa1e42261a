package tensortest

import (
	"errors"
	"fmt"
	"slices"

	"glossa/whisper/tensor"
)

// Fused is a [Simulated] device with all the interfaces that a backend may have beside: by the host backend's, where
// it has one, and else by the operations that they are made of.
type Fused struct {
	*Simulated
	ops *tensor.Ops // over the host backend
}

// SimulateFused returns a device over a host backend that has gradients.
func SimulateFused(host tensor.Backend, o DeviceOptions) *Fused {
	return &Fused{Simulate(host, o), tensor.NewOps(host)}
}

var (
	_ tensor.Device         = (*Fused)(nil)
	_ tensor.Gradients      = (*Fused)(nil)
	_ tensor.KeyValuePacker = (*Fused)(nil)
	_ tensor.PackedEmbedder = (*Fused)(nil)
	_ tensor.GELULinear     = (*Fused)(nil)
	_ tensor.ScaledLinear   = (*Fused)(nil)
	_ tensor.ResidualLinear = (*Fused)(nil)
	_ tensor.LowRankLinear  = (*Fused)(nil)
	_ tensor.RowAdder       = (*Fused)(nil)
	_ tensor.GroupedLinear  = (*Fused)(nil)
	_ tensor.BalancedPacker = (*Fused)(nil)
	_ tensor.Picker         = (*Fused)(nil)
	_ tensor.Freer          = (*devicePacked)(nil)
	_ tensor.Freer          = (*deviceLowRank)(nil)
	_ tensor.Freer          = (*deviceUpdate)(nil)
)

// Pick chooses as the host does.
func (d *Fused) Pick(logits tensor.Mat, choices []tensor.Choice) error {
	var err error
	d.kernel(func(s *deviceState) func() {
		x := s.at(logits)
		return func() { err = d.ops.Pick(x, choices) }
	})
	return errors.Join(d.Read(nil, tensor.Mat{}), err)
}

// PackBalanced packs the host's numbers of w.
func (d *Fused) PackBalanced(w tensor.Mat, dtype tensor.DType, ranges []float32) (tensor.Packed, error) {
	return d.packed(w, func() (tensor.Packed, error) {
		if b, ok := d.host.(tensor.BalancedPacker); ok {
			return b.PackBalanced(w, dtype, ranges)
		}
		return d.host.Pack(w, dtype)
	})
}

// PackedKVSize returns the host backend's, or the numbers of plain keys and values.
func (d *Fused) PackedKVSize(nKey, nCol, nHead int, dtype tensor.DType) int {
	if p, ok := d.host.(tensor.KeyValuePacker); ok {
		return p.PackedKVSize(nKey, nCol, nHead, dtype)
	}
	return 2 * nKey * nCol
}

// Native returns the host backend's, or whether dtype is float32.
func (d *Fused) Native(dtype tensor.DType) bool {
	if p, ok := d.host.(tensor.KeyValuePacker); ok {
		return p.Native(dtype)
	}
	return dtype == tensor.F32
}

// hostPacked returns packed keys and values over the device's memory, for the host.
func (d *Fused) hostPacked(s *deviceState, p tensor.PackedKV) tensor.PackedKV {
	if p.Dev == 0 {
		panic("tensortest: packed keys and values of a device are in host memory")
	}
	n := d.PackedKVSize(p.Rows, p.Cols, p.NHead, p.DType)
	p.Data, p.Dev = s.numbers(p.Dev, n), 0
	return p
}

// plainKeyValue returns keys and values that were packed by a host backend without a layout.
func plainKeyValue(p tensor.PackedKV) tensor.KeyValue {
	n := p.Rows * p.Cols
	return tensor.KeyValue{K: tensor.NewMat(p.Rows, p.Cols, p.Data[:n]), V: tensor.NewMat(p.Rows, p.Cols, p.Data[n:2*n])}
}

// PackKeyValue lays keys and values out.
func (d *Fused) PackKeyValue(packed []tensor.PackedKV, kv []tensor.KeyValue) {
	d.kernel(func(s *deviceState) func() {
		to, kv := make([]tensor.PackedKV, len(packed)), s.atKeyValues(kv)
		for i, p := range packed {
			to[i] = d.hostPacked(s, p)
		}
		return func() {
			if p, ok := d.host.(tensor.KeyValuePacker); ok {
				p.PackKeyValue(to, kv)
				return
			}
			for i, p := range to {
				y := plainKeyValue(p)
				copy(y.K.Data, kv[i].K.Data)
				copy(y.V.Data, kv[i].V.Data)
			}
		}
	})
}

// UnpackKeys writes the keys to k.
func (d *Fused) UnpackKeys(k tensor.Mat, packed tensor.PackedKV) {
	d.kernel(func(s *deviceState) func() {
		k, packed := s.at(k), d.hostPacked(s, packed)
		return func() {
			if p, ok := d.host.(tensor.KeyValuePacker); ok {
				p.UnpackKeys(k, packed)
				return
			}
			copy(k.Data, plainKeyValue(packed).K.Data)
		}
	})
}

// Attention takes packed keys and values too.
func (d *Fused) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	_, native := d.host.(tensor.KeyValuePacker)
	d.attention(y, q, seg, kv, nHead, causal, func(s *deviceState, kv []tensor.KeyValue) []tensor.KeyValue {
		for i := range kv {
			if kv[i].Packed.IsZero() {
				continue
			}
			kv[i].Packed = d.hostPacked(s, kv[i].Packed)
			if !native {
				kv[i] = plainKeyValue(kv[i].Packed)
			}
		}
		return kv
	})
}

// EmbedPacked looks rows up.
func (d *Fused) EmbedPacked(y tensor.Mat, w tensor.Packed, id []int32) {
	p := packedOf(w)
	id = slices.Clone(id)
	d.run(func(m []tensor.Mat) {
		if e, ok := d.host.(tensor.PackedEmbedder); ok {
			e.EmbedPacked(m[0], p.Packed, id)
		} else {
			d.host.Embed(m[0], p.plain, id)
		}
	}, y)
}

// linear queues a linear of any form, with add one that is added to y.
func (d *Fused) linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu, add bool) {
	nOut, nIn := w.Shape()
	p := packedOf(w)
	s.Row = slices.Clone(s.Row)
	hostLow := hostLowRanks(low)
	d.run(func(m []tensor.Mat) {
		s.In, s.Out = m[3], m[4]
		weight := &tensor.Weight{Mat: tensor.Mat{Rows: nOut, Cols: nIn}, Packed: p.Packed}
		if add {
			d.ops.LinearAddTo(m[0], m[1], weight, m[2], s, hostLow)
		} else {
			d.ops.LinearTo(m[0], m[1], weight, m[2], s, hostLow, gelu)
		}
		d.ops.Reset()
	}, y, x, bias, s.In, s.Out)
}

// LinearGELU computes GELU of a linear.
func (d *Fused) LinearGELU(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	d.linear(y, x, w, bias, tensor.Scales{}, nil, true, false)
}

// ScaledLinear computes a linear between scales.
func (d *Fused) ScaledLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, gelu bool) {
	d.linear(y, x, w, bias, s, nil, gelu, false)
}

// deviceLowRank are factors that were packed for a simulated device.
type deviceLowRank struct {
	*tensor.LowRank // of the host backend
	claimed
}

// Free gives the room back.
func (l *deviceLowRank) Free() { l.claimed.Free() }

// claimed is memory of what is packed, but for weights.
type claimed struct {
	state *deviceState
	bytes int64
	freed bool
}

// Free gives the room back.
func (c *claimed) Free() {
	c.state.mu.Lock()
	defer c.state.mu.Unlock()
	if !c.freed {
		c.freed = true
		c.state.used -= c.bytes
	}
}

// claim takes room for what is packed.
func (d *Fused) claim(bytes int64) (claimed, error) {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	return claimed{state: d.state, bytes: bytes}, d.state.claim(bytes)
}

// hostLowRanks returns the host's form of factors.
func hostLowRanks(low []*tensor.LowRank) []*tensor.LowRank {
	if low == nil {
		return nil
	}
	host := make([]*tensor.LowRank, len(low))
	for i, l := range low {
		if l == nil {
			continue
		}
		p := l.Packed().(*deviceLowRank)
		if p.freed {
			panic("tensortest: factors are used after Free")
		}
		host[i] = p.LowRank
	}
	return host
}

// PackLowRank packs the host's numbers of factors.
func (d *Fused) PackLowRank(u, v, added tensor.Mat, dtype tensor.DType) (tensor.PackedLowRank, error) {
	l, err := tensor.NewLowRank(d.host, u, v, added, dtype)
	if err != nil {
		return nil, err
	}
	c, err := d.claim(l.Bytes())
	if err != nil {
		return nil, err
	}
	return &deviceLowRank{l, c}, nil
}

// LowRankLinear computes a linear with products of low rank beside it.
func (d *Fused) LowRankLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu bool) {
	d.linear(y, x, w, bias, s, low, gelu, false)
}

// LinearAdd adds a linear with all that stands beside it.
func (d *Fused) LinearAdd(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank) {
	d.linear(y, x, w, bias, s, low, false, true)
}

// GroupedLinear computes the linears of groups of rows, one after the other.
func (d *Fused) GroupedLinear(y, x tensor.Mat, w tensor.Packed, groups []tensor.RowGroup, gelu, add bool) {
	for _, g := range groups {
		weight := w
		if g.Weight != nil {
			weight = g.Weight
		}
		if g.Update != nil {
			d.Mix(weight, w, g.Update)
		}
		d.linear(y.Slice(g.From, g.To), x.Slice(g.From, g.To), weight, g.Bias, g.Scales, g.Low, gelu, add)
	}
}

// AddLowRank adds products of low rank.
func (d *Fused) AddLowRank(y, x tensor.Mat, low []*tensor.LowRank) {
	host := hostLowRanks(low)
	d.run(func(m []tensor.Mat) {
		d.ops.AddLowRankTo(m[0], m[1], host)
		d.ops.Reset()
	}, y, x)
}

// AddRows adds rows to chosen ones.
func (d *Fused) AddRows(y, x tensor.Mat, row []int32) {
	row = slices.Clone(row)
	d.run(func(m []tensor.Mat) { d.ops.AddRowsTo(m[0], m[1], row) }, y, x)
}

// deviceUpdate is an update that was packed for a simulated device.
type deviceUpdate struct {
	tensor.Update
	host tensor.PackedUpdate // nil where the host backend does not mix
	claimed
}

// Bytes returns the memory of the factors.
func (u *deviceUpdate) Bytes() int64 { return u.bytes }

// PackUpdate packs the host's numbers of u.
func (d *Fused) PackUpdate(u tensor.Update, nOut, nIn int) (tensor.PackedUpdate, error) {
	p := &deviceUpdate{Update: u}
	for _, m := range []*tensor.Mat{&p.A, &p.B, &p.U, &p.V} {
		p.bytes += 4 * int64(m.Rows*m.Cols)
		if !m.IsZero() {
			*m = tensor.NewMat(m.Rows, m.Cols, slices.Clone(m.Data))
		}
	}
	var err error
	if m, ok := d.host.(tensor.Mixer); ok {
		if p.host, err = m.PackUpdate(u, nOut, nIn); err != nil {
			return nil, err
		}
	}
	if p.claimed, err = d.claim(p.bytes); err != nil {
		return nil, err
	}
	return p, nil
}

// NewMixed returns room for an update of w.
func (d *Fused) NewMixed(w tensor.Packed) (tensor.Packed, error) {
	p := packedOf(w)
	nOut, nIn := w.Shape()
	return d.packed(tensor.Zeros(nOut, nIn), func() (tensor.Packed, error) {
		if m, ok := d.host.(tensor.Mixer); ok {
			return m.NewMixed(p.Packed)
		}
		return d.host.Pack(tensor.Zeros(nOut, nIn), p.DType())
	})
}

// Mix writes the update of w to dst.
func (d *Fused) Mix(dst, w tensor.Packed, u tensor.PackedUpdate) {
	to, from, change := packedOf(dst), packedOf(w), u.(*deviceUpdate)
	d.kernel(func(*deviceState) func() {
		return func() {
			if m, ok := d.host.(tensor.Mixer); ok {
				m.Mix(to.Packed, from.Packed, change.host)
				return
			}
			to.plain = change.Apply(from.plain)
			var err error
			if to.Packed, err = d.host.Pack(to.plain, from.DType()); err != nil {
				panic(fmt.Sprint("tensortest: ", err)) // of a format that it packed before
			}
		}
	})
}
