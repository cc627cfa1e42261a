package nano_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"glossa/asr"
	"glossa/audio"
	"glossa/eval"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/nano"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

const manifest = "../../testdata/multilingual/manifest.jsonl"

// open returns the model, its adapters in one batch, and the adapter of each language.
func open(t *testing.T, b tensor.Backend) (*whisper.Model, []*flora.Adapter, map[string]string) {
	t.Helper()
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	return m, adapters, byLanguage
}

func utterances(t *testing.T) []eval.Utterance {
	t.Helper()
	us, err := eval.ReadManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return us
}

func samples(t *testing.T, u eval.Utterance) []float32 {
	t.Helper()
	pcm, err := audio.DecodeFile(u.AudioFilepath)
	if err != nil {
		t.Fatal(err)
	}
	return pcm.Samples
}

// maxBytes is what the embedded files may take together.
const maxBytes = 10_000_000

func TestSize(t *testing.T) {
	total := int64(0)
	for _, dir := range []string{"model", "adapters"} {
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				total += info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if total > maxBytes {
		t.Errorf("the embedded files take %d bytes, at most %d are allowed", total, maxBytes)
	}
}

// TestMixedBatchIsAlone: in a batch of all languages, each under its own adapter, an utterance has
// bitwise the logits that it has alone, on every instruction set of this machine.
func TestMixedBatchIsAlone(t *testing.T) {
	first := make(map[string]eval.Utterance)
	for _, u := range utterances(t) {
		if _, ok := first[u.Lang]; !ok {
			first[u.Lang] = u
		}
	}
	for _, isa := range []string{"avx512", "avx2", "go"} {
		b, err := cpu.New(cpu.Options{ISA: isa})
		if err != nil {
			t.Logf("%s is not tested: %v", isa, err)
			continue
		}
		m, adapters, byLanguage := open(t, b)
		batch, err := flora.NewBatch(m, adapters...)
		if err != nil {
			t.Fatal(err)
		}
		var mels []audio.Mel
		var index []int32
		var tokens [][]int32
		for lang, u := range first {
			mel, err := audio.LogMel(samples(t, u), m.Dims.NMels)
			if err != nil {
				t.Fatal(err)
			}
			i, err := batch.Index(byLanguage[lang])
			if err != nil {
				t.Fatal(err)
			}
			start, err := m.Tokenizer.SOTSequence(lang, "")
			if err != nil {
				t.Fatal(err)
			}
			text := append(append(start, m.Tokenizer.NoTimestamps()), m.Tokenizer.Encode(" "+u.Text)...)
			mels, index, tokens = append(mels, mel), append(index, i), append(tokens, text)
		}
		o := tensor.NewOps(b)
		together := goldentest.Logits(t, m, o, batch, mels, index, tokens)
		for i := range mels {
			alone := goldentest.Logits(t, m, o, batch, mels[i:i+1], index[i:i+1], tokens[i:i+1])
			if !slices.Equal(alone[0], together[i]) {
				t.Errorf("%s: the logits of utterance %d depend on its neighbours", isa, i)
			}
		}
	}
}

// What the model is made for, on speech whose sentences and voices it never heard: the greatest word
// error rate of a language of the base model, and under an adapter, which has to be at most a share of
// the base model's.
const (
	maxBaseWER      = 0.10
	maxAdaptedWER   = 0.20
	maxAdaptedShare = 0.5
)

func TestErrorRates(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: -short: the whole test set is transcribed twice")
	}
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, adapters, byLanguage := open(t, b)
	e, err := asr.New(m, b, adapters, byLanguage, asr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base, adapted := scores(t, e, asr.None), scores(t, e, asr.Auto)
	for lang, score := range base {
		if byLanguage[lang] == "" {
			if wer := score.WER(); wer > maxBaseWER {
				t.Errorf("%s: word error rate %.3f, at most %.3f allowed", lang, wer, maxBaseWER)
			}
		} else if wer := adapted[lang].WER(); wer > min(maxAdaptedWER, maxAdaptedShare*score.WER()) {
			t.Errorf("%s: word error rate %.3f under its adapter, %.3f of the base model", lang, wer, score.WER())
		}
	}
}

// scores transcribes the test set in the languages that its manifest gives.
func scores(t *testing.T, e *asr.Engine, adapter string) map[string]*eval.Score {
	t.Helper()
	us := utterances(t)
	var requests []asr.Request
	for _, u := range us {
		requests = append(requests, asr.Request{Language: u.Lang, Adapter: adapter, Decoding: asr.Decoding{BeamSize: 5, Temperatures: []float64{0}}, Audio: func() ([]float32, error) { return samples(t, u), nil }})
	}
	byLang := make(map[string]*eval.Score)
	err := e.TranscribeAll(context.Background(), requests, func(i int, r *asr.Result) {
		u := us[i]
		if r.Err != nil {
			t.Errorf("%s: %v", u.AudioFilepath, r.Err)
		}
		if byLang[u.Lang] == nil {
			byLang[u.Lang] = new(eval.Score)
		}
		byLang[u.Lang].Add(eval.ScoreUtterance(u.Text, r.Text, u.Lang))
	})
	if err != nil {
		t.Fatal(err)
	}
	return byLang
}
