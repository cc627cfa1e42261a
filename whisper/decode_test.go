package whisper_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/goldentest"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// searchBed is a model and some windows to search on.
type searchBed struct {
	model *whisper.Model
	ops   *tensor.Ops
	cross []*whisper.CrossKV
}

func newSearchBed(t *testing.T) searchBed {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := searchBed{model: goldentest.Tiny(t, b, 4), ops: tensor.NewOps(b)}
	rng := rand.New(rand.NewPCG(8, 8))
	var mels []audio.Mel
	for range 4 {
		mels = append(mels, goldentest.RandomMel(rng, 20+rng.IntN(60)))
	}
	if s.cross, err = s.model.Encode(s.ops, nil, mels, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// decode decodes windows together.
func (s searchBed) decode(t *testing.T, us ...whisper.Utterance) []whisper.Decoded {
	t.Helper()
	got, err := s.model.Decode(context.Background(), s.ops, nil, us)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range got {
		if d.Err != nil {
			t.Fatalf("window %d: %v", i, d.Err)
		}
	}
	return got
}

// searches are options of every kind of search.
func searches() []whisper.DecodeOptions {
	all := []whisper.DecodeOptions{
		{}, {BeamSize: 1}, {BeamSize: 2}, {BeamSize: 5}, {BeamSize: 5, Patience: 2, LengthPenalty: 0.7}, {BeamSize: 7, WithoutTimestamps: true},
		{Temperature: 0.4, Seed: 1}, {Temperature: 1, BestOf: 5, Seed: 2}, {Temperature: 1.5, BestOf: 3, Seed: 3, WithoutTimestamps: true},
	}
	for i := range all {
		all[i].Language = "en"
	}
	return all
}

// TestSearchesBatchedAreAlone checks that a window's result is the same to the bit alone and in a
// batch of all kinds of searches, in any order.
func TestSearchesBatchedAreAlone(t *testing.T) {
	s := newSearchBed(t)
	var us []whisper.Utterance
	for _, o := range searches() {
		for _, c := range s.cross {
			us = append(us, whisper.Utterance{Cross: c, Options: o})
		}
	}
	rand.New(rand.NewPCG(1, 9)).Shuffle(len(us), func(i, j int) { us[i], us[j] = us[j], us[i] })
	for i, together := range s.decode(t, us...) {
		if alone := s.decode(t, us[i])[0]; !reflect.DeepEqual(alone, together) {
			t.Errorf("%+v: in the batch\n%+v, alone\n%+v", us[i].Options, together, alone)
		}
	}
}

func TestOneBeamIsGreedy(t *testing.T) {
	s := newSearchBed(t)
	for i, c := range s.cross {
		greedy := whisper.DecodeOptions{Language: "en"}
		beam := greedy
		beam.BeamSize = 1
		got := s.decode(t, whisper.Utterance{Cross: c, Options: greedy}, whisper.Utterance{Cross: c, Options: beam})
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("window %d: greedy\n%+v, one beam\n%+v", i, got[0], got[1])
		}
	}
}

// TestLogProbIsThatOfTheTokens checks the log probability of each result against one pass over its
// tokens without a cache: hypotheses have kept the caches that belong to them. No filter changes
// what is likely but for the tokens that only prompts hold.
func TestLogProbIsThatOfTheTokens(t *testing.T) {
	s := newSearchBed(t)
	tok := s.model.Tokenizer
	for _, o := range searches() {
		o.AllowSymbols, o.AllowBlank, o.WithoutTimestamps = true, true, true
		d := s.decode(t, whisper.Utterance{Cross: s.cross[0], Options: o})[0]
		tokens, err := tok.SOTSequence("en", "")
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, tok.NoTimestamps())
		begin := len(tokens)
		tokens = append(tokens, d.Tokens...)
		s.ops.Reset()
		step := &whisper.Step{Ops: s.ops, Cross: s.cross[:1], Seg: tensor.NewSegments(len(tokens))}
		y := s.ops.LogSoftmax(s.model.Decoder.Logits(step, s.model.Decoder.Forward(step, tokens)))
		sum := 0.0
		for i := begin; i < len(tokens); i++ {
			sum += float64(y.Row(i - 1)[tokens[i]])
		}
		ended := sum + float64(y.Row(len(tokens) - 1)[tok.EOT()])
		got := d.AvgLogProb * float64(len(d.Tokens)+1)
		if math.Abs(got-sum) > 1e-4 && math.Abs(got-ended) > 1e-4 {
			t.Errorf("%+v: log probability %v, of its tokens %v, and with the end %v", o, got, sum, ended)
		}
	}
}

func TestDecodeRefusesOptions(t *testing.T) {
	s := newSearchBed(t)
	nan, inf := math.NaN(), math.Inf(1)
	for _, o := range []whisper.DecodeOptions{
		{Temperature: -1}, {Temperature: nan}, {Temperature: inf}, {BeamSize: -1}, {BeamSize: 1 << 40}, {BestOf: 2}, {BestOf: -1, Temperature: 1},
		{BestOf: 1 << 40, Temperature: 1}, {BeamSize: 2, Temperature: 0.1}, {BeamSize: 2, Patience: -1}, {BeamSize: 2, Patience: nan},
		{BeamSize: 2, Patience: inf}, {BeamSize: 2, Patience: 0.1}, {Patience: 1}, {LengthPenalty: 1.1}, {LengthPenalty: -0.1}, {LengthPenalty: nan},
		{SampleLen: -1}, {MaxInitialStamp: -1}, {MaxInitialStamp: nan}, {Suppress: []int32{-1}}, {Prefix: make([]int32, 1000)},
	} {
		if err := s.model.CheckOptions(o); !errors.Is(err, whisper.ErrOptions) {
			t.Errorf("%+v: %v, want %v", o, err, whisper.ErrOptions)
		}
	}
	for _, o := range append(searches(), whisper.DecodeOptions{BeamSize: 2, Patience: 1e300}, whisper.DecodeOptions{MaxInitialStamp: 1e300}) {
		if err := s.model.CheckOptions(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
