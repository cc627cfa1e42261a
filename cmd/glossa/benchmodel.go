package main

import (
	"hash/fnv"
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

// benchModel is a model of random weights to be measured.
type benchModel struct {
	*whisper.Model
	ops  *tensor.Ops
	pool whisper.CrossPool
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

// newBenchModel returns a model of random weights of variance 1/nIn, packed for b.
func newBenchModel(d whisper.Dims, t *whisper.Tokenizer, b tensor.Backend, dtype tensor.DType) (*benchModel, error) {
	m := whisper.Outline(d)
	m.Tokenizer = t
	err := m.Fill(b, dtype, func(p whisper.Param, data []float32) error {
		if strings.HasSuffix(p.Name, "norm.weight") {
			for i := range data {
				data[i] = 1
			}
			return nil
		}
		seed := fnv.New64()
		seed.Write([]byte(p.Name)) // a hash takes all
		fillRandom(data, seed.Sum64(), float32(math.Sqrt(3/float64(p.Mat.Cols))))
		return nil
	})
	return &benchModel{Model: m, ops: tensor.NewOps(b)}, err
}

// release forgets what the arena and the pool hold.
func (m *benchModel) release() {
	if m != nil {
		m.ops, m.pool = tensor.NewOps(m.ops.Backend()), whisper.CrossPool{}
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
