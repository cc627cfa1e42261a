package whisper_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
)

// TestGoldenFormatsGiveTheSameModel reads each random model of the kit in every format that the kit has it in: all numbers are
// those of the Hugging Face directory, and so are the tokens that it decodes.
func TestGoldenFormatsGiveTheSameModel(t *testing.T) {
	k := openKit(t)
	read := 0
	k.Each(t, func(t *testing.T, name string, m *whisper.Model) {
		var files []string
		for _, pattern := range []string{"openai/*.pt", "ggml/*.bin"} {
			found, err := filepath.Glob(filepath.Join(k.Dir, "models", name, filepath.FromSlash(pattern)))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
		read += len(files)
		want := decodeSome(t, k, name, m)
		for _, file := range files {
			c, err := whisper.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			other, err := whisper.Load(c, k.Backend, tensor.F32)
			if err != nil {
				t.Fatal(err)
			}
			params := plainParams(t, file)
			for i, p := range plainParams(t, filepath.Join(k.Dir, "models", name, "hf")) {
				if params[i].Name != p.Name || !slices.Equal(params[i].Mat.Data, p.Mat.Data) {
					t.Errorf("%s: %s differs", filepath.Base(file), p.Name)
				}
			}
			if len(params) != len(c.Names()) {
				t.Errorf("%s: %d tensors, the model has %d parameters", filepath.Base(file), len(c.Names()), len(params))
			}
			got := decodeSome(t, k, name, other)
			for i := range want {
				if !slices.Equal(got[i].Tokens, want[i].Tokens) || got[i].Text != want[i].Text || got[i].AvgLogProb != want[i].AvgLogProb {
					t.Errorf("%s: %d %q %v, want %d %q %v", filepath.Base(file), got[i].Tokens, got[i].Text, got[i].AvgLogProb, want[i].Tokens, want[i].Text, want[i].AvgLogProb)
				}
			}
			t.Logf("%s: %d parameters and %d clips as in the Hugging Face directory", filepath.Base(file), len(params), len(want))
		}
	})
	if read == 0 {
		t.Skipf("SKIP: models in other formats than Hugging Face's absent in %s", k.Dir)
	}
}

// decodeSome decodes a few clips of the kit, their languages detected.
func decodeSome(t *testing.T, k *goldentest.Kit, name string, m *whisper.Model) []whisper.Decoded {
	t.Helper()
	const most = 3
	clips, err := filepath.Glob(filepath.Join(k.Dir, "audio", "*.wav"))
	if err != nil || len(clips) == 0 {
		t.Fatalf("the kit has no audio: %v", err)
	}
	var mels []audio.Mel
	for _, clip := range clips[:min(most, len(clips))] {
		base := filepath.Base(clip)
		mels = append(mels, k.Mel(t, base[:len(base)-len(filepath.Ext(base))], m.Dims))
	}
	o := tensor.NewOps(k.Backend)
	cross, err := m.Encode(o, nil, mels, nil)
	if err != nil {
		t.Fatal(err)
	}
	us := make([]whisper.Utterance, len(cross))
	for i := range us {
		us[i].Cross = cross[i]
	}
	got, err := m.Decode(context.Background(), o, nil, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range got {
		if d.Err != nil || len(d.Tokens) == 0 {
			t.Fatalf("%s: clip %d: %d tokens, %v", name, i, len(d.Tokens), d.Err)
		}
	}
	return got
}

// TestVocabularyOfWhisperCPP opens a file of whisper.cpp that has no tensors.
func TestVocabularyOfWhisperCPP(t *testing.T) {
	c, err := whisper.Open(whisper.DataFile(t, "whisper.cpp's ggml vocabulary", "assets", "for-tests-ggml-base.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := " Ask not what your country can do; 日本語と한국어."
	if got := c.Tokenizer.Decode(c.Tokenizer.Encode(text)); got != text {
		t.Errorf("%q comes back as %q", text, got)
	}
	if got := c.Tokenizer.Encode(" not what"); !slices.Equal(got, []int32{406, 437}) {
		t.Errorf("tokens %d", got)
	}
	if n := len(c.Tokenizer.LanguageCodes()); n != 99 || c.Tokenizer.EOT() != 50257 || c.Tokenizer.TimestampBegin() != 50364 {
		t.Errorf("%d languages, end of text %d, timestamps from %d", n, c.Tokenizer.EOT(), c.Tokenizer.TimestampBegin())
	}
	if _, err := whisper.LoadPlain(c); err == nil {
		t.Error("a model without tensors loads")
	}
}

// plainParams are the parameters of a model with their numbers.
func plainParams(t *testing.T, path string) []whisper.Param {
	t.Helper()
	c, err := whisper.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := whisper.LoadPlain(c)
	if err != nil {
		t.Fatal(err)
	}
	return m.Params()
}
