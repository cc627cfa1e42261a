package whisper

import (
	"slices"

	"glossa/whisper/tensor"
)

// cacheRows is the number of rows that a cache grows by.
const cacheRows = tensor.PageRows

// Cache holds the self-attention keys and values of one sequence of the decoder. It grows with the
// sequence, and keeps its memory on the host when it is emptied for another. It is not safe for concurrent use.
type Cache struct {
	layer  []cachedRows // on the host
	paged  pagedRows    // on a device
	nState int
	rows   int // that it has seen
}

// cachedRows are keys and values (nRow, nState) of one layer.
type cachedRows struct{ k, v []float32 }

// NewCache returns an empty cache for one sequence.
func (d *Decoder) NewCache() *Cache { return d.newCache(new(pagePool)) }

// newCache returns an empty cache whose pages are of a pool.
func (d *Decoder) newCache(p *pagePool) *Cache {
	return &Cache{layer: make([]cachedRows, len(d.Blocks)), paged: pagedRows{pool: p}, nState: d.Positions.Cols}
}

// Len returns the number of tokens that the cache has seen.
func (c *Cache) Len() int { return c.rows }

// extendCaches appends the keys and values of new rows k, v (nRow, nState) to the sequences' caches, and returns those
// of all rows so far.
func (s *Step) extendCaches(layer int, k, v tensor.Mat) []tensor.KeyValue {
	kv := s.keyValues(s.Seg.Len())
	if s.Device() != nil {
		s.extendPages(layer, k, v, kv)
	} else {
		for i, c := range s.Cache {
			from, to := s.Seg.Range(i)
			kv[i] = c.extend(layer, k.Slice(from, to), v.Slice(from, to))
		}
	}
	for i, c := range s.Cache {
		if layer == len(c.layer)-1 {
			c.rows = kv[i].Rows()
		}
	}
	return kv
}

// extend appends the keys and values of new rows on the host and returns those of all rows so far.
func (c *Cache) extend(layer int, k, v tensor.Mat) tensor.KeyValue {
	l := &c.layer[layer]
	l.k, l.v = c.grow(l.k, k.Data), c.grow(l.v, v.Data)
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

// truncate forgets all but the first n tokens.
func (c *Cache) truncate(n int) {
	c.rows = n
	for i := range c.layer {
		l := &c.layer[i]
		l.k, l.v = l.k[:min(n*c.nState, len(l.k))], l.v[:min(n*c.nState, len(l.v))]
	}
	c.paged.truncate(n)
}

// copyFrom makes the cache that of another sequence, which it keeps apart from. The error wraps tensor.ErrMemory; the
// cache is empty then.
func (c *Cache) copyFrom(o *tensor.Ops, other *Cache) error {
	c.truncate(0)
	if o.Device() != nil {
		if err := c.paged.copyFrom(o, other); err != nil {
			c.truncate(0)
			return err
		}
	} else {
		for i, l := range other.layer {
			c.layer[i].k, c.layer[i].v = c.grow(c.layer[i].k, l.k), c.grow(c.layer[i].v, l.v)
		}
	}
	c.rows = other.rows
	return nil
}

// cachePool holds the caches that hypotheses of a batch have left.
type cachePool struct {
	decoder *Decoder
	pages   pagePool
	free    []*Cache
	taken   []*Cache // scratch
}

// take returns an empty cache.
func (p *cachePool) take() *Cache {
	n := len(p.free)
	if n == 0 {
		return p.decoder.newCache(&p.pages)
	}
	c := p.free[n-1]
	p.free = p.free[:n-1]
	return c
}

// put takes caches back.
func (p *cachePool) put(caches []*Cache) {
	for _, c := range caches {
		c.truncate(0)
	}
	p.free = append(p.free, caches...)
}

// rearrange returns the caches of hypotheses that continue others: the first that continues one
// takes its cache over, each further is given a copy, and those that nothing continues are left to
// the pool (upstream rearrange_kv_cache). The result has the memory of caches. The error wraps tensor.ErrMemory; all
// hypotheses have a cache then, but not all what belongs into it.
func (p *cachePool) rearrange(o *tensor.Ops, caches []*Cache, parent []int) ([]*Cache, error) {
	for i, c := range caches {
		if !slices.Contains(parent, i) {
			c.truncate(0)
			p.free = append(p.free, c)
		}
	}
	p.taken = append(p.taken[:0], caches...)
	caches = caches[:0]
	var failed error
	for i, from := range parent {
		c := p.taken[from]
		if slices.Contains(parent[:i], from) {
			c = p.take()
			if err := c.copyFrom(o, p.taken[from]); err != nil {
				failed = err
			}
		}
		caches = append(caches, c)
	}
	return caches, failed
}
