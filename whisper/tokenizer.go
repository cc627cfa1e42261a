package whisper

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// Errors of tokenizers.
var (
	ErrVocabulary = errors.New("whisper: malformed vocabulary")
	ErrLanguage   = errors.New("whisper: language not in the model's vocabulary")
	ErrTask       = errors.New("whisper: unknown task")
)

// Tokenizer turns text into the tokens of a model and back: upstream's Tokenizer over its byte-level BPE. Special tokens have the
// order end of text, start of transcript, languages, tasks, …, timestamps; their ids are those of the model's files.
//
// A Tokenizer is not changed after it was made and is safe for concurrent use.
type Tokenizer struct {
	bpe        *bpe
	vocabulary *Vocabulary
	bytes      [][]byte         // what each token below timestampBegin decodes to, by id
	special    map[string]int32 // by name, timestamps excepted
	nVocab     int
	languages  []string // the codes, in the order of the tokens from sot+1 on

	eot, sot, translate, transcribe, sotLM, sotPrev, noSpeech, noTimestamps int32

	multilingual bool
	nonSpeech    []int32 // NonSpeechTokens
}

// The ids of the special tokens. TimestampBegin is that of 0.00 s; every later id is 20 ms more.
func (t *Tokenizer) EOT() int32            { return t.eot }
func (t *Tokenizer) SOT() int32            { return t.sot }
func (t *Tokenizer) Translate() int32      { return t.translate }
func (t *Tokenizer) Transcribe() int32     { return t.transcribe }
func (t *Tokenizer) SOTLM() int32          { return t.sotLM }
func (t *Tokenizer) SOTPrev() int32        { return t.sotPrev }
func (t *Tokenizer) NoSpeech() int32       { return t.noSpeech }
func (t *Tokenizer) NoTimestamps() int32   { return t.noTimestamps }
func (t *Tokenizer) TimestampBegin() int32 { return t.noTimestamps + 1 }

// NVocab is the number of tokens, timestamps included.
func (t *Tokenizer) NVocab() int { return t.nVocab }

// NTimestamps is the number of timestamp tokens: 1501 for a window of 30 s.
func (t *Tokenizer) NTimestamps() int { return t.nVocab - int(t.TimestampBegin()) }

// Multilingual says whether the model was trained on more than English; if not, its start sequence has neither language nor task.
func (t *Tokenizer) Multilingual() bool { return t.multilingual }

// LanguageCodes lists the codes of the languages that have a token, in the order of the tokens.
func (t *Tokenizer) LanguageCodes() []string { return append([]string{}, t.languages...) }

// LanguageTokens lists the ids of the languages, in the order of LanguageCodes.
func (t *Tokenizer) LanguageTokens() []int32 {
	ids := make([]int32, len(t.languages))
	for i := range ids {
		ids[i] = t.sot + 1 + int32(i)
	}
	return ids
}

// LanguageToken is the id of the token of the language with this code.
func (t *Tokenizer) LanguageToken(code string) (id int32, ok bool) {
	for i, c := range t.languages {
		if c == code {
			return t.sot + 1 + int32(i), true
		}
	}
	return 0, false
}

// Knows reports whether a text can be asked for in the language with this code: one that has a token, or English where no language has.
func (t *Tokenizer) Knows(code string) bool {
	_, ok := t.LanguageToken(code)
	return ok || !t.multilingual && code == "en"
}

// LanguageOf is the code of the language whose token is id.
func (t *Tokenizer) LanguageOf(id int32) (code string, ok bool) {
	i := int(id) - int(t.sot) - 1
	if i < 0 || i >= len(t.languages) {
		return "", false
	}
	return t.languages[i], true
}

// Special is the id of the special token called name, such as "<|endoftext|>"; timestamps are not among them.
func (t *Tokenizer) Special(name string) (id int32, ok bool) {
	id, ok = t.special[name]
	return id, ok
}

// The tasks, as upstream spells them.
const (
	Transcribe = "transcribe"
	Translate  = "translate"
)

// SOTSequence is the start of every prompt: start of transcript, language, task. An English-only model has the first alone.
// An empty task is "transcribe". The errors are ErrLanguage and ErrTask.
func (t *Tokenizer) SOTSequence(language, task string) ([]int32, error) {
	if !t.multilingual {
		return []int32{t.sot}, nil
	}
	lang, ok := t.LanguageToken(language)
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrLanguage, language)
	}
	switch task {
	case Transcribe, "":
		return []int32{t.sot, lang, t.transcribe}, nil
	case Translate:
		return []int32{t.sot, lang, t.translate}, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrTask, task)
}

// Encode is the tokens of text. Names of special tokens in it are ordinary text.
func (t *Tokenizer) Encode(text string) []int32 { return t.bpe.encode(nil, text, 0, nil) }

// EncodeDropout is Encode with BPE dropout: each merge is passed over with probability p, so that a model in training sees many
// segmentations of a word (Provilkov et al. 2020).
func (t *Tokenizer) EncodeDropout(text string, p float64, rng *rand.Rand) []int32 {
	return t.bpe.encode(nil, text, p, rng)
}

// Bytes is the number of bytes of a token's text, 0 for what is no token.
func (t *Tokenizer) Bytes(id int32) int {
	if id < 0 || int(id) >= len(t.bytes) {
		return 0
	}
	return len(t.bytes[id])
}

// Decode is the text of tokens; timestamps are left out, other special tokens appear by name. Bytes that are not UTF-8, as at a
// character cut in two, become U+FFFD.
func (t *Tokenizer) Decode(tokens []int32) string {
	var b []byte
	for _, id := range tokens {
		if id >= 0 && int(id) < len(t.bytes) {
			b = append(b, t.bytes[id]...)
		}
	}
	return replaceInvalid(b)
}

// DecodeWithTimestamps is Decode with every timestamp in place, such as <|1.08|>.
func (t *Tokenizer) DecodeWithTimestamps(tokens []int32) string {
	var b []byte
	for _, id := range tokens {
		switch {
		case id >= t.TimestampBegin() && int(id) < t.nVocab:
			b = append(b, timestampName(int(id-t.TimestampBegin()))...)
		case id >= 0 && int(id) < len(t.bytes):
			b = append(b, t.bytes[id]...)
		}
	}
	return replaceInvalid(b)
}

// timestampName is the name of the timestamp i tokens after 0.00 s.
func timestampName(i int) string {
	const hundredths = 100 / TokensPerSecond
	return fmt.Sprintf("<|%d.%02d|>", i*hundredths/100, i*hundredths%100)
}

// replaceInvalid is b as UTF-8 with each maximal prefix of an ill-formed sequence replaced by one U+FFFD (Unicode 15, section
// 3.9, "U+FFFD Substitution of Maximal Subparts"), as Python's errors="replace" does.
func replaceInvalid(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			s.Write(b[:n])
			b = b[n:]
			continue
		}
		s.WriteRune(utf8.RuneError)
		b = b[illFormedLen(b):]
	}
	return s.String()
}

// illFormedLen is the length of the maximal subpart at the start of b, which does not begin with a character.
func illFormedLen(b []byte) int {
	need, low, high := 0, byte(0x80), byte(0xBF)
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
	case c >= 0xF0 && c <= 0xF4:
		need = 3
	}
	switch b[0] { // Unicode 15, table 3-7: the second byte of these is narrower
	case 0xE0:
		low = 0xA0
	case 0xED:
		high = 0x9F
	case 0xF0:
		low = 0x90
	case 0xF4:
		high = 0x8F
	}
	n := 1
	for ; n <= need && n < len(b) && b[n] >= low && b[n] <= high; n++ {
		low, high = 0x80, 0xBF
	}
	return n
}
