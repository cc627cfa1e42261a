package goldentest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// Tiny returns a random model on unpadded windows of up to 128 frames, with a vocabulary of bytes.
func Tiny(t testing.TB, b tensor.Backend, seed uint64) *whisper.Model {
	t.Helper()
	return TinyOf(t, b, seed, 32)
}

// TinyOf is Tiny of a model whose texts have up to nTextCtx tokens.
func TinyOf(t testing.TB, b tensor.Backend, seed uint64, nTextCtx int) *whisper.Model {
	t.Helper()
	const nAudioCtx = 64
	tok, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a b"}), 0), 99, nAudioCtx+1)
	if err != nil {
		t.Fatal(err)
	}
	m := whisper.New(whisper.Dims{
		NMels: 80, NAudioCtx: nAudioCtx, NAudioState: 48, NAudioHead: 3, NAudioLayer: 2,
		NVocab: tok.NVocab(), NTextCtx: nTextCtx, NTextState: 48, NTextHead: 3, NTextLayer: 2, Unpadded: true,
	})
	m.Tokenizer = tok
	m.Generation = whisper.DefaultGeneration(m.Dims, tok)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, p := range m.Params() {
		scale := 1.5 / math.Sqrt(float64(p.Mat.Cols))
		for i := range p.Mat.Data {
			p.Mat.Data[i] = float32(rng.NormFloat64() * scale)
		}
	}
	if err := m.Pack(b, tensor.F32); err != nil {
		t.Fatal(err)
	}
	return m
}

// RandomMel returns a random log-mel of 80 bands.
func RandomMel(rng *rand.Rand, frames int) audio.Mel {
	m := audio.Mel{NMels: 80, Frames: frames, Data: make([]float32, 80*frames)}
	for i := range m.Data {
		m.Data[i] = float32(rng.NormFloat64())
	}
	return m
}

// Logits returns the logits of each text given its window, each under its adapter, all packed into
// one batch.
func Logits(t testing.TB, m *whisper.Model, o *tensor.Ops, a whisper.Adapter, mels []audio.Mel, index []int32, tokens [][]int32) [][]float32 {
	t.Helper()
	cross, err := m.Encode(o, a, mels, index)
	if err != nil {
		t.Fatal(err)
	}
	o.Reset()
	s := &whisper.Step{Ops: o, Adapter: a, AdapterOf: index, Cross: cross, Seg: tensor.Segments{0}}
	var all []int32
	for _, ts := range tokens {
		all = append(all, ts...)
		s.Seg = append(s.Seg, int32(len(all)))
	}
	y := m.Decoder.Logits(s, m.Decoder.Forward(s, all))
	y = o.Host(y)
	if err := o.Read(nil, tensor.Mat{}); err != nil {
		t.Fatal(err)
	}
	out := make([][]float32, len(tokens))
	for i := range out {
		from, to := s.Seg.Range(i)
		out[i] = slices.Clone(y.Slice(from, to).Data)
	}
	return out
}
