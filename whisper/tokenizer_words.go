package whisper

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Word is a stretch of text and the tokens that spell it.
type Word struct {
	Text   string
	Tokens []int32
}

// unspacedLanguages do not separate words by spaces; upstream splits them at any position where tokens decode to whole characters.
var unspacedLanguages = []string{"zh", "ja", "th", "lo", "my", "yue"}

// asciiPunctuation is Python's string.punctuation.
const asciiPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// SplitWords is upstream's split_to_word_tokens: SplitOnSpaces, or SplitOnUnicode in languages that are written without spaces.
func (t *Tokenizer) SplitWords(language string, tokens []int32) []Word {
	if slices.Contains(unspacedLanguages, language) {
		return t.SplitOnUnicode(tokens)
	}
	return t.SplitOnSpaces(tokens)
}

// SplitOnUnicode is upstream's split_tokens_on_unicode: the shortest groups of tokens that decode to whole characters. A U+FFFD
// that the whole text has at the same place is no cut character but part of the text. Tokens left over at the end are dropped.
func (t *Tokenizer) SplitOnUnicode(tokens []int32) []Word {
	full := []rune(t.DecodeWithTimestamps(tokens))
	var words []Word
	start, offset := 0, 0
	for end := 1; end <= len(tokens); end++ {
		text := t.DecodeWithTimestamps(tokens[start:end])
		if i := strings.IndexRune(text, utf8.RuneError); i >= 0 {
			at := offset + utf8.RuneCountInString(text[:i])
			if at >= len(full) || full[at] != utf8.RuneError {
				continue
			}
		}
		words = append(words, Word{text, slices.Clone(tokens[start:end])})
		offset += utf8.RuneCountInString(text)
		start = end
	}
	return words
}

// SplitOnSpaces is upstream's split_tokens_on_spaces: the groups of SplitOnUnicode, joined to the one before unless they begin with
// a space, are ASCII punctuation or begin with a special token.
func (t *Tokenizer) SplitOnSpaces(tokens []int32) []Word {
	var words []Word
	for _, w := range t.SplitOnUnicode(tokens) {
		special := w.Tokens[0] >= t.eot
		spaced := strings.HasPrefix(w.Text, " ")
		punctuation := strings.Contains(asciiPunctuation, strings.TrimFunc(w.Text, isPythonSpace))
		if special || spaced || punctuation || len(words) == 0 {
			words = append(words, w)
			continue
		}
		last := &words[len(words)-1]
		last.Text += w.Text
		last.Tokens = append(last.Tokens, w.Tokens...)
	}
	return words
}

// isPythonSpace is Python's str.isspace: Unicode's White_Space and the four ASCII separators.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
