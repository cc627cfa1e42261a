package whisper

import (
	"fmt"
	"math"

	"glossa/whisper/tensor"
)

// LanguageProbs are the probabilities of the languages that a model knows, by code.
type LanguageProbs map[string]float64

// Best returns the likeliest language and its probability.
func (p LanguageProbs) Best() (code string, prob float64) {
	for c, q := range p {
		if q > prob || q == prob && c < code {
			code, prob = c, q
		}
	}
	return code, prob
}

// DetectLanguage returns, for each window, the probabilities of the languages as the first token
// after <|startoftranscript|> (upstream detect_language), among those that allowed lists for the
// window, or all where it lists none. adapterOf and allowed may be nil: all under adapter 0, and
// all languages.
func (m *Model) DetectLanguage(o *tensor.Ops, adapter Adapter, cross []*CrossKV, adapterOf []int32, allowed [][]string) ([]LanguageProbs, error) {
	if len(cross) == 0 {
		return nil, nil
	}
	if allowed == nil {
		allowed = make([][]string, len(cross))
	}
	choices := make([]tensor.Choice, len(cross))
	for i := range choices {
		var err error
		if choices[i].Named, err = m.languageTokens(allowed[i]); err != nil {
			return nil, err
		}
	}
	o.Reset()
	s := &Step{Ops: o, Adapter: adapter, AdapterOf: adapterOf, Cross: cross, Seg: make(tensor.Segments, len(cross)+1)}
	start := make([]int32, len(cross))
	for i := range start {
		start[i] = m.Tokenizer.SOT()
		s.Seg[i+1] = int32(i + 1)
	}
	if err := o.Pick(m.Decoder.Logits(s, m.Decoder.Forward(s, start)), choices); err != nil {
		return nil, err
	}
	probs := make([]LanguageProbs, len(cross))
	for i := range probs {
		probs[i] = m.languageProbs(o.Chooser(), choices[i])
	}
	return probs, nil
}

// languageTokens returns the tokens of the languages with these codes, or of all. The error is ErrLanguage.
func (m *Model) languageTokens(codes []string) ([]int32, error) {
	if len(codes) == 0 {
		codes = m.Tokenizer.languages
	}
	ids := make([]int32, len(codes))
	for i, code := range codes {
		var ok bool
		if ids[i], ok = m.Tokenizer.LanguageToken(code); !ok {
			return nil, fmt.Errorf("%w: %q", ErrLanguage, code)
		}
	}
	return ids, nil
}

// languageProbs returns the softmax of the logits of the languages that the choice names.
func (m *Model) languageProbs(k tensor.Chooser, c tensor.Choice) LanguageProbs {
	total, probs := tensor.LogSumExp(k, c.NamedLogits), make(LanguageProbs, len(c.Named))
	for i, id := range c.Named {
		code, _ := m.Tokenizer.LanguageOf(id)
		probs[code] = math.Exp(float64(c.NamedLogits[i]) - total)
	}
	return probs
}

// detectMissing sets the language of each result: the option's, or the detected.
func (m *Model) detectMissing(o *tensor.Ops, adapter Adapter, us []Utterance, out []Decoded) error {
	var at []int
	var cross []*CrossKV
	var adapterOf []int32
	for i, u := range us {
		out[i].Language = u.Options.Language
		switch {
		case u.Options.Language != "":
		case !m.Tokenizer.Multilingual():
			out[i].Language = "en"
		default:
			at, cross, adapterOf = append(at, i), append(cross, u.Cross), append(adapterOf, u.Adapter)
		}
	}
	probs, err := m.DetectLanguage(o, adapter, cross, adapterOf, nil)
	if err != nil {
		return err
	}
	for j, i := range at {
		out[i].Language, out[i].LanguageProb = probs[j].Best()
	}
	return nil
}
