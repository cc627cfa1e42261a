package tensor

import "math"

// Attention returns softmax(q kᵀ / sqrt(nCol/nHead)) v for each sequence and head (Vaswani et al.
// 2017, eq. 1): q and the result (nRow, nCol) packed by seg, kv[i] the keys and values (nKey,
// nCol) of sequence i. With causal, query i of nQuery sees the keys 0 … nKey-nQuery+i.
func (o *Ops) Attention(q Mat, seg Segments, kv []KeyValue, nHead int, causal bool) Mat {
	check(seg.Rows() == q.Rows && seg.Len() == len(kv), "attention of %d rows with segments of %d, %d sequences with %d keys",
		q.Rows, seg.Rows(), seg.Len(), len(kv))
	check(nHead > 0 && q.Cols%nHead == 0, "%d heads of %d columns", nHead, q.Cols)
	for i, s := range kv {
		from, to := seg.Range(i)
		check(s.Rows() > 0 || from == to, "queries without keys")
		if p := s.Packed; p.Data != nil {
			check(p.Cols == q.Cols && p.NHead == nHead, "keys packed as %d heads of %d columns, want %d of %d", p.NHead, p.Cols, nHead, q.Cols)
			check(!causal && !o.recording, "packed keys that are causal, or on the tape")
			continue
		}
		checkShape("keys", s.K, s.K.Rows, q.Cols)
		checkShape("values", s.V, s.K.Rows, q.Cols)
		check(!causal || s.K.Rows >= to-from, "%d causal queries of %d keys", to-from, s.K.Rows)
	}
	y := o.New(q.Rows, q.Cols)
	o.backend.Attention(y, q, seg, kv, nHead, causal)
	if o.recording {
		o.Record(&y, func() {
			dkv := make([]KeyValue, len(kv))
			for i, s := range kv {
				dkv[i] = KeyValue{K: o.grad(s.K), V: o.grad(s.V)}
			}
			o.gradients.AttentionBackward(o.grad(q), dkv, o.grad(y), q, seg, kv, nHead, causal)
		}, append(keyValueMats(kv), q)...)
	}
	return y
}

// PackKeyValue replaces keys and values by packed ones, where the backend has them.
func (o *Ops) PackKeyValue(kv []KeyValue, nHead int) {
	b, ok := o.backend.(KeyValuePacker)
	if !ok || o.recording {
		return
	}
	if cap(o.packed) < len(kv) {
		o.packed = make([]PackedKV, len(kv))
	}
	packed := o.packed[:len(kv)]
	for i, s := range kv {
		checkShape("values", s.V, s.K.Rows, s.K.Cols)
		check(nHead > 0 && s.K.Cols%nHead == 0, "%d heads of %d columns", nHead, s.K.Cols)
		packed[i] = PackedKV{s.K.Rows, s.K.Cols, nHead, o.arena.take(b.PackedKVSize(s.K.Rows, s.K.Cols, nHead))}
	}
	b.PackKeyValue(packed, kv)
	for i := range kv {
		kv[i] = KeyValue{Packed: packed[i]}
	}
	clear(packed)
}

// Keys returns the keys (nKey, nCol), which are rounded where they are packed.
func (o *Ops) Keys(kv KeyValue) Mat {
	if kv.Packed.Data == nil {
		return kv.K
	}
	k := o.New(kv.Packed.Rows, kv.Packed.Cols)
	o.backend.(KeyValuePacker).UnpackKeys(k, kv.Packed)
	return k
}

func keyValueMats(kv []KeyValue) []Mat {
	ms := make([]Mat, 0, 2*len(kv)+1)
	for _, s := range kv {
		ms = append(ms, s.K, s.V)
	}
	return ms
}

// Unfold returns the neighbourhoods of a convolution of odd width kernel with zero padding
// (kernel-1)/2, so that a linear over them is the convolution: x (nRow, nChannel) packed by seg,
// the result (nRow', kernel*nChannel) packed by the segments returned, (n+stride-1)/stride rows for
// a sequence of n.
func (o *Ops) Unfold(x Mat, seg Segments, kernel, stride int) (Mat, Segments) {
	check(seg.Rows() == x.Rows, "unfold of %d rows with segments of %d", x.Rows, seg.Rows())
	check(kernel%2 == 1 && stride > 0, "unfold with kernel %d and stride %d", kernel, stride)
	ySeg := make(Segments, len(seg))
	for i := range seg.Len() {
		from, to := seg.Range(i)
		ySeg[i+1] = ySeg[i] + int32((to-from+stride-1)/stride)
	}
	y := o.New(ySeg.Rows(), kernel*x.Cols)
	o.backend.Unfold(y, x, ySeg, seg, kernel, stride)
	o.Record(&y, func() { o.gradients.UnfoldBackward(o.grad(x), o.grad(y), ySeg, seg, kernel, stride) }, x)
	return y, ySeg
}

// CrossEntropy returns the loss (1, 1)
//
//	Σ_i weight[i] (-(1-ε) log p_i[target[i]] - ε/nClass Σ_j log p_i[j])
//
// with p_i = softmax(logits[i]) and ε the label smoothing of Szegedy et al. 2016, §7. A row of
// weight 0 is left out. It also returns log p (nRow, nClass).
func (o *Ops) CrossEntropy(logits Mat, target []int32, weight []float32, smoothing float32) (loss, logProb Mat) {
	check(target != nil || logits.Rows == 0, "cross entropy without targets")
	if len(target) > 0 {
		checkIndex("target", target, logits.Rows, logits.Cols)
	}
	check(len(weight) == logits.Rows, "%d weights of %d rows", len(weight), logits.Rows)
	logProb = o.LogSoftmax(logits)
	rest := smoothing / float32(logits.Cols)
	var sum float64
	for i, t := range target {
		if weight[i] == 0 {
			continue
		}
		row := logProb.Row(i)
		sum -= float64(weight[i]*(1-smoothing)) * float64(row[t])
		if smoothing > 0 {
			for _, l := range row {
				sum -= float64(weight[i]*rest) * float64(l)
			}
		}
	}
	loss = o.Upload(1, 1, []float32{float32(sum)})
	o.Record(&loss, func() {
		d, scale := o.grad(logits), o.grad(loss).Data[0]
		for i, t := range target {
			w := weight[i] * scale
			if w == 0 {
				continue
			}
			row, dRow := logProb.Row(i), d.Row(i)
			for j, l := range row {
				dRow[j] += w * (float32(math.Exp(float64(l))) - rest)
			}
			dRow[t] -= w * (1 - smoothing)
		}
	}, logits)
	return loss, logProb
}
