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
		if p := s.Packed; !p.IsZero() {
			if p.Cols != q.Cols || p.NHead != nHead {
				fail("keys packed as %d heads of %d columns, want %d of %d", p.NHead, p.Cols, nHead, q.Cols)
			}
			if causal || o.recording {
				fail("packed keys that are causal, or on the tape")
			}
			continue
		}
		if p := s.Paged; p.Rows > 0 {
			o.checkPaged(p, q.Cols, to-from, causal)
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

// checkPaged checks keys and values in pages for nQuery queries of nCol columns.
func (o *Ops) checkPaged(p PagedKV, nCol, nQuery int, causal bool) {
	switch {
	case o.device == nil || o.recording:
		fail("keys in pages, on the host or on the tape")
	case p.Cols != nCol:
		fail("keys in pages of %d columns, want %d", p.Cols, nCol)
	case len(p.Page)*PageRows < p.Rows && !o.idle:
		fail("%d keys in %d pages", p.Rows, len(p.Page))
	case causal && p.Rows < nQuery:
		fail("%d causal queries of %d keys", nQuery, p.Rows)
	}
}

// AttendsRounded reports whether attention of heads of a size is the faster for a DType of keys and values in rows. It is not while a
// tape is on, as gradients are those of numbers that were not rounded.
func (o *Ops) AttendsRounded(size int, dtype DType) bool {
	r, ok := o.own.(RoundedAttention)
	return ok && !o.recording && r.AttendsRounded(size, dtype)
}

// NewPackedKV returns room for the packed keys and values of each sequence, (nKey, nCol) packed by
// seg, of nHead heads, in a number format. It is nil where the backend has no such layout, or a tape is on.
func (o *Ops) NewPackedKV(seg Segments, nCol, nHead int, dtype DType) []PackedKV {
	if o.packer == nil || o.recording {
		return nil
	}
	if nHead <= 0 || nCol%nHead != 0 {
		fail("%d heads of %d columns", nHead, nCol)
	}
	packed := make([]PackedKV, seg.Len())
	for i := range packed {
		from, to := seg.Range(i)
		room := o.take(o.packer.PackedKVSize(to-from, nCol, nHead, dtype))
		packed[i] = PackedKV{Rows: to - from, Cols: nCol, NHead: nHead, DType: dtype, Data: room.Data, Dev: room.Dev}
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
	if !o.idle {
		o.packer.PackKeyValue(packed, kv)
	}
}

// PackedNumbers returns the numbers of packed keys and values as one row.
func (o *Ops) PackedNumbers(p PackedKV) Mat {
	return Mat{Rows: 1, Cols: o.packer.PackedKVSize(p.Rows, p.Cols, p.NHead, p.DType), Data: p.Data, Dev: p.Dev}
}

// Keys returns the keys (nKey, nCol), which are rounded where they are packed, and not in pages.
func (o *Ops) Keys(kv KeyValue) Mat {
	if kv.Packed.IsZero() {
		return kv.K
	}
	k := o.New(kv.Packed.Rows, kv.Packed.Cols)
	if !o.idle {
		o.packer.UnpackKeys(k, kv.Packed)
	}
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
