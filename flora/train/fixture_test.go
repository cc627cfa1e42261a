package train

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// words are what the synthetic language says: each is a tone of its own.
var words = []string{"do", "re", "mi", "fa", "so", "la"}

// newTokenizer returns a tokenizer for the words, with two languages, en and zh.
func newTokenizer(tb testing.TB) *whisper.Tokenizer {
	tb.Helper()
	var texts []string
	for _, w := range words {
		texts = append(texts, "so "+w, "la "+w)
	}
	k, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values(texts), 40), 2, 151)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// newModel returns an initialised model of a width, with nLayer blocks on either side.
func newModel(tb testing.TB, nMels, nState, nLayer int) *whisper.Model {
	tb.Helper()
	k := newTokenizer(tb)
	m := whisper.New(whisper.Dims{
		NMels: nMels, NAudioCtx: 150, NAudioState: nState, NAudioHead: 2, NAudioLayer: nLayer,
		NVocab: k.NVocab(), NTextCtx: 24, NTextState: nState, NTextHead: 2, NTextLayer: nLayer,
		NAudioFFN: 4 * nState, NTextFFN: 4 * nState, Unpadded: true,
	})
	m.Tokenizer, m.Generation = k, whisper.DefaultGeneration(m.Dims, k)
	Initialize(m, 3)
	return m
}

// writeTones writes n utterances of one to three words to a folder, and their manifest, whose path
// it returns.
func writeTones(tb testing.TB, n int, lang string) string {
	tb.Helper()
	dir := tb.TempDir()
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	manifest, err := os.Create(filepath.Join(dir, "manifest.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	defer manifest.Close()
	for i := range n {
		var pcm []float32
		text := ""
		for range 1 + rng.IntN(3) {
			w := rng.IntN(len(words))
			text += " " + words[w]
			pcm = append(pcm, tone(300*math.Pow(1.5, float64(w)), 0.15)...)
			pcm = append(pcm, make([]float32, audio.SampleRate/20)...)
		}
		name := string(rune('a'+i/26)) + string(rune('a'+i%26)) + ".wav"
		writeWAV(tb, filepath.Join(dir, name), pcm)
		line, err := json.Marshal(map[string]any{"audio_filepath": name, "text": text[1:], "lang": lang})
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := manifest.Write(append(line, '\n')); err != nil {
			tb.Fatal(err)
		}
	}
	return manifest.Name()
}

// tone returns a sine of a frequency in Hz for so many seconds.
func tone(frequency, seconds float64) []float32 {
	pcm := make([]float32, int(seconds*audio.SampleRate))
	for i := range pcm {
		pcm[i] = 0.3 * float32(math.Sin(2*math.Pi*frequency*float64(i)/audio.SampleRate))
	}
	return pcm
}

// writeWAV writes mono samples of 16 bits.
func writeWAV(tb testing.TB, path string, pcm []float32) {
	tb.Helper()
	data := []byte("RIFF")
	data = binary.LittleEndian.AppendUint32(data, uint32(36+2*len(pcm)))
	data = append(data, "WAVEfmt "...)
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(audio.SampleRate), uint32(2 * audio.SampleRate), uint16(2), uint16(16)} {
		data, _ = binary.Append(data, binary.LittleEndian, v)
	}
	data = append(data, "data"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(2*len(pcm)))
	for _, v := range pcm {
		data = binary.LittleEndian.AppendUint16(data, uint16(int16(v*int16Scale)))
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		tb.Fatal(err)
	}
}

// newBackend returns the fast backend.
func newBackend(tb testing.TB) tensor.Backend {
	tb.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(b.Close)
	return b
}

// newOptions returns options for a small training of m on manifest.
func newOptions(tb testing.TB, m *whisper.Model, manifest string, steps int) Options {
	tb.Helper()
	o := DefaultOptions(Full)
	o.Backend, o.Model, o.Trainable = newBackend(tb), m, NewFull(m)
	o.Out, o.Data = filepath.Join(tb.TempDir(), "out"), []Source{{Path: manifest}}
	o.Steps, o.Warmup, o.BatchFrames, o.LearningRate = steps, 10, 600, 1e-3
	o.Warn = func(message string) { tb.Log(message) }
	return o
}
