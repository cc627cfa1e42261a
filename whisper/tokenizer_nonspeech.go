package whisper

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// The symbols of upstream's non_speech_tokens: marks that annotate speech instead of spelling it.
const (
	nonSpeechSymbols = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 " +
		"<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪"
	// musicSymbols are suppressed by their first token, which they share, even where they take several.
	musicSymbols = "♩ ♪ ♫ ♬ ♭ ♮ ♯"
	// nonSpeechStarts may stand within a word but not begin one.
	nonSpeechStarts = "- '"
)

// NonSpeechTokens is upstream's non_speech_tokens, sorted: tokens whose only use is to annotate ("♪", "[", "(("), and " -" and " '".
//
// In a small vocabulary, where such a symbol is spelt in pieces, its first token may be a bare byte or space, or both, that
// ordinary words need; such a token is never in the list. In upstream's vocabularies this leaves nothing out.
func (t *Tokenizer) NonSpeechTokens() []int32 { return slices.Clone(t.nonSpeech) }

// findNonSpeech computes NonSpeechTokens.
func (t *Tokenizer) findNonSpeech() []int32 {
	set := map[int32]bool{}
	add := func(text string, needWhole bool) {
		tokens := t.Encode(text)
		whole := len(tokens) == 1
		if whole || !needWhole && len(bytes.TrimPrefix(t.bytes[tokens[0]], []byte(" "))) > 1 {
			set[tokens[0]] = true
		}
	}
	for _, s := range strings.Fields(nonSpeechSymbols) {
		add(s, true)
		add(" "+s, true)
	}
	for _, s := range strings.Fields(musicSymbols) {
		add(s, false)
		add(" "+s, false)
	}
	for _, s := range strings.Fields(nonSpeechStarts) {
		add(" "+s, false)
	}
	return slices.Sorted(maps.Keys(set))
}

// SuppressTokens is what upstream never lets a search choose by default, sorted: NonSpeechTokens and the special tokens that only
// prompts hold.
func (t *Tokenizer) SuppressTokens() []int32 {
	tokens := append(t.NonSpeechTokens(), t.promptTokens()...)
	slices.Sort(tokens)
	return slices.Compact(tokens)
}

// promptTokens are the special tokens that only prompts hold.
func (t *Tokenizer) promptTokens() []int32 {
	return []int32{t.transcribe, t.translate, t.sot, t.sotPrev, t.sotLM, t.noSpeech}
}

// BeginSuppressTokens is what upstream does not let a transcript begin with: a space and the end of text (SuppressBlank).
func (t *Tokenizer) BeginSuppressTokens() []int32 { return append(t.Encode(" "), t.eot) }
