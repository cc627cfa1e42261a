package whisper

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"glossa/whisper/tensor"
)

// Load builds the model of a checkpoint to serve: what products read is packed for b in dtype, one parameter after the other, and
// its plain numbers are not kept. It fails with the name of the tensor that is missing, misshapen or not finite.
func Load(c *Checkpoint, b tensor.Backend, dtype tensor.DType) (*Model, error) {
	m, read, err := newLoading(c)
	if err != nil {
		return nil, err
	}
	return m, m.Fill(b, dtype, read)
}

// LoadPlain builds the model of a checkpoint with plain weights, as training wants them.
func LoadPlain(c *Checkpoint) (*Model, error) {
	m, read, err := newLoading(c)
	if err != nil {
		return nil, err
	}
	return m, m.eachParam(nil, func(_ int, p Param, _ *[]float32) error {
		*p.Mat = tensor.Zeros(p.Mat.Rows, p.Mat.Cols)
		return p.read(*p.Mat, read)
	})
}

// newLoading returns the outline of a checkpoint's model and what reads its parameters, each of which has its tensor.
func newLoading(c *Checkpoint) (m *Model, read func(p Param, data []float32) error, err error) {
	m = outline(c.Dims)
	m.Tokenizer, m.Generation = c.Tokenizer, c.Generation
	sources := make(map[string]source)
	for _, p := range m.Params() {
		if sources[p.Name], err = c.find(p.Name, p.Shape()); err != nil {
			return nil, nil, err
		}
	}
	return m, func(p Param, data []float32) error { return c.read(sources[p.Name], data) }, nil
}

// Fill gives an [Outline] its numbers, to serve: read sets data to those of a parameter in the checkpoint's layout, for several
// parameters at once. What products read is packed for b in dtype, and its plain numbers are not kept.
func (m *Model) Fill(b tensor.Backend, dtype tensor.DType, read func(p Param, data []float32) error) error {
	heads := make([][]float32, len(m.Params()))
	fill := func(i int, p Param, buffer *[]float32) error {
		plain := p.staysPlain(b)
		n := p.Mat.Rows * p.Mat.Cols
		if plain {
			buffer = new([]float32)
		}
		*buffer = slices.Grow((*buffer)[:0], n)[:n]
		held := tensor.NewMat(p.Mat.Rows, p.Mat.Cols, *buffer)
		if err := p.read(held, read); err != nil {
			return err
		}
		heads[i] = slices.Clone(head(held))
		if plain {
			*p.Mat = held
		}
		return m.pack(b, dtype, p, held)
	}
	for _, multiplied := range []bool{false, true} { // norms before the weights that are packed by them
		if err := m.eachParam(func(p Param) bool { return (p.weight != nil) == multiplied }, fill); err != nil {
			return err
		}
	}
	m.packKeyValues(b, dtype)
	m.fingerprint = m.hash(heads)
	return m.place(b, func(p Param) bool { return p.staysPlain(b) })
}

// staysPlain reports whether the network reads the numbers of a parameter as they are.
func (p Param) staysPlain(b tensor.Backend) bool {
	if p.embedding == nil {
		return p.weight == nil
	}
	_, ok := b.(tensor.PackedEmbedder)
	return !ok
}

// read sets the numbers of held, the network's layout, by what sets them in the checkpoint's.
func (p Param) read(held tensor.Mat, set func(p Param, data []float32) error) error {
	if !p.Conv {
		return set(p, held.Data)
	}
	stored := make([]float32, len(held.Data))
	if err := set(p, stored); err != nil {
		return err
	}
	permute(held, stored, false)
	return nil
}

// maxReaders bounds the parameters that are read at once, each into a buffer of the largest.
const maxReaders = 8

// eachParam calls f for every parameter that is wanted, all with nil, several at once, the largest first: the embedding of tokens takes as long as many others.
// buffer is memory that f may keep for its next call. The error is that of the first parameter in the order of the network among
// those that failed; after one, no further ones are begun.
func (m *Model) eachParam(wanted func(p Param) bool, f func(i int, p Param, buffer *[]float32) error) error {
	params := m.Params()
	var order []int
	for i, p := range params {
		if wanted == nil || wanted(p) {
			order = append(order, i)
		}
	}
	size := func(i int) int { return params[i].Mat.Rows * params[i].Mat.Cols }
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(size(j), size(i)) })
	var (
		mutex   sync.Mutex
		workers sync.WaitGroup
		failed  = len(params)
		first   error
	)
	next := func() (i int, ok bool) {
		mutex.Lock()
		defer mutex.Unlock()
		if first != nil || len(order) == 0 {
			return 0, false
		}
		i, order = order[0], order[1:]
		return i, true
	}
	for range min(runtime.GOMAXPROCS(0), maxReaders, len(order)) {
		workers.Go(func() {
			var buffer []float32
			for i, ok := next(); ok; i, ok = next() {
				if err := f(i, params[i], &buffer); err != nil {
					mutex.Lock()
					if i < failed {
						failed, first = i, err
					}
					mutex.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return first
}
