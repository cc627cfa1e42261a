package tensortest

import (
	"slices"

	"glossa/whisper/tensor"
)

// The kernels of the interfaces that a device may have beside those of Backend and Gradients.

func (h *hosted) PackedKVSize(nKey, nCol, nHead int, dtype tensor.DType) int {
	return h.Device.(tensor.KeyValuePacker).PackedKVSize(nKey, nCol, nHead, dtype)
}

func (h *hosted) Native(dtype tensor.DType) bool {
	return h.Device.(tensor.KeyValuePacker).Native(dtype)
}

func (h *hosted) PackKeyValue(packed []tensor.PackedKV, kv []tensor.KeyValue) {
	h.on(func(t *transfer) {
		to := make([]tensor.PackedKV, len(packed))
		for i, p := range packed {
			to[i] = t.packed(p)
		}
		h.Device.(tensor.KeyValuePacker).PackKeyValue(to, t.keyValues(kv))
	})
}

func (h *hosted) UnpackKeys(k tensor.Mat, packed tensor.PackedKV) {
	h.on(func(t *transfer) { h.Device.(tensor.KeyValuePacker).UnpackKeys(t.mat(k), t.packed(packed)) })
}

func (h *hosted) EmbedPacked(y tensor.Mat, w tensor.Packed, id []int32) {
	h.on(func(t *transfer) { h.Device.(tensor.PackedEmbedder).EmbedPacked(t.mat(y), w, id) })
}

func (h *hosted) PackBalanced(w tensor.Mat, dtype tensor.DType, ranges []float32) (tensor.Packed, error) {
	return h.Device.(tensor.BalancedPacker).PackBalanced(w, dtype, ranges)
}

func (h *hosted) LinearGELU(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat) {
	h.on(func(t *transfer) { h.Device.(tensor.GELULinear).LinearGELU(t.mat(y), t.mat(x), w, t.mat(bias)) })
}

func (h *hosted) ScaledLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, gelu bool) {
	h.on(func(t *transfer) {
		h.Device.(tensor.ScaledLinear).ScaledLinear(t.mat(y), t.mat(x), w, t.mat(bias), t.scales(s), gelu)
	})
}

func (h *hosted) PackLowRank(u, v, d tensor.Mat, dtype tensor.DType) (tensor.PackedLowRank, error) {
	return h.Device.(tensor.LowRankLinear).PackLowRank(u, v, d, dtype)
}

func (h *hosted) LowRankLinear(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank, gelu bool) {
	h.on(func(t *transfer) {
		h.Device.(tensor.LowRankLinear).LowRankLinear(t.mat(y), t.mat(x), w, t.mat(bias), t.scales(s), low, gelu)
	})
}

func (h *hosted) LinearAdd(y, x tensor.Mat, w tensor.Packed, bias tensor.Mat, s tensor.Scales, low []*tensor.LowRank) {
	h.on(func(t *transfer) {
		h.Device.(tensor.ResidualLinear).LinearAdd(t.mat(y), t.mat(x), w, t.mat(bias), t.scales(s), low)
	})
}

func (h *hosted) AddLowRank(y, x tensor.Mat, low []*tensor.LowRank) {
	h.on(func(t *transfer) { h.Device.(tensor.LowRankLinear).AddLowRank(t.mat(y), t.mat(x), low) })
}

func (h *hosted) AddRows(y, x tensor.Mat, row []int32) {
	h.on(func(t *transfer) { h.Device.(tensor.RowAdder).AddRows(t.mat(y), t.mat(x), row) })
}

func (h *hosted) PackUpdate(u tensor.Update, nOut, nIn int) (tensor.PackedUpdate, error) {
	return h.Device.(tensor.Mixer).PackUpdate(u, nOut, nIn)
}

func (h *hosted) NewMixed(w tensor.Packed) (tensor.Packed, error) {
	return h.Device.(tensor.Mixer).NewMixed(w)
}

func (h *hosted) Mix(dst, w tensor.Packed, u tensor.PackedUpdate) {
	h.Device.(tensor.Mixer).Mix(dst, w, u)
}

func (h *hosted) GroupedLinear(y, x tensor.Mat, w tensor.Packed, groups []tensor.RowGroup, gelu, add bool) {
	h.on(func(t *transfer) {
		groups := slices.Clone(groups)
		for i := range groups {
			g := &groups[i]
			g.Bias, g.Scales = t.mat(g.Bias), t.scales(g.Scales)
		}
		h.Device.(tensor.GroupedLinear).GroupedLinear(t.mat(y), t.mat(x), w, groups, gelu, add)
	})
}

func (h *hosted) Max(x []float32) float32 { return h.Device.(tensor.Chooser).Max(x) }

func (h *hosted) SumExp(x []float32, shift float32) float32 {
	return h.Device.(tensor.Chooser).SumExp(x, shift)
}

func (h *hosted) Exp(y, x []float32, shift, scale float32) float32 {
	return h.Device.(tensor.Chooser).Exp(y, x, shift, scale)
}

func (h *hosted) Each(n int, f func(i int)) { h.Device.(tensor.Chooser).Each(n, f) }
