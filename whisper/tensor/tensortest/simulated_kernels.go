package tensortest

import (
	"slices"

	"glossa/whisper/tensor"
)

// devicePacked is a weight that was packed for a simulated device.
type devicePacked struct {
	tensor.Packed // of the host backend
	state         *deviceState
	plain         tensor.Mat // what was packed, where the host backend cannot look it up
	freed         bool
}

// Free gives the room back.
func (p *devicePacked) Free() {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	if !p.freed {
		p.freed = true
		p.state.used -= tensor.PackedBytes(p.Packed)
	}
}

// packedOf returns a packed weight, whose numbers are known when kernels run.
func packedOf(w tensor.Packed) *devicePacked {
	p := w.(*devicePacked)
	if p.freed {
		panic("tensortest: a packed weight is used after Free")
	}
	return p
}

// Pack packs the host's numbers of w.
func (d *Simulated) Pack(w tensor.Mat, dtype tensor.DType) (tensor.Packed, error) {
	return d.packed(w, func() (tensor.Packed, error) { return d.host.Pack(w, dtype) })
}

func (d *Simulated) packed(w tensor.Mat, pack func() (tensor.Packed, error)) (tensor.Packed, error) {
	if w.Data == nil && w.Rows*w.Cols > 0 {
		panic("tensortest: a weight to be packed is not in host memory")
	}
	p, err := pack()
	if err != nil {
		return nil, err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if err := d.state.claim(tensor.PackedBytes(p)); err != nil {
		return nil, err
	}
	return &devicePacked{Packed: p, state: d.state, plain: tensor.NewMat(w.Rows, w.Cols, slices.Clone(w.Data))}, nil
}

// run queues a call of the host backend with operands in the device's memory.
func (d *Simulated) run(call func(m []tensor.Mat), operands ...tensor.Mat) {
	d.kernel(func(s *deviceState) func() {
		m := make([]tensor.Mat, len(operands))
		for i, x := range operands {
			m[i] = s.at(x)
		}
		return func() { call(m) }
	})
}

func (d *Simulated) gradients() tensor.Gradients { return d.host.(tensor.Gradients) }

// The kernels of tensor.Backend and tensor.Gradients.

func (d *Simulated) Linear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	p := packedOf(w)
	d.run(func(m []tensor.Mat) { d.host.Linear(m[0], m[1], p.Packed, m[2]) }, y, x, bias)
}

func (d *Simulated) MatMul(c, a, b tensor.Mat, t tensor.Transpose, accumulate bool) {
	d.run(func(m []tensor.Mat) { d.host.MatMul(m[0], m[1], m[2], t, accumulate) }, c, a, b)
}

func (d *Simulated) Add(y, a, b tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.host.Add(m[0], m[1], m[2]) }, y, a, b)
}

func (d *Simulated) Scale(y, x, s tensor.Mat, row []int32) {
	row = slices.Clone(row)
	d.run(func(m []tensor.Mat) { d.host.Scale(m[0], m[1], m[2], row) }, y, x, s)
}

func (d *Simulated) AddBias(y, x, bias tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.host.AddBias(m[0], m[1], m[2]) }, y, x, bias)
}

func (d *Simulated) LayerNorm(y, x, gamma, beta tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.host.LayerNorm(m[0], m[1], m[2], m[3]) }, y, x, gamma, beta)
}

func (d *Simulated) GELU(y, x tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.host.GELU(m[0], m[1]) }, y, x)
}

func (d *Simulated) LogSoftmax(y, x tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.host.LogSoftmax(m[0], m[1]) }, y, x)
}

func (d *Simulated) Attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	d.attention(y, q, seg, kv, nHead, causal, func(_ *deviceState, kv []tensor.KeyValue) []tensor.KeyValue { return kv })
}

// attention queues an attention whose packed keys and values unpack makes the host's.
func (d *Simulated) attention(y, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool,
	unpack func(*deviceState, []tensor.KeyValue) []tensor.KeyValue) {
	seg = slices.Clone(seg)
	d.kernel(func(s *deviceState) func() {
		y, q, kv := s.at(y), s.at(q), unpack(s, s.atKeyValues(kv))
		return func() { d.host.Attention(y, q, seg, kv, nHead, causal) }
	})
}

func (d *Simulated) Embed(y, table tensor.Mat, id []int32) {
	id = slices.Clone(id)
	d.run(func(m []tensor.Mat) { d.host.Embed(m[0], m[1], id) }, y, table)
}

func (d *Simulated) Unfold(y, x tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	ySeg, xSeg = slices.Clone(ySeg), slices.Clone(xSeg)
	d.run(func(m []tensor.Mat) { d.host.Unfold(m[0], m[1], ySeg, xSeg, kernel, stride) }, y, x)
}

func (d *Simulated) SumRows(y, x tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.gradients().SumRows(m[0], m[1]) }, y, x)
}

func (d *Simulated) ScaleBackward(dx, ds, dy, x, s tensor.Mat, row []int32) {
	row = slices.Clone(row)
	d.run(func(m []tensor.Mat) { d.gradients().ScaleBackward(m[0], m[1], m[2], m[3], m[4], row) }, dx, ds, dy, x, s)
}

func (d *Simulated) LayerNormBackward(dx, dgamma, dbeta, dy, x, gamma tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.gradients().LayerNormBackward(m[0], m[1], m[2], m[3], m[4], m[5]) }, dx, dgamma, dbeta, dy, x, gamma)
}

func (d *Simulated) GELUBackward(dx, dy, x tensor.Mat) {
	d.run(func(m []tensor.Mat) { d.gradients().GELUBackward(m[0], m[1], m[2]) }, dx, dy, x)
}

func (d *Simulated) AttentionBackward(dq tensor.Mat, dkv []tensor.KeyValue, dy, q tensor.Mat, seg tensor.Segments, kv []tensor.KeyValue, nHead int, causal bool) {
	seg = slices.Clone(seg)
	d.kernel(func(s *deviceState) func() {
		dq, dy, q, dkv, kv := s.at(dq), s.at(dy), s.at(q), s.atKeyValues(dkv), s.atKeyValues(kv)
		return func() { d.gradients().AttentionBackward(dq, dkv, dy, q, seg, kv, nHead, causal) }
	})
}

func (d *Simulated) EmbedBackward(dtable, dy tensor.Mat, id []int32) {
	id = slices.Clone(id)
	d.run(func(m []tensor.Mat) { d.gradients().EmbedBackward(m[0], m[1], id) }, dtable, dy)
}

func (d *Simulated) UnfoldBackward(dx, dy tensor.Mat, ySeg, xSeg tensor.Segments, kernel, stride int) {
	ySeg, xSeg = slices.Clone(ySeg), slices.Clone(xSeg)
	d.run(func(m []tensor.Mat) { d.gradients().UnfoldBackward(m[0], m[1], ySeg, xSeg, kernel, stride) }, dx, dy)
}
