package tensor

// Attention returns softmax(q kᵀ / sqrt(nCol/nHead)) v for each sequence and head (Vaswani et al.
// 2017, eq. 1): q and the result (nRow, nCol) packed by seg, kv[i] the keys and values (nKey,
// nCol) of sequence i. With causal, query i of nQuery sees the keys 0 … nKey-nQuery+i.
func (o *Ops) Attention(q Mat, seg Segments, kv []KeyValue, nHead int, causal bool) Mat {
	if seg.Rows() != q.Rows || seg.Len() != len(kv) {
		fail("attention of %d rows with segments of %d, %d sequences with %d keys", q.Rows, seg.Rows(), seg.Len(), len(kv))
	}
	if nHead <= 0 || q.Cols%nHead != 0 {
		fail("%d heads of %d columns", nHead, q.Cols)
	}
	for i, s := range kv {
		from, to := seg.Range(i)
		if s.Rows() == 0 && from != to {
			fail("queries without keys")
		}
		if p := s.Packed; p.Data != nil {
			if p.Cols != q.Cols || p.NHead != nHead {
				fail("keys packed as %d heads of %d columns, want %d of %d", p.NHead, p.Cols, nHead, q.Cols)
			}
			if causal || o.recording {
				fail("packed keys that are causal, or on the tape")
			}
			continue
		}
		checkShape("keys", s.K, s.K.Rows, q.Cols)
		checkShape("values", s.V, s.K.Rows, q.Cols)
		if causal && s.K.Rows < to-from {
			fail("%d causal queries of %d keys", to-from, s.K.Rows)
		}
	}
	y := o.New(q.Rows, q.Cols)
	o.backend.Attention(y, q, seg, kv, nHead, causal)
	if !o.recording {
		return y
	}
	return o.record(y, func(y Mat) {
		dkv := make([]KeyValue, len(kv))
		for i, s := range kv {
			dkv[i] = KeyValue{K: o.grad(s.K), V: o.grad(s.V)}
		}
		o.gradients.AttentionBackward(o.grad(q), dkv, o.grad(y), q, seg, kv, nHead, causal)
	}, append(keyValueMats(kv), q)...)
}

// NewPackedKV returns room for the packed keys and values of each sequence, (nKey, nCol) packed by
// seg, of nHead heads, in a number format. It is nil where the backend has no such layout, or a tape is on.
func (o *Ops) NewPackedKV(seg Segments, nCol, nHead int, dtype DType) []PackedKV {
	b, ok := o.backend.(KeyValuePacker)
	if !ok || o.recording {
		return nil
	}
	if nHead <= 0 || nCol%nHead != 0 {
		fail("%d heads of %d columns", nHead, nCol)
	}
	packed := make([]PackedKV, seg.Len())
	for i := range packed {
		from, to := seg.Range(i)
		packed[i] = PackedKV{Rows: to - from, Cols: nCol, NHead: nHead, DType: dtype, Data: o.arena.take(b.PackedKVSize(to-from, nCol, nHead, dtype))}
	}
	return packed
}

// PackKeyValue packs the keys and values of each sequence.
func (o *Ops) PackKeyValue(packed []PackedKV, kv []KeyValue) {
	if len(packed) != len(kv) {
		fail("room for %d packed keys and values, of %d sequences", len(packed), len(kv))
	}
	for i, s := range kv {
		checkShape("keys", s.K, packed[i].Rows, packed[i].Cols)
		checkShape("values", s.V, packed[i].Rows, packed[i].Cols)
	}
	o.backend.(KeyValuePacker).PackKeyValue(packed, kv)
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
	if seg.Rows() != x.Rows {
		fail("unfold of %d rows with segments of %d", x.Rows, seg.Rows())
	}
	if kernel%2 != 1 || stride <= 0 {
		fail("unfold with kernel %d and stride %d", kernel, stride)
	}
	ySeg := make(Segments, len(seg))
	for i := range seg.Len() {
		from, to := seg.Range(i)
		ySeg[i+1] = ySeg[i] + int32((to-from+stride-1)/stride)
	}
	y := o.New(ySeg.Rows(), kernel*x.Cols)
	o.backend.Unfold(y, x, ySeg, seg, kernel, stride)
	if o.recording {
		y = o.record(y, func(y Mat) { o.gradients.UnfoldBackward(o.grad(x), o.grad(y), ySeg, seg, kernel, stride) }, x)
	}
	return y, ySeg
}

// CrossEntropy returns the loss (1, 1)
//
//	Σ_i weight[i] (-(1-ε) log p_i[target[i]] - ε/nClass Σ_j log p_i[j])
//
// with p_i = softmax(logits[i]) and ε the label smoothing of Szegedy et al. 2016, §7. A row of
// weight 0 is left out. It also returns log p (nRow, nClass).
func (o *Ops) CrossEntropy(logits Mat, target []int32, weight []float32, smoothing float32) (loss, logProb Mat) {
	if target == nil && logits.Rows > 0 {
		fail("cross entropy without targets")
	}
	if len(target) > 0 {
		checkIndex("target", target, logits.Rows, logits.Cols)
	}
	if len(weight) != logits.Rows {
		fail("%d weights of %d rows", len(weight), logits.Rows)
	}
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
		d, fresh := o.FreshGrad(logits)
		scale := o.grad(loss).Data[0]
		o.chooser.Each(len(target), func(i int) {
			dRow, w := d.Row(i), weight[i]*scale
			switch {
			case w == 0 && fresh:
				clear(dRow)
			case w != 0:
				o.softmaxGrad(dRow, logProb.Row(i), w, rest, fresh)
				dRow[target[i]] -= w * (1 - smoothing)
			}
		})
	}, logits)
	return loss, logProb
}

// softmaxGrad adds w (p - rest) to d, or writes it there where d is fresh, for the log probabilities log p.
func (o *Ops) softmaxGrad(d, logProb []float32, w, rest float32, fresh bool) {
	if fresh {
		o.chooser.Exp(d, logProb, 0, 1)
		for j, p := range d {
			d[j] = w * (p - rest)
		}
		return
	}
	p := make([]float32, len(d))
	o.chooser.Exp(p, logProb, 0, 1)
	for j, p := range p {
		d[j] += w * (p - rest)
	}
}
