package whisper

import (
	"slices"

	"glossa/whisper/tensor"
)

// Cache holds the self-attention keys and values of one sequence of the decoder. It grows with the
// sequence. It is not safe for concurrent use.
type Cache struct {
	layer  []cachedRows
	nState int
}

// cachedRows are keys and values (nRow, nState) of one layer.
type cachedRows struct{ k, v []float32 }

// NewCache returns an empty cache for one sequence.
func (d *Decoder) NewCache() *Cache {
	return &Cache{layer: make([]cachedRows, len(d.Blocks)), nState: d.Positions.Cols}
}

// Len returns the number of tokens that the cache has seen.
func (c *Cache) Len() int { return len(c.layer[len(c.layer)-1].k) / c.nState }

// extend appends the keys and values of new rows and returns those of all rows so far.
func (c *Cache) extend(layer int, kv tensor.KeyValue) tensor.KeyValue {
	l := &c.layer[layer]
	l.k, l.v = grow(l.k, kv.K.Data), grow(l.v, kv.V.Data)
	n := len(l.k) / c.nState
	return tensor.KeyValue{K: tensor.NewMat(n, c.nState, l.k), V: tensor.NewMat(n, c.nState, l.v)}
}

// grow appends more to rows, whose room it doubles where there is none.
func grow(rows, more []float32) []float32 {
	if len(rows)+len(more) > cap(rows) {
		rows = slices.Grow(rows, max(len(rows), len(more)))
	}
	return append(rows, more...)
}

// copyFrom makes the cache that of another sequence, which it keeps apart from.
func (c *Cache) copyFrom(other *Cache) {
	for i, l := range other.layer {
		c.layer[i].k = append(c.layer[i].k[:0], l.k...)
		c.layer[i].v = append(c.layer[i].v[:0], l.v...)
	}
}

// cachePool holds the caches that hypotheses of a batch have left.
type cachePool []*Cache

// rearrange returns the caches of hypotheses that continue others: the first that continues one
// takes its cache over, each further is given a copy, and those that nothing continues are left to
// the pool (upstream rearrange_kv_cache).
func (p *cachePool) rearrange(caches []*Cache, parent []int) []*Cache {
	for i, c := range caches {
		if !slices.Contains(parent, i) {
			*p = append(*p, c)
		}
	}
	next := make([]*Cache, len(parent))
	for i, from := range parent {
		next[i] = caches[from]
		if slices.Contains(parent[:i], from) {
			next[i] = p.copyOf(caches[from])
		}
	}
	return next
}

// copyOf returns a copy of a cache, in one of the pool if there is any.
func (p *cachePool) copyOf(c *Cache) *Cache {
	left := &Cache{layer: make([]cachedRows, len(c.layer)), nState: c.nState}
	if n := len(*p); n > 0 {
		left, *p = (*p)[n-1], (*p)[:n-1]
	}
	left.copyFrom(c)
	return left
}

// CrossKV holds the cross-attention keys and values of one utterance, (nFrame, nState) for each
// layer of the decoder. All hypotheses of the utterance read it.
type CrossKV struct{ layer []tensor.KeyValue }

// Keep copies the keys and values out of the arena that they were computed in.
func (c *CrossKV) Keep() *CrossKV {
	kept := &CrossKV{layer: make([]tensor.KeyValue, len(c.layer))}
	for i, kv := range c.layer {
		kept.layer[i] = tensor.KeyValue{K: clone(kv.K), V: clone(kv.V)}
	}
	return kept
}

func clone(m tensor.Mat) tensor.Mat {
	return tensor.NewMat(m.Rows, m.Cols, append([]float32(nil), m.Data...))
}
