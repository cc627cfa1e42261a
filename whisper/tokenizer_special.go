package whisper

import (
	"fmt"
	"slices"
	"strings"
)

// The names of the special tokens, timestamps and languages excepted.
const (
	nameEOT          = "<|endoftext|>"
	nameSOT          = "<|startoftranscript|>"
	nameTranslate    = "<|translate|>"
	nameTranscribe   = "<|transcribe|>"
	nameSOTLM        = "<|startoflm|>"
	nameSOTPrev      = "<|startofprev|>"
	nameNoSpeech     = "<|nospeech|>"
	nameNoCaptions   = "<|nocaptions|>" // nameNoSpeech in the first published vocabularies
	nameNoTimestamps = "<|notimestamps|>"
)

// gpt2EOT is the end of text in GPT-2's vocabulary, which upstream's English-only models use.
const gpt2EOT = 50256

// NewTokenizer makes the tokenizer of a new model: v, whose tokens must hold no special ones, then upstream's special tokens in
// their order, with the first numLanguages of Languages and numTimestamps timestamps (for a model 1 + NAudioCtx).
// The error is ErrVocabulary.
func NewTokenizer(v *Vocabulary, numLanguages, numTimestamps int) (*Tokenizer, error) {
	if numLanguages < 1 || numLanguages > len(languages) || numTimestamps < 0 {
		return nil, fmt.Errorf("%w: %d languages, %d timestamps", ErrVocabulary, numLanguages, numTimestamps)
	}
	names := []string{nameEOT, nameSOT}
	for _, l := range languages[:numLanguages] {
		names = append(names, specialName(l.Code))
	}
	names = append(names, nameTranslate, nameTranscribe, nameSOTLM, nameSOTPrev, nameNoSpeech, nameNoTimestamps)
	special := make(map[string]int32, len(names))
	for i, name := range names {
		special[name] = int32(len(v.Tokens) + i)
	}
	return newTokenizer(v, special, len(v.Tokens)+len(names)+numTimestamps)
}

// specialName is the name of the special token for word.
func specialName(word string) string { return "<|" + word + "|>" }

// isSpecialName says whether name is spelt like that of a special token.
func isSpecialName(name string) bool {
	return len(name) > len("<||>") && strings.HasPrefix(name, "<|") && strings.HasSuffix(name, "|>")
}

// newTokenizer finds the special tokens and checks that they lie in upstream's order. special may name timestamps; nVocab is the
// model's number of tokens, and all that follow <|notimestamps|> are timestamps. The error is ErrVocabulary.
func newTokenizer(v *Vocabulary, special map[string]int32, nVocab int) (*Tokenizer, error) {
	encoder, err := newBPE(v)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{bpe: encoder, vocabulary: v, special: map[string]int32{}, nVocab: nVocab}
	if err := t.findSpecial(special); err != nil {
		return nil, err
	}
	begin := int(t.TimestampBegin())
	if nVocab < begin || len(v.Tokens) > begin {
		return nil, fmt.Errorf("%w: timestamps begin at %d, the model has %d tokens, %d of them text", ErrVocabulary, begin, nVocab, len(v.Tokens))
	}
	t.bytes = make([][]byte, begin)
	copy(t.bytes, v.Tokens)
	for name, id := range special {
		switch {
		case id < 0 || int(id) >= nVocab:
			return nil, fmt.Errorf("%w: %s is %d, the model has %d tokens", ErrVocabulary, name, id, nVocab)
		case int(id) >= begin:
			if want := timestampName(int(id) - begin); name != want {
				return nil, fmt.Errorf("%w: token %d is %s, want %s", ErrVocabulary, id, name, want)
			}
		case t.bytes[id] != nil:
			return nil, fmt.Errorf("%w: token %d is %q and %s", ErrVocabulary, id, t.bytes[id], name)
		default:
			t.bytes[id] = []byte(name)
			t.special[name] = id
		}
	}
	if t.noSpeech < t.TimestampBegin() {
		t.bytes[t.noSpeech] = []byte(nameNoSpeech) // upstream's text has it by this name whatever the file calls it
	}
	t.findLanguages()
	t.multilingual = t.eot != gpt2EOT && len(t.languages) > 0
	t.nonSpeech = t.findNonSpeech()
	return t, nil
}

// findSpecial sets the ids of the special tokens that every model has.
func (t *Tokenizer) findSpecial(special map[string]int32) error {
	for _, s := range []struct {
		id    *int32
		names []string
	}{
		{&t.eot, []string{nameEOT}}, {&t.sot, []string{nameSOT}}, {&t.translate, []string{nameTranslate}},
		{&t.transcribe, []string{nameTranscribe}}, {&t.sotLM, []string{nameSOTLM}}, {&t.sotPrev, []string{nameSOTPrev}},
		{&t.noSpeech, []string{nameNoSpeech, nameNoCaptions}}, {&t.noTimestamps, []string{nameNoTimestamps}},
	} {
		i := slices.IndexFunc(s.names, func(name string) bool { _, ok := special[name]; return ok })
		if i < 0 {
			return fmt.Errorf("%w: no token %s", ErrVocabulary, strings.Join(s.names, " or "))
		}
		*s.id = special[s.names[i]]
		if *s.id < 0 || *s.id > maxVocab {
			return fmt.Errorf("%w: %s is %d", ErrVocabulary, s.names[i], *s.id)
		}
	}
	return nil
}

// findLanguages sets the languages: the special tokens that follow the start of transcript up to the first task.
func (t *Tokenizer) findLanguages() {
	for id := t.sot + 1; int(id) < len(t.bytes) && id != t.translate && id != t.transcribe; id++ {
		name := string(t.bytes[id])
		if !isSpecialName(name) {
			return
		}
		t.languages = append(t.languages, name[len("<|"):len(name)-len("|>")])
	}
}
