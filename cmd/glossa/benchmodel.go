package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// benchModel is a model of random weights to be measured, packed for a backend, with plain ones
// only where the network reads them.
type benchModel struct {
	*whisper.Model
	ops *tensor.Ops
}

// benchGeometry returns the sizes of a model and a tokenizer that fits into its vocabulary.
func benchGeometry(name string) (whisper.Dims, *whisper.Tokenizer, error) {
	if d, ok := whisper.Geometry(name); ok {
		t, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, 1)
		return d, t, err
	}
	c, _, _, err := openNano()
	if err != nil {
		return whisper.Dims{}, nil, err
	}
	return c.Dims, c.Tokenizer, c.Close()
}

// newBenchModel returns a model of random weights. The plain form of a weight lives no longer than
// its packing takes.
func newBenchModel(d whisper.Dims, t *whisper.Tokenizer, b tensor.Backend, dtype tensor.DType) (*benchModel, error) {
	m := whisper.Outline(d)
	m.Tokenizer = t
	weights := map[*tensor.Mat]*tensor.Weight{}
	for _, w := range []*tensor.Weight{&m.Encoder.Conv1.Weight, &m.Encoder.Conv2.Weight, &m.Decoder.Tokens} {
		weights[&w.Mat] = w
	}
	for _, l := range m.Linears() {
		weights[&l.Weight.Mat] = &l.Weight
	}
	largest := 0
	for mat := range weights {
		largest = max(largest, mat.Rows*mat.Cols)
	}
	scratch := make([]float32, largest) // the plain form of the weight that is packed now
	for i, p := range m.Params() {
		w, n := weights[p.Mat], p.Mat.Rows*p.Mat.Cols
		data := scratch[:n]
		if read := w == nil || w == &m.Decoder.Tokens; read { // by the network, packed or not
			p.Mat.Data = make([]float32, n)
			data = p.Mat.Data
		}
		if strings.HasSuffix(p.Name, "norm.weight") {
			fillOnes(data)
		} else {
			fillRandom(data, uint64(i), float32(math.Sqrt(3/float64(p.Mat.Cols)))) // of variance 1/Cols
		}
		if w != nil {
			var err error
			if w.Packed, err = b.Pack(tensor.NewMat(p.Mat.Rows, p.Mat.Cols, data), dtype); err != nil {
				return nil, err
			}
		}
	}
	return &benchModel{Model: m, ops: tensor.NewOps(b)}, nil
}

// release forgets what the arena holds.
func (m *benchModel) release() {
	if m != nil {
		m.ops = tensor.NewOps(m.ops.Backend())
	}
}

// fillChunk is the number of random numbers that one seed begins.
const fillChunk = 1 << 16

// fillRandom sets data to numbers of uniform distribution in -limit … limit, the same for a seed
// however many processors there are.
func fillRandom(data []float32, seed uint64, limit float32) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(data)+fillChunk-1)/fillChunk) {
		workers.Go(func() {
			for {
				to := int(next.Add(fillChunk))
				from := to - fillChunk
				if from >= len(data) {
					return
				}
				state := rand.New(rand.NewPCG(seed, uint64(from))).Uint64() | 1
				fillPart(data[from:min(to, len(data))], state, limit)
			}
		})
	}
	workers.Wait()
}

// fillPart is fillRandom by one xorshift generator (Marsaglia 2003) of a state that is not zero,
// which gives two numbers a turn.
func fillPart(data []float32, state uint64, limit float32) {
	scale := limit / (1 << 31)
	for i := range data {
		if i%2 == 0 {
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			data[i] = float32(int32(state)) * scale
		} else {
			data[i] = float32(int32(state>>32)) * scale
		}
	}
}

func fillOnes(data []float32) {
	for i := range data {
		data[i] = 1
	}
}

// randomMels returns windows of random log-mel in the range of real ones, -1 … 1.
func randomMels(d whisper.Dims, n int) []audio.Mel {
	mels := make([]audio.Mel, n)
	for i := range mels {
		data := make([]float32, d.NMels*d.WindowFrames())
		fillRandom(data, uint64(i), 1)
		mels[i] = audio.Mel{NMels: d.NMels, Frames: d.WindowFrames(), Data: data}
	}
	return mels
}
