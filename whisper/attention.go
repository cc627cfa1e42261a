package whisper

import "glossa/whisper/tensor"

// Attention is multi-head attention (Vaswani et al. 2017, §3.2), the one layer that mixes
// information across rows, and so the one that reads segments and caches.
type Attention struct {
	Query, Key, Value, Out Linear
	NHead                  int
	Layer                  int

	// PackKV lets keys and values that all queries see be packed for the backend, or rounded by it, in the format KV.
	PackKV bool
	KV     tensor.DType
}

// SelfAdd returns x plus self-attention over rows y (nRow, nState): all rows of a sequence see each other,
// or with causal each row sees itself and what came before it, from the cache on. See [Linear.ForwardAdd].
func (a *Attention) SelfAdd(s *Step, x, y tensor.Mat, causal bool) tensor.Mat {
	q := a.Query.Forward(s, y)
	k, v := a.Key.Forward(s, y), a.Value.Forward(s, y)
	var kv []tensor.KeyValue
	if causal && s.Cache != nil {
		kv = s.extendCaches(a.Layer, k, v)
	} else {
		kv = s.split(k, v)
	}
	switch {
	case causal || !a.PackKV:
	case s.AttendsRounded(q.Cols/a.NHead, a.KV):
		for i := range kv {
			kv[i].DType = a.KV
		}
	default:
		a.pack(s, s.NewPackedKV(s.Seg, q.Cols, a.NHead, a.KV), kv)
	}
	return a.Out.ForwardAdd(s, x, s.Attention(q, s.Seg, kv, a.NHead, causal))
}

// pack replaces keys and values by packed ones, where there is room for them.
func (a *Attention) pack(s *Step, packed []tensor.PackedKV, kv []tensor.KeyValue) {
	if packed == nil {
		return
	}
	s.PackKeyValue(packed, kv)
	for i := range kv {
		kv[i] = tensor.KeyValue{Packed: packed[i]}
	}
}

// CrossAttendAdd returns x plus the attention of rows y (nRow, nState) to their utterance's encoder states. See [Linear.ForwardAdd].
func (a *Attention) CrossAttendAdd(s *Step, x, y tensor.Mat) tensor.Mat {
	q := a.Query.Forward(s, y)
	kv := s.keyValues(len(s.Cross))
	for i, c := range s.Cross {
		kv[i] = c.layer[a.Layer]
	}
	if s.Watch != nil {
		s.Watch(a.Layer, q, kv)
	}
	return a.Out.ForwardAdd(s, x, s.Attention(q, s.Seg, kv, a.NHead, false))
}

// KeyValue returns the keys and values of the rows x (nRow, nState), a pair for each sequence.
func (a *Attention) KeyValue(s *Step, x tensor.Mat) []tensor.KeyValue {
	return s.split(a.Key.Forward(s, x), a.Value.Forward(s, x))
}

// split returns the rows of each sequence of keys and values (nRow, nState).
func (s *Step) split(k, v tensor.Mat) []tensor.KeyValue {
	kv := s.keyValues(s.Seg.Len())
	for i := range kv {
		from, to := s.Seg.Range(i)
		kv[i] = tensor.KeyValue{K: k.Slice(from, to), V: v.Slice(from, to)}
	}
	return kv
}
