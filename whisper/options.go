package whisper

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrOptions is the error of decoding options that make no sense.
var ErrOptions = errors.New("whisper: invalid decoding options")

// DecodeOptions say how one window is decoded (upstream DecodingOptions). The zero value detects
// the language and transcribes with timestamps by greedy search.
type DecodeOptions struct {
	// Language is a code such as "cs". The default value is "": detected by the decoder, among
	// all that the model knows.
	Language string

	// Task is "transcribe", or "translate" into English. The default value is "", transcribe.
	Task string

	// Temperature divides the logits that tokens are drawn from. The default value is 0: the
	// likeliest token is taken.
	Temperature float64

	// BestOf is the number of samples drawn at a temperature above 0, of which the likeliest is
	// the result. The default value is 0: one.
	BestOf int

	// Seed begins the random numbers: sample i of the window is drawn from the stream (Seed, i).
	Seed uint64

	// BeamSize is the number of beams at temperature 0. The default value is 0: greedy search.
	BeamSize int

	// Patience times BeamSize is the number of ended beams that ends the search (Kasai et al.
	// 2022). The default value is 0: 1.
	Patience float64

	// LengthPenalty is the α ≤ 1 of the penalty ((5+length)/6)^α that a text's log probability is
	// divided by before texts are compared (Wu et al. 2016, eq. 14). The default value is 0: it is
	// divided by the length.
	LengthPenalty float64

	// WithoutTimestamps asks for text tokens alone.
	WithoutTimestamps bool

	// Prompt are tokens of the text before, at most NTextCtx/2-1 of which are used, the last.
	Prompt []int32

	// Prefix are tokens that the window's text begins with.
	Prefix []int32

	// SampleLen is the greatest number of tokens to decode. The default value is 0: NTextCtx/2.
	SampleLen int

	// AllowBlank lets a text begin with a space or be empty.
	AllowBlank bool

	// AllowSymbols allows the tokens of non-speech symbols, upstream's "-1" in suppress_tokens.
	AllowSymbols bool

	// Suppress are more tokens that are never chosen. Where it is empty and symbols are allowed,
	// special tokens are allowed too, as upstream has it.
	Suppress []int32

	// MaxInitialStamp is the greatest first timestamp, in seconds; AnyFirstTime allows any. The
	// default value is 0: 1 s.
	MaxInitialStamp float64
	AnyFirstTime    bool
}

// Bounds of the options.
const (
	// maxInitialStamp is upstream's default of max_initial_timestamp, in seconds.
	maxInitialStamp = 1.0

	// maxHypotheses bounds the memory that one window can ask for.
	maxHypotheses = 100
)

// Check reports what makes no sense in the options, whatever the model. The error is ErrOptions.
func (o DecodeOptions) Check() error {
	positive := func(x float64) bool { return x >= 0 && !math.IsInf(x, 1) }
	for _, rule := range []struct {
		ok   bool
		what string
	}{
		{positive(o.Temperature), fmt.Sprintf("temperature %v", o.Temperature)},
		{o.BeamSize >= 0 && o.BeamSize <= maxHypotheses, fmt.Sprintf("beam size %d", o.BeamSize)},
		{o.BestOf >= 0 && o.BestOf <= maxHypotheses, fmt.Sprintf("best of %d", o.BestOf)},
		{o.BeamSize == 0 || o.Temperature == 0, "beam search at a temperature above 0"},
		{o.BestOf == 0 || o.Temperature > 0, "best of several at temperature 0"},
		{positive(o.Patience), fmt.Sprintf("patience %v", o.Patience)},
		{o.Patience == 0 || o.BeamSize > 0, "patience without beam search"},
		{o.BeamSize == 0 || o.patientBeams() >= 1, fmt.Sprintf("patience %v with %d beams", o.Patience, o.BeamSize)},
		{o.LengthPenalty >= 0 && o.LengthPenalty <= 1, fmt.Sprintf("length penalty %v", o.LengthPenalty)},
		{o.SampleLen >= 0, fmt.Sprintf("%d tokens to decode", o.SampleLen)},
		{positive(o.MaxInitialStamp), fmt.Sprintf("first timestamp of at most %v s", o.MaxInitialStamp)},
	} {
		if !rule.ok {
			return fmt.Errorf("%w: %s", ErrOptions, rule.what)
		}
	}
	return nil
}

// patientBeams returns the number of ended beams that ends a beam search.
func (o DecodeOptions) patientBeams() int {
	if o.Patience == 0 {
		return o.BeamSize
	}
	return int(min(math.RoundToEven(float64(o.BeamSize)*o.Patience), math.MaxInt32))
}

// search returns the search that the options ask for.
func (o DecodeOptions) search(eot int32) Search {
	if o.BeamSize > 0 {
		return newBeamSearch(o.BeamSize, o.patientBeams(), eot)
	}
	return newSampling(max(o.BestOf, 1), o.Temperature, o.Seed, eot)
}

// hypotheses returns the greatest number of hypotheses that live at once.
func (o DecodeOptions) hypotheses() int { return max(o.BeamSize, o.BestOf, 1) }

// initialTokens returns the tokens that a window's text follows, and where <|startoftranscript|>
// is among them (upstream _get_initial_tokens). The errors are ErrLanguage, ErrTask and ErrOptions.
func (m *Model) initialTokens(o DecodeOptions) (tokens []int32, sot int, err error) {
	t, half := m.Tokenizer, m.Dims.NTextCtx/2
	start, err := t.SOTSequence(o.Language, o.Task)
	if err != nil {
		return nil, 0, err
	}
	if o.WithoutTimestamps {
		start = append(start, t.NoTimestamps())
	}
	prefix := o.Prefix
	if limit := half - o.SampleLen; o.SampleLen > 0 && limit > 0 {
		prefix = prefix[max(0, len(prefix)-limit):]
	}
	if len(o.Prompt) > 0 {
		tokens = append(tokens, t.SOTPrev())
		tokens = append(tokens, o.Prompt[max(0, len(o.Prompt)-(half-1)):]...)
	}
	sot = len(tokens)
	tokens = append(append(tokens, start...), prefix...)
	if len(tokens) > m.Dims.NTextCtx {
		return nil, 0, fmt.Errorf("%w: %d initial tokens, the model takes %d", ErrOptions, len(tokens), m.Dims.NTextCtx)
	}
	for _, id := range slices.Concat(tokens, o.Suppress) {
		if id < 0 || int(id) >= m.Dims.NVocab {
			return nil, 0, fmt.Errorf("%w: token %d of a vocabulary of %d", ErrOptions, id, m.Dims.NVocab)
		}
	}
	return tokens, sot, nil
}

// filters returns the logit filters of upstream's DecodingTask, in its order.
func (m *Model) filters(o DecodeOptions, begin int) []Filter {
	t := m.Tokenizer
	var fs []Filter
	if !o.AllowBlank {
		fs = append(fs, suppressBlank{begin, t.BeginSuppressTokens()})
	}
	suppress := suppressTokens(slices.Clone(o.Suppress))
	if !o.AllowSymbols {
		suppress = append(suppress, t.nonSpeech...)
	}
	if len(suppress) > 0 {
		fs = append(fs, append(suppress, t.promptTokens()...))
	}
	if !o.WithoutTimestamps {
		r := timestampRules{begin: begin, eot: t.EOT(), none: t.NoTimestamps(), first: t.TimestampBegin(), end: int32(m.Dims.NVocab), maxInitial: -1}
		if !o.AnyFirstTime {
			limit := o.MaxInitialStamp
			if limit == 0 {
				limit = maxInitialStamp
			}
			r.maxInitial = int(min(math.RoundToEven(limit*TokensPerSecond), math.MaxInt32))
		}
		fs = append(fs, r)
	}
	return fs
}
