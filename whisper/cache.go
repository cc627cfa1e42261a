package whisper

import (
	"slices"

	"glossa/whisper/tensor"
)

// cacheRows is the number of rows that a cache grows by.
const cacheRows = 64

// Cache holds the self-attention keys and values of one sequence of the decoder. It grows with the
// sequence, and keeps its memory when it is emptied for another. It is not safe for concurrent use.
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
	l.k, l.v = c.grow(l.k, kv.K.Data), c.grow(l.v, kv.V.Data)
	n := len(l.k) / c.nState
	return tensor.KeyValue{K: tensor.NewMat(n, c.nState, l.k), V: tensor.NewMat(n, c.nState, l.v)}
}

// grow appends more to rows, with new room for cacheRows and those that it holds where there is
// none.
func (c *Cache) grow(rows, more []float32) []float32 {
	if n := len(rows) + len(more); n > cap(rows) {
		chunk := cacheRows * c.nState
		rows = append(make([]float32, 0, (n+chunk-1)/chunk*chunk), rows...)
	}
	return append(rows, more...)
}

// empty forgets the sequence.
func (c *Cache) empty() {
	for i := range c.layer {
		c.layer[i].k, c.layer[i].v = c.layer[i].k[:0], c.layer[i].v[:0]
	}
}

// copyFrom makes the cache that of another sequence, which it keeps apart from.
func (c *Cache) copyFrom(other *Cache) {
	c.empty()
	for i, l := range other.layer {
		c.layer[i].k, c.layer[i].v = c.grow(c.layer[i].k, l.k), c.grow(c.layer[i].v, l.v)
	}
}

// cachePool holds the caches that hypotheses of a batch have left.
type cachePool struct {
	decoder *Decoder
	free    []*Cache
	taken   []*Cache // scratch
}

// take returns an empty cache.
func (p *cachePool) take() *Cache {
	n := len(p.free)
	if n == 0 {
		return p.decoder.NewCache()
	}
	c := p.free[n-1]
	p.free = p.free[:n-1]
	c.empty()
	return c
}

// put takes caches back.
func (p *cachePool) put(caches []*Cache) { p.free = append(p.free, caches...) }

// rearrange returns the caches of hypotheses that continue others: the first that continues one
// takes its cache over, each further is given a copy, and those that nothing continues are left to
// the pool (upstream rearrange_kv_cache). The result has the memory of caches.
func (p *cachePool) rearrange(caches []*Cache, parent []int) []*Cache {
	for i, c := range caches {
		if !slices.Contains(parent, i) {
			p.free = append(p.free, c)
		}
	}
	p.taken = append(p.taken[:0], caches...)
	caches = caches[:0]
	for i, from := range parent {
		c := p.taken[from]
		if slices.Contains(parent[:i], from) {
			c = p.take()
			c.copyFrom(p.taken[from])
		}
		caches = append(caches, c)
	}
	return caches
}
