package goldentest

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"glossa/whisper"
)

// DecodeCase is one call of whisper.decode() in a kit's decode.json.
type DecodeCase struct {
	Name    string
	Clip    string
	Options map[string]json.RawMessage
	Result  struct {
		Language         string
		Tokens           []int32
		Text             string
		AvgLogProb       float64 `json:"avg_logprob"`
		NoSpeechProb     float64 `json:"no_speech_prob"`
		CompressionRatio float64 `json:"compression_ratio"`
	}
	Margins struct {
		Top []float64
		TS  []*float64
	}
	Stable bool `json:"same_with_noise_0.0001"`
}

// Tolerances of scores: see the kit's manifest.
const (
	AvgLogProbTolerance   = 2e-3
	NoSpeechProbTolerance = 1e-3
)

// NumericError bounds how far our logits are from the reference's: see the kit's tolerances.
const NumericError = 2e-3

// Greedy says whether the case asks for no more than greedy search.
func (c DecodeCase) Greedy() bool { return c.Margins.Top != nil }

// DecodeOptions translates upstream's DecodingOptions; !ok where the case draws random numbers.
func (c DecodeCase) DecodeOptions(t *testing.T, tok *whisper.Tokenizer) (o whisper.DecodeOptions, ok bool) {
	t.Helper()
	read := func(raw json.RawMessage, v any) {
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatalf("%s: option %s: %v", c.Name, raw, err)
		}
	}
	tokens := func(raw json.RawMessage) (ids []int32) {
		if raw[0] == '"' {
			var text string
			read(raw, &text)
			return tok.Encode(" " + strings.TrimSpace(text))
		}
		read(raw, &ids)
		return ids
	}
	for name, raw := range c.Options {
		null := string(raw) == "null"
		switch name {
		case "language":
			read(raw, &o.Language)
		case "task":
			read(raw, &o.Task)
		case "without_timestamps":
			read(raw, &o.WithoutTimestamps)
		case "prompt":
			o.Prompt = tokens(raw)
		case "prefix":
			o.Prefix = tokens(raw)
		case "sample_len":
			read(raw, &o.SampleLen)
		case "suppress_blank":
			var suppress bool
			read(raw, &suppress)
			o.AllowBlank = !suppress
		case "suppress_tokens":
			var err error
			if o.AllowSymbols, o.Suppress, err = SuppressTokens(raw); err != nil {
				t.Fatal(err)
			}
		case "max_initial_timestamp":
			read(raw, &o.MaxInitialStamp)
			o.AnyFirstTime = o.MaxInitialStamp == 0 // and where it is null
		case "temperature":
			read(raw, &o.Temperature)
		case "best_of":
			read(raw, &o.BestOf)
		case "beam_size":
			read(raw, &o.BeamSize)
		case "patience":
			read(raw, &o.Patience)
		case "length_penalty":
			if read(raw, &o.LengthPenalty); o.LengthPenalty == 0 && !null {
				o.LengthPenalty = math.SmallestNonzeroFloat64
			}
		case "fp16": // on a CPU, upstream never does
		default:
			t.Fatalf("%s: unknown option %s", c.Name, name)
		}
	}
	return o, o.Temperature == 0
}

// SuppressTokens translates upstream's suppress_tokens: a list of tokens, as such or as text, in
// which -1 stands for the symbols.
func SuppressTokens(raw json.RawMessage) (allowSymbols bool, ids []int32, err error) {
	var text string
	if json.Unmarshal(raw, &text) == nil && string(raw) != "null" {
		raw = json.RawMessage("[" + text + "]")
	}
	err = json.Unmarshal(raw, &ids)
	allowSymbols = !slices.Contains(ids, -1)
	return allowSymbols, slices.DeleteFunc(ids, func(id int32) bool { return id < 0 }), err
}

// certain returns the number of leading tokens whose choice no numeric error of ours can change.
func (c DecodeCase) certain() int {
	if c.Stable {
		return len(c.Result.Tokens)
	}
	return c.Certain(NumericError)
}

// Certain returns the number of leading tokens whose choice no error of that much between two logits can change.
func (c DecodeCase) Certain(numericError float64) int {
	if !c.Greedy() {
		return 0
	}
	for i, m := range c.Margins.Top {
		if m < numericError || i < len(c.Margins.TS) && c.Margins.TS[i] != nil && math.Abs(*c.Margins.TS[i]) < numericError {
			return min(i, len(c.Result.Tokens))
		}
	}
	return len(c.Result.Tokens)
}

// CheckCertain compares the tokens of a result with the reference's up to the first whose choice an error of that much between two logits
// may change. It says whether the whole text is the reference's.
func (c DecodeCase) CheckCertain(t *testing.T, what string, got whisper.Decoded, numericError float64) (same bool) {
	t.Helper()
	if got.Err != nil {
		t.Errorf("%s: %s: %v", what, c.Name, got.Err)
		return false
	}
	if got.Language != c.Result.Language {
		return got.Text == c.Result.Text // it is part of what the tokens follow on
	}
	n := c.Certain(numericError)
	if tokens := got.Tokens; len(tokens) < n || !slices.Equal(tokens[:n], c.Result.Tokens[:n]) {
		t.Errorf("%s: %s (%s): tokens\n%d, want\n%d and more", what, c.Name, c.Clip, tokens, c.Result.Tokens[:n])
	}
	return got.Text == c.Result.Text
}

// Check compares a result with the reference's.
func (c DecodeCase) Check(t *testing.T, got whisper.Decoded) {
	t.Helper()
	if got.Err != nil {
		t.Errorf("%s: %v", c.Name, got.Err)
		return
	}
	want := c.Result
	n := c.certain()
	if len(got.Tokens) < n || !slices.Equal(got.Tokens[:n], want.Tokens[:n]) {
		t.Errorf("%s (%s): tokens\n%d, want\n%d", c.Name, c.Clip, got.Tokens, want.Tokens)
		return
	}
	if got.Language != want.Language {
		t.Errorf("%s: language %s, want %s", c.Name, got.Language, want.Language)
	}
	what := c.Clip + ", " + c.Name
	Within(t, "decode no_speech_prob", what, math.Abs(got.NoSpeechProb-want.NoSpeechProb), NoSpeechProbTolerance)
	if n < len(want.Tokens) || len(got.Tokens) != n {
		t.Logf("%s: %d tokens of %d compared, the others are not certain", what, n, len(want.Tokens))
		return
	}
	Within(t, "decode avg_logprob", what, math.Abs(got.AvgLogProb-want.AvgLogProb), AvgLogProbTolerance)
	Within(t, "decode compression_ratio", what, math.Abs(got.CompressionRatio-want.CompressionRatio), 0)
	if got.Text != want.Text {
		t.Errorf("%s: text %q, want %q", c.Name, got.Text, want.Text)
	}
}
