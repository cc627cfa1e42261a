package whisper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestByteTablesAreABijection(t *testing.T) {
	seen := map[rune]bool{}
	for b := range nBytes {
		r := byteRunes[b]
		if seen[r] || runeBytes[r] != int16(b) {
			t.Errorf("byte %#x is %q, back %d", b, r, runeBytes[r])
		}
		seen[r] = true
	}
	if byteRunes[' '] != 'Ġ' || byteRunes['\n'] != 'Ċ' || byteOrder[0] != '!' || byteOrder[220] != ' ' {
		t.Error("the tables are not GPT-2's")
	}
	if token, ok := tokenBytes("Ġaé"); !ok || string(token) != " a\xe9" || tokenSpelling(token) != "Ġaé" {
		t.Errorf("%q %v", token, ok)
	}
	if _, ok := tokenBytes("\u0144"); ok {
		t.Error("the first character after the alphabet is taken")
	}
}

func TestReplaceInvalidAsPython(t *testing.T) {
	const r = "\uFFFD"
	for in, want := range map[string]string{ // Python: bytes.decode("utf-8", errors="replace")
		"abc":                  "abc",
		"a\xffb":               "a" + r + "b",
		"\xe6\x97":             r,
		"\xe6\x97x":            r + "x",
		"\xe6\xe6\x97\xa5":     r + "日",
		"\xf0\x9f\x98":         r,
		"\xf0\x9f":             r,
		"\xf0\x80\x80":         r + r + r,
		"\xed\xa0\x80":         r + r + r,
		"\xe0\x80":             r + r,
		"\xe0\xa0":             r,
		"\xc0\x80":             r + r,
		"\xf4\x90\x80\x80":     r + r + r + r,
		"\xf5\x80":             r + r,
		"\x80\x80":             r + r,
		"\xc3":                 r,
		"\xc3\xc3\xa9":         r + "é",
		"\uFFFDx":              r + "x",
		"\xf0\x9f\x98\x80\xf0": "😀" + r,
	} {
		if got := replaceInvalid([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNewTokenizerHasUpstreamsOrder(t *testing.T) {
	v := TrainBPE(slices.Values([]string{"a a a b b"}), 3)
	tok, err := NewTokenizer(v, 99, 1501)
	if err != nil {
		t.Fatal(err)
	}
	n := int32(len(v.Tokens))
	want := []int32{n, n + 1, n + 101, n + 102, n + 103, n + 104, n + 105, n + 106, n + 107}
	got := []int32{tok.EOT(), tok.SOT(), tok.Translate(), tok.Transcribe(), tok.SOTLM(), tok.SOTPrev(), tok.NoSpeech(), tok.NoTimestamps(), tok.TimestampBegin()}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if tok.NVocab() != int(n)+107+1501 || tok.NTimestamps() != 1501 || !tok.Multilingual() || len(tok.LanguageCodes()) != 99 {
		t.Errorf("%d tokens, %d timestamps, multilingual %v, languages %q", tok.NVocab(), tok.NTimestamps(), tok.Multilingual(), tok.LanguageCodes())
	}
	for i, id := range tok.LanguageTokens() {
		code := tok.LanguageCodes()[i]
		if back, ok := tok.LanguageOf(id); !ok || back != code || code != languages[i].Code {
			t.Errorf("token %d is %q, want %q", id, back, code)
		}
	}
	for _, id := range []int32{-1, 0, tok.SOT(), tok.Translate(), tok.TimestampBegin()} {
		if code, ok := tok.LanguageOf(id); ok {
			t.Errorf("token %d is language %q", id, code)
		}
	}
	if id, ok := tok.Special("<|startofprev|>"); !ok || id != tok.SOTPrev() {
		t.Errorf("start of previous text: %d %v", id, ok)
	}
	for _, bad := range [][2]int{{0, 1}, {101, 1}, {99, -1}} {
		if _, err := NewTokenizer(v, bad[0], bad[1]); !errors.Is(err, ErrVocabulary) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := NewTokenizer(&Vocabulary{Tokens: v.Tokens[1:]}, 99, 1); !errors.Is(err, ErrVocabulary) {
		t.Errorf("vocabulary without \"!\": %v", err)
	}
}

func TestDecodeOfSpecialAndUnknownTokens(t *testing.T) {
	tok := tinyTokenizer(t)
	begin := tok.TimestampBegin()
	ids := append([]int32{tok.SOT(), begin + 54}, tok.Encode(" two")...)
	ids = append(ids, begin+125, -1, int32(tok.NVocab()), 1<<30, tok.EOT())
	if got, want := tok.Decode(ids), "<|startoftranscript|> two<|endoftext|>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := tok.DecodeWithTimestamps(ids), "<|startoftranscript|><|1.08|> two<|2.50|><|endoftext|>"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 1501 {
		if got, want := timestampName(i), fmt.Sprintf("<|%.2f|>", float64(i)*0.02); got != want {
			t.Errorf("timestamp %d is %s, want %s", i, got, want)
		}
	}
}

func TestEncodeNeverGivesSpecialTokens(t *testing.T) {
	tok := tinyTokenizer(t)
	const text = "<|endoftext|><|0.00|><|en|>"
	ids := tok.Encode(text)
	if slices.Max(ids) >= tok.EOT() || tok.Decode(ids) != text {
		t.Errorf("%v: %q", ids, tok.Decode(ids))
	}
}

func TestSOTSequenceErrors(t *testing.T) {
	tok := tinyTokenizer(t)
	if _, err := tok.SOTSequence("yue", Transcribe); !errors.Is(err, ErrLanguage) {
		t.Errorf("language: %v", err)
	}
	if _, err := tok.SOTSequence("en", "sing"); !errors.Is(err, ErrTask) {
		t.Errorf("task: %v", err)
	}
	english := *tok
	english.multilingual = false
	if got, err := english.SOTSequence("de", Translate); err != nil || !slices.Equal(got, []int32{tok.SOT()}) {
		t.Errorf("English only: %v %v", got, err)
	}
}

// TestSmallVocabularySuppressesNoPiecesOfWords: no bare byte or space, which text is spelt with, is among the tokens of annotations.
func TestSmallVocabularySuppressesNoPiecesOfWords(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, id := range tok.NonSpeechTokens() {
		text := tok.Decode([]int32{id})
		if !strings.Contains(nonSpeechSymbols+musicSymbols, strings.TrimSpace(text)) || strings.TrimSpace(text) == "" {
			t.Errorf("token %d, %q, is suppressed", id, text)
		}
	}
}

func TestSplitWordsJoinsAndSeparates(t *testing.T) {
	tok := tinyTokenizer(t)
	ids := slices.Concat(tok.Encode(" two, three"), []int32{tok.TimestampBegin()}, tok.Encode(" 日本"))
	var got []string
	for _, w := range tok.SplitWords("en", ids) {
		got = append(got, w.Text)
		if text := tok.DecodeWithTimestamps(w.Tokens); text != w.Text {
			t.Errorf("word %q has the tokens of %q", w.Text, text)
		}
	}
	if want := []string{" two", ",", " three", "<|0.00|>", " 日本"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	got = nil
	for _, w := range tok.SplitWords("ja", tok.Encode("日本")) {
		got = append(got, w.Text)
	}
	if want := []string{"日", "本"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := tok.SplitWords("en", nil); len(got) != 0 {
		t.Errorf("no tokens: %v", got)
	}
}

func FuzzDecode(f *testing.F) {
	tok := tinyTokenizer(f)
	f.Add(" two, three 日本", []byte{1, 2, 3, 255, 254})
	f.Add("\xe6\x97", []byte{0})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		ids := tok.Encode(text)
		if got, want := tok.Decode(ids), replaceInvalid([]byte(text)); got != want {
			t.Fatalf("%q comes back as %q", text, got)
		}
		for i, b := range raw { // ids from below zero to past the vocabulary
			ids = append(ids, int32(b)*int32(i+1)-8)
		}
		if !utf8.ValidString(tok.DecodeWithTimestamps(ids)) {
			t.Fatal("the text is not UTF-8")
		}
		n := 0
		for _, w := range tok.SplitOnSpaces(ids) {
			n += len(w.Tokens)
		}
		if n > len(ids) {
			t.Fatalf("%d tokens in the words of %d", n, len(ids))
		}
	})
}

func FuzzParseTokenizer(f *testing.F) {
	tok := tinyTokenizer(f)
	vocab, merges, added, err := tok.formatTokenizer()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(vocab, merges, added, tok.NVocab())
	f.Add([]byte(`{"a":-1}`), []byte("a b\n"), []byte(`{"<|endoftext|>":2147483647}`), 10)
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"],"a a"]},"added_tokens":[{"id":1,"content":"<|endoftext|>"}]}`), []byte(nil), []byte(nil), 300)
	f.Fuzz(func(t *testing.T, vocab, merges, added []byte, nVocab int) {
		nVocab = min(max(nVocab, 0), maxVocab)
		for _, parse := range []func() (*Tokenizer, error){
			func() (*Tokenizer, error) { return parseTokenizer(vocab, merges, added, nVocab) },
			func() (*Tokenizer, error) { return parseTokenizerJSON(vocab, nVocab) },
		} {
			tok, err := parse()
			if err != nil {
				continue
			}
			tok.NonSpeechTokens()
			if got := tok.Decode(tok.Encode("a b")); got != "a b" {
				t.Fatalf("comes back as %q", got)
			}
			if tok.NTimestamps() < 0 {
				t.Fatalf("%d timestamps", tok.NTimestamps())
			}
		}
	})
}
