package whisper

import "glossa/whisper/tensor"

// Cache holds the self-attention keys and values of one sequence of the decoder, up to the
// model's NTextCtx tokens. It is not safe for concurrent use.
type Cache struct {
	layer []tensor.KeyValue // (NTextCtx, nState) each
	rows  []int             // rows filled, by layer
}

// NewCache returns an empty cache for one sequence.
func (d *Decoder) NewCache() *Cache {
	c := &Cache{layer: make([]tensor.KeyValue, len(d.Blocks)), rows: make([]int, len(d.Blocks))}
	nCtx, nState := d.Positions.Rows, d.Positions.Cols
	for i := range c.layer {
		c.layer[i] = tensor.KeyValue{K: tensor.Zeros(nCtx, nState), V: tensor.Zeros(nCtx, nState)}
	}
	return c
}

// Reset empties the cache for another sequence.
func (c *Cache) Reset() { clear(c.rows) }

// Len returns the number of tokens that the cache has seen.
func (c *Cache) Len() int { return c.rows[len(c.rows)-1] }

// extend appends the keys and values of new rows and returns those of all rows so far.
func (c *Cache) extend(layer int, kv tensor.KeyValue) tensor.KeyValue {
	from := c.rows[layer]
	to := from + kv.K.Rows
	all := c.layer[layer]
	copy(all.K.Slice(from, to).Data, kv.K.Data)
	copy(all.V.Slice(from, to).Data, kv.V.Data)
	c.rows[layer] = to
	return tensor.KeyValue{K: all.K.Slice(0, to), V: all.V.Slice(0, to)}
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
