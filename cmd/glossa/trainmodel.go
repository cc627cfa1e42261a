package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/flora"
	"glossa/flora/train"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// geometry are the sizes of a new model.
type geometry struct {
	Width          int      `default:"192" help:"The width of the states."`
	Heads          int      `default:"3" help:"Attention heads."`
	EncoderLayers  int      `default:"4" help:"Blocks of the encoder."`
	DecoderLayers  int      `default:"2" help:"Blocks of the decoder."`
	FFN            int      `name:"ffn" placeholder:"N" help:"The inner width of the MLPs. (four times the width)"`
	Mels           int      `default:"80" help:"Mel bands."`
	Window         float64  `default:"10" help:"The longest sound in one piece, in seconds."`
	TextContext    int      `default:"128" help:"The longest text with its special tokens, in tokens; one window may have half of it."`
	Merges         int      `default:"1000" help:"Merges of the byte pair encoding, learnt from the texts."`
	BPELanguages   []string `name:"bpe-languages" placeholder:"CODES" help:"Languages whose texts it is learnt from. (all but --identify-only)"`
	LanguageTokens int      `placeholder:"N" help:"Language tokens, in Whisper's order. (up to the last language in the data)"`
}

// newModel returns a model of the geometry with random weights, its tokenizer learnt from the
// texts of the data. It is trained on sound that is not padded.
func (g *geometry) newModel(o *train.Options) (*whisper.Model, error) {
	texts, nLanguages, err := g.texts(o)
	if err != nil {
		return nil, err
	}
	nAudioCtx := int(math.Round(g.Window * whisper.TokensPerSecond))
	if g.Merges < 0 {
		return nil, fmt.Errorf("%w: --merges %d", train.ErrOptions, g.Merges)
	}
	tokenizer, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values(texts), g.Merges), nLanguages, 1+nAudioCtx)
	if err != nil {
		return nil, err
	}
	d := whisper.Dims{
		NMels: g.Mels, NAudioCtx: nAudioCtx, NAudioState: g.Width, NAudioHead: g.Heads, NAudioLayer: g.EncoderLayers, NAudioFFN: g.FFN,
		NVocab: tokenizer.NVocab(), NTextCtx: g.TextContext, NTextState: g.Width, NTextHead: g.Heads, NTextLayer: g.DecoderLayers, NTextFFN: g.FFN,
		Unpadded: true,
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	m := whisper.New(d)
	m.Tokenizer, m.Generation = tokenizer, whisper.DefaultGeneration(d, tokenizer)
	train.Initialize(m, o.Seed)
	return m, nil
}

// texts returns the texts to learn the tokenizer from, as they are trained on, and how many of
// Whisper's languages have a token.
func (g *geometry) texts(o *train.Options) (texts []string, nLanguages int, err error) {
	known := whisper.Languages()
	for _, s := range o.Data {
		utterances, err := train.ReadUtterances(s.Path, o.Language, nil)
		if err != nil {
			return nil, 0, err
		}
		for _, u := range utterances {
			at := slices.IndexFunc(known, func(l whisper.Language) bool { return l.Code == u.Lang })
			nLanguages = max(nLanguages, at+1)
			learn := !slices.Contains(o.IdentifyOnly, u.Lang)
			if len(g.BPELanguages) > 0 {
				learn = slices.Contains(g.BPELanguages, u.Lang)
			}
			if learn {
				texts = append(texts, " "+strings.TrimSpace(u.Text))
			}
		}
	}
	if g.LanguageTokens > 0 {
		if g.LanguageTokens < nLanguages {
			return nil, 0, fmt.Errorf("%w: --language-tokens %d, the data needs %d", train.ErrOptions, g.LanguageTokens, nLanguages)
		}
		nLanguages = g.LanguageTokens
	}
	return texts, nLanguages, nil
}

// fullModel returns the model to train as a whole: a new one, or an existing one to go on with.
func (t *trainCommand) fullModel(o *train.Options) (*whisper.Model, error) {
	if t.Model == "" {
		return t.newModel(o)
	}
	checkpoint, _, err := openModel(t.Model)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	return whisper.LoadPlain(checkpoint)
}

// frozenModel returns the model that adapters are trained over, the embedded one where name is "". It
// keeps its plain weights, for gradients pass through them.
func frozenModel(name string, b tensor.Backend) (*whisper.Model, error) {
	checkpoint, _, err := openModel(cmp.Or(name, nanoName))
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	m, err := whisper.LoadPlain(checkpoint)
	if err != nil {
		return nil, err
	}
	return m, m.Pack(b, tensor.F32)
}

// adapter returns what adapter is trained, named after the folder of the training.
func (t *trainCommand) adapter(seed uint64) train.AdapterOptions {
	return train.AdapterOptions{
		Kind: flora.Kind(t.Kind), Rank: t.Rank, Alpha: t.Alpha, Target: flora.Target(t.Target), Seed: seed,
		Name: filepath.Base(t.Out), Base: baseName(cmp.Or(t.Model, nanoName)),
	}
}

// baseName returns the name of a base model as adapters tell it: the last element of a path, or the whole
// name of a repository.
func baseName(model string) string {
	if _, err := os.Stat(model); err == nil {
		return filepath.Base(model)
	}
	return model
}
