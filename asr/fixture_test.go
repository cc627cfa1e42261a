package asr

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// windowSeconds is the length in seconds of the test models' window.
const windowSeconds = 2

// spoken are the words of the test models, and all that they write: no other token has a logit
// worth mentioning.
var spoken = []string{" red", " green", " blue"}

// newModel returns a packed model of random weights that knows the languages up to Czech.
func newModel(tb testing.TB, b tensor.Backend, unpadded bool) *whisper.Model {
	tb.Helper()
	const nState, nAudioCtx = 16, windowSeconds * whisper.TokensPerSecond
	texts := slices.Repeat(spoken, 2)
	nLanguages := 1 + slices.IndexFunc(whisper.Languages(), func(l whisper.Language) bool { return l.Code == "cs" })
	tokenizer, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values(texts), 20), nLanguages, 1+nAudioCtx)
	if err != nil {
		tb.Fatal(err)
	}
	d := whisper.Dims{
		NMels: 80, NAudioCtx: nAudioCtx, NAudioState: nState, NAudioHead: 2, NAudioLayer: 1,
		NVocab: tokenizer.NVocab(), NTextCtx: 16, NTextState: nState, NTextHead: 2, NTextLayer: 1,
		Unpadded: unpadded,
	}
	m := whisper.New(d)
	m.Tokenizer, m.Generation = tokenizer, whisper.DefaultGeneration(d, tokenizer)
	train.Initialize(m, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	clear(m.Decoder.Tokens.Data)
	for _, w := range spoken {
		for _, id := range tokenizer.Encode(w) {
			row := m.Decoder.Tokens.Row(int(id))
			for i := range row {
				row[i] = float32(4 * rng.NormFloat64())
			}
		}
	}
	if err := m.Pack(b, tensor.F32); err != nil {
		tb.Fatal(err)
	}
	return m
}

// newAdapter returns an adapter of m whose factors are random.
func newAdapter(tb testing.TB, m *whisper.Model, name string, k flora.Kind) *flora.Adapter {
	tb.Helper()
	rng := rand.New(rand.NewPCG(3, uint64(name[0])))
	a, err := flora.New(m, name, k, 1, flora.All, rng)
	if err != nil {
		tb.Fatal(err)
	}
	_, mats := a.Params()
	for _, mat := range mats {
		for i := range mat.Data {
			mat.Data[i] += float32(rng.NormFloat64())
		}
	}
	return a
}

// newEngine returns an engine with an fLoRA adapter for Czech and a LoRA adapter for German.
func newEngine(tb testing.TB, unpadded bool, o Options) *Engine {
	tb.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	m := newModel(tb, b, unpadded)
	adapters := []*flora.Adapter{newAdapter(tb, m, "cs", flora.FLoRA), newAdapter(tb, m, "de", flora.LoRA)}
	e, err := New(m, b, adapters, map[string]string{"cs": "cs", "de": "de"}, o)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// sized returns options of an engine.
func sized(maxWindows, maxEncoderFrames int) Options {
	return Options{SchedulerOptions: SchedulerOptions{MaxWindows: maxWindows, MaxEncoderFrames: maxEncoderFrames}}
}

// ops returns the operations of an engine that has nothing to do.
func ops(e *Engine) *tensor.Ops { return e.stations[0].device.(*modelDevice).ops }

// chirp returns a request for a tone of rising pitch, in seconds.
func chirp(hertz, seconds float64, q Request) Request {
	pcm := make([]float32, int(seconds*audio.SampleRate))
	for i := range pcm {
		t := float64(i) / audio.SampleRate
		pcm[i] = 0.3 * float32(math.Sin(2*math.Pi*hertz*t*(1+t)))
	}
	q.Audio = func() ([]float32, error) { return pcm, nil }
	return q
}

// transcribe returns the results of requests, each of which must be done once.
func transcribe(tb testing.TB, e *Engine, requests ...Request) []*Result {
	tb.Helper()
	results := make([]*Result, len(requests))
	err := e.TranscribeAll(tb.Context(), requests, func(i int, r *Result) {
		if results[i] != nil {
			tb.Errorf("request %d is done twice", i)
		}
		results[i] = r
	})
	if err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r == nil {
			tb.Fatalf("request %d is not done", i)
		}
	}
	return results
}
