package nano_test

import (
	"context"
	"io/fs"
	"maps"
	"math"
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

// open returns the model in a number format, its adapters, and the adapter of each language.
func open(t *testing.T, b tensor.Backend, dtype tensor.DType) (*whisper.Model, []*flora.Adapter, map[string]string) {
	t.Helper()
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := whisper.Load(c, b, dtype)
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
const maxBytes = 12_000_000

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

// TestLanguages checks that the languages of nano are those that it is tested in, that it has a token for each, and an adapter for
// those beside the base model's.
func TestLanguages(t *testing.T) {
	languages, err := nano.Languages()
	if err != nil {
		t.Fatal(err)
	}
	c, _, byLanguage, err := nano.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	base := languages[:len(languages)-len(byLanguage)]
	for i, code := range languages {
		if _, adapted := byLanguage[code]; !c.Tokenizer.Knows(code) || adapted != (i >= len(base)) {
			t.Errorf("%s: known %v, adapted %v, the base model writes %q", code, c.Tokenizer.Knows(code), adapted, base)
		}
	}
	tested := make(map[string]bool)
	for _, u := range utterances(t) {
		tested[u.Lang] = true
	}
	slices.Sort(languages)
	if want := slices.Sorted(maps.Keys(tested)); !slices.Equal(languages, want) {
		t.Errorf("languages %q, the test set has %q", languages, want)
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
		m, adapters, byLanguage := open(t, b, tensor.F32)
		batch, err := flora.NewBatch(m, b, adapters...)
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

// What the model is made for, on speech whose sentences and voices it never heard: the greatest word error rate of a language, and under
// adapters together the greatest share of the base model's rate. No adapter may be worse than the base model.
//
// English is heard worst of the base model's languages: it has the one voice of the set that is made of recordings.
const (
	maxBaseWER      = 0.25
	maxAdaptedWER   = 0.35
	maxAdaptedShare = 0.85
)

func TestErrorRates(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: -short: the whole test set is transcribed twice")
	}
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, adapters, byLanguage := open(t, b, tensor.F32)
	e, err := asr.New(m, b, adapters, byLanguage, asr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base, adapted := scores(t, e, asr.None), scores(t, e, asr.Auto)
	var without, under float64
	for lang, score := range base {
		wer := score.WER()
		if byLanguage[lang] == "" {
			if wer > maxBaseWER {
				t.Errorf("%s: word error rate %.3f, at most %.3f allowed", lang, wer, maxBaseWER)
			}
			continue
		}
		without, under = without+wer, under+adapted[lang].WER()
		if adapted[lang].WER() > min(maxAdaptedWER, wer) {
			t.Errorf("%s: word error rate %.3f under its adapter, %.3f of the base model", lang, adapted[lang].WER(), wer)
		}
	}
	if under > maxAdaptedShare*without {
		t.Errorf("adapters leave %.2f of the base model's errors, at most %.2f allowed", under/without, maxAdaptedShare)
	}
}

// How far number formats of weights may be from f32 on the test set. Noise of one step of 16 bits in the
// sound moves the rate of f32 by up to 0.004 by itself, a sentence at once, so that the rates alone would
// show little: few texts may change at all, about three times as many as do.
const maxDTypeDistance = 0.012

var maxOtherTexts = map[tensor.DType]float64{tensor.BF16: 0.06, tensor.I8: 0.1}

// TestErrorRatesByDType: error rates do not depend on the number format of weights.
func TestErrorRatesByDType(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: -short: the whole test set is transcribed by each number format")
	}
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	run := func(dtype tensor.DType) (wer float64, texts []string) {
		m, adapters, byLanguage := open(t, b, dtype)
		e, err := asr.New(m, b, adapters, byLanguage, asr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var total eval.Score
		texts = transcribed(t, e, asr.Auto, func(u eval.Utterance, text string) {
			total.Add(eval.ScoreUtterance(u.Text, text, u.Lang))
		})
		return total.WER(), texts
	}
	want, wantTexts := run(tensor.F32)
	for _, dtype := range []tensor.DType{tensor.BF16, tensor.I8} {
		wer, texts := run(dtype)
		others := 0
		for i := range texts {
			if texts[i] != wantTexts[i] {
				others++
			}
		}
		share := float64(others) / float64(len(texts))
		t.Logf("%s: word error rate %.4f, %.4f of f32; %.3f of the texts are others", dtype, wer, want, share)
		if distance := math.Abs(wer - want); distance > maxDTypeDistance || share > maxOtherTexts[dtype] {
			t.Errorf("%s: word error rate off by %.4f, at most %.3f allowed; %.3f of the texts are others, at most %.2f allowed",
				dtype, distance, maxDTypeDistance, share, maxOtherTexts[dtype])
		}
	}
}

// scores transcribes the test set in the languages that its manifest gives.
func scores(t *testing.T, e *asr.Engine, adapter string) map[string]*eval.Score {
	t.Helper()
	byLang := make(map[string]*eval.Score)
	transcribed(t, e, adapter, func(u eval.Utterance, text string) {
		if byLang[u.Lang] == nil {
			byLang[u.Lang] = new(eval.Score)
		}
		byLang[u.Lang].Add(eval.ScoreUtterance(u.Text, text, u.Lang))
	})
	return byLang
}

// transcribed returns the texts of the test set, and shows each to visit.
func transcribed(t *testing.T, e *asr.Engine, adapter string, visit func(u eval.Utterance, text string)) []string {
	t.Helper()
	us := utterances(t)
	texts := make([]string, len(us))
	var requests []asr.Request
	for _, u := range us {
		requests = append(requests, asr.Request{Language: u.Lang, Adapter: adapter, Decoding: asr.Decoding{BeamSize: 5, Temperatures: []float64{0}}, Audio: func() ([]float32, error) { return samples(t, u), nil }})
	}
	err := e.TranscribeAll(context.Background(), requests, func(i int, r *asr.Result) {
		if r.Err != nil {
			t.Errorf("%s: %v", us[i].AudioFilepath, r.Err)
		}
		texts[i] = r.Text
		visit(us[i], r.Text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
