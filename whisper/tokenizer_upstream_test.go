package whisper

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestEmbeddedVocabulariesAreUpstreams(t *testing.T) {
	readme, err := os.ReadFile("tiktoken/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fileEnglish, fileMultilingual} {
		f, err := vocabularies.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if _, err := io.Copy(h, text); err != nil {
			t.Fatal(err)
		}
		if sum := hex.EncodeToString(h.Sum(nil)); !strings.Contains(string(readme), sum) {
			t.Errorf("%s: sha256 %s, which README.md does not give", name, sum)
		}
	}
}

// TestUpstreamTokenizers holds the ids of the special tokens against those that whisper.cpp's whisper_vocab states.
func TestUpstreamTokenizers(t *testing.T) {
	for nVocab, want := range map[int]struct {
		languages    int
		last         string
		special      [8]int32 // eot sot translate transcribe lm prev nospeech notimestamps
		multilingual bool
		hello        []int32 // Hello world
	}{
		51864: {99, "su", [8]int32{50256, 50257, 50357, 50358, 50359, 50360, 50361, 50362}, false, []int32{15496, 995}},
		51865: {99, "su", [8]int32{50257, 50258, 50358, 50359, 50360, 50361, 50362, 50363}, true, []int32{15947, 1002}},
		51866: {100, "yue", [8]int32{50257, 50258, 50359, 50360, 50361, 50362, 50363, 50364}, true, []int32{15947, 1002}},
	} {
		tok := openUpstreamTokenizer(t, nVocab)
		got := [8]int32{tok.EOT(), tok.SOT(), tok.Translate(), tok.Transcribe(), tok.SOTLM(), tok.SOTPrev(), tok.NoSpeech(), tok.NoTimestamps()}
		codes := tok.LanguageCodes()
		if got != want.special || len(codes) != want.languages || codes[len(codes)-1] != want.last || tok.Multilingual() != want.multilingual || tok.NTimestamps() != 1501 || tok.NVocab() != nVocab {
			t.Errorf("%d tokens: special %d, %d languages up to %s, multilingual %v, %d timestamps", nVocab, got, len(codes), codes[len(codes)-1], tok.Multilingual(), tok.NTimestamps())
		}
		if got := tok.Encode("Hello world"); !slices.Equal(got, want.hello) {
			t.Errorf("%d tokens: %d, want %d", nVocab, got, want.hello)
		}
		text := "Don't panic: it's 42°C, naïve  日本."
		if got := tok.Decode(tok.Encode(text)); got != text {
			t.Errorf("%d tokens: %q comes back as %q", nVocab, text, got)
		}
	}
	for _, nVocab := range []int{-1, 0, 300, 51765, 51867, 1 << 20} {
		if _, _, err := upstreamLayout(nVocab); !errors.Is(err, ErrVocabulary) {
			t.Errorf("%d tokens: %v", nVocab, err)
		}
	}
}

// openUpstreamTokenizer is the tokenizer of a .pt with so many tokens.
func openUpstreamTokenizer(t testing.TB, nVocab int) *Tokenizer {
	t.Helper()
	tokens, err := upstreamTokens(nVocab)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := upstreamTokenizer(tokens, nVocab)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestGoldenMergesFollowFromRanks compares the merges found again with those of the kit's merges.txt and tokenizer.json.
func TestGoldenMergesFollowFromRanks(t *testing.T) {
	for name, c := range kitCheckpoints(t) {
		got := openUpstreamTokenizer(t, c.Dims.NVocab)
		if !reflect.DeepEqual(got.vocabulary, c.Tokenizer.vocabulary) {
			t.Errorf("%s: %d tokens and %d merges, not the kit's %d and %d or others", name, len(got.vocabulary.Tokens), len(got.vocabulary.Merges), len(c.Tokenizer.vocabulary.Tokens), len(c.Tokenizer.vocabulary.Merges))
		}
		if !slices.Equal(got.SuppressTokens(), c.Generation.SuppressTokens) {
			t.Errorf("%s: suppressed %d, want %d", name, got.SuppressTokens(), c.Generation.SuppressTokens)
		}
	}
}

func TestRanksThatNoMergesMakeAreRefused(t *testing.T) {
	var tokens [][]byte
	for b := range nBytes {
		tokens = append(tokens, []byte{byte(b)})
	}
	for _, c := range []struct {
		tokens []string
		ok     bool
	}{{[]string{"ab", "abc"}, true}, {[]string{"abc", "ab"}, false}, {[]string{"ab", "ab"}, false}, {[]string{""}, true}} {
		with := slices.Clone(tokens)
		for _, s := range c.tokens {
			with = append(with, []byte(s))
		}
		if _, err := rankedVocabulary(with); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrVocabulary) {
			t.Errorf("%q: %v", c.tokens, err)
		}
	}
	if _, err := rankedVocabulary(tokens[1:]); !errors.Is(err, ErrVocabulary) {
		t.Errorf("without byte 0: %v", err)
	}
}

// BenchmarkUpstreamTokenizer is the time to decode the embedded vocabulary and find its merges.
func BenchmarkUpstreamTokenizer(b *testing.B) {
	for b.Loop() {
		openUpstreamTokenizer(b, 51865)
	}
}
