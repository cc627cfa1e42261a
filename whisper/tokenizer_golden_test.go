package whisper

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kitPath is the path of a file of the golden kit. It skips the test where the file is absent.
func kitPath(t testing.TB, elem ...string) string {
	t.Helper()
	kit := os.Getenv("GLOSSA_GOLDEN")
	if kit == "" {
		kit = filepath.Join("..", "..", "shared", "golden", "public")
	}
	p := filepath.Join(append([]string{kit}, elem...)...)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("SKIP: golden %s absent: %v", filepath.Join(elem...), err)
	}
	return p
}

// kitCheckpoints opens every model of the kit, by name.
func kitCheckpoints(t testing.TB) map[string]*Checkpoint {
	t.Helper()
	models := kitPath(t, "models")
	entries, err := os.ReadDir(models)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*Checkpoint{}
	for _, e := range entries {
		c, err := OpenDir(filepath.Join(models, e.Name(), "hf"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		all[e.Name()] = c
	}
	if len(all) == 0 {
		t.Skipf("SKIP: golden models absent in %s", models)
	}
	return all
}

// splitGolden is [words, token groups].
type splitGolden struct {
	words  []string
	tokens [][]int32
}

func (s *splitGolden) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&s.words, &s.tokens})
}

// specialGolden are the special tokens of a vocabulary.
type specialGolden struct {
	NVocab         int              `json:"n_vocab"`
	EOT            int32            `json:"eot"`
	SOT            int32            `json:"sot"`
	Translate      int32            `json:"translate"`
	Transcribe     int32            `json:"transcribe"`
	SOTLM          int32            `json:"sot_lm"`
	SOTPrev        int32            `json:"sot_prev"`
	NoSpeech       int32            `json:"no_speech"`
	NoTimestamps   int32            `json:"no_timestamps"`
	TimestampBegin int32            `json:"timestamp_begin"`
	Languages      map[string]int32 `json:"languages"`
	NonSpeech      []int32          `json:"non_speech_tokens"`
	Suppressed     []int32          `json:"suppressed_by_default"`
	BeginSuppress  []int32          `json:"begin_suppress"`
	SOTSequences   map[string][]int32
}

// tokenizerGolden is the kit's tokenizer.json.
type tokenizerGolden struct {
	Texts []struct {
		Text   string
		Tokens []int32
	}
	Decode []struct {
		Tokens               []int32
		Decode               string
		DecodeWithTimestamps string      `json:"decode_with_timestamps"`
		SplitOnUnicode       splitGolden `json:"split_on_unicode"`
		SplitOnSpaces        splitGolden `json:"split_on_spaces"`
	}
	Tokenizers map[string]map[string]json.RawMessage
}

func readTokenizerGolden(t testing.TB) (g tokenizerGolden) {
	t.Helper()
	text, err := os.ReadFile(kitPath(t, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGoldenEncode(t *testing.T) {
	g := readTokenizerGolden(t)
	for name, c := range kitCheckpoints(t) {
		for _, x := range g.Texts {
			if got := c.Tokenizer.Encode(x.Text); !slices.Equal(got, x.Tokens) {
				t.Errorf("%s: %q: %v, want %v", name, x.Text, got, x.Tokens)
			}
		}
	}
}

// TestGoldenDecode runs the kit's token lists through the vocabulary that they were made with, that of 99 languages, and those
// without special tokens through every other.
func TestGoldenDecode(t *testing.T) {
	g := readTokenizerGolden(t)
	for name, c := range kitCheckpoints(t) {
		tok := c.Tokenizer
		for _, x := range g.Decode {
			if len(tok.LanguageCodes()) != 99 && slices.ContainsFunc(x.Tokens, func(id int32) bool { return id > tok.EOT() }) {
				continue
			}
			if got := tok.Decode(x.Tokens); got != x.Decode {
				t.Errorf("%s: decode %v: %q, want %q", name, x.Tokens, got, x.Decode)
			}
			if got := tok.DecodeWithTimestamps(x.Tokens); got != x.DecodeWithTimestamps {
				t.Errorf("%s: with timestamps %v: %q, want %q", name, x.Tokens, got, x.DecodeWithTimestamps)
			}
			compareWords(t, name+": on unicode", tok.SplitWords("zh", x.Tokens), x.SplitOnUnicode)
			compareWords(t, name+": on spaces", tok.SplitWords("en", x.Tokens), x.SplitOnSpaces)
		}
	}
}

func compareWords(t *testing.T, name string, got []Word, want splitGolden) {
	t.Helper()
	if len(got) != len(want.words) {
		t.Errorf("%s: %d words %v, want %d %q", name, len(got), got, len(want.words), want.words)
		return
	}
	for i, w := range got {
		if w.Text != want.words[i] || !slices.Equal(w.Tokens, want.tokens[i]) {
			t.Errorf("%s: word %d is %q %v, want %q %v", name, i, w.Text, w.Tokens, want.words[i], want.tokens[i])
		}
	}
}

func TestGoldenSpecialTokens(t *testing.T) {
	g := readTokenizerGolden(t)
	for name, c := range kitCheckpoints(t) {
		tok := c.Tokenizer
		members, ok := g.Tokenizers[strconv.Itoa(len(tok.LanguageCodes()))]
		if !ok {
			t.Errorf("%s: %d languages, which the kit has no tokenizer for", name, len(tok.LanguageCodes()))
			continue
		}
		var want specialGolden
		text, _ := json.Marshal(members)
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(members["sot_sequences"], &want.SOTSequences); err != nil {
			t.Fatal(err)
		}
		got := specialGolden{
			tok.NVocab(), tok.EOT(), tok.SOT(), tok.Translate(), tok.Transcribe(), tok.SOTLM(), tok.SOTPrev(), tok.NoSpeech(), tok.NoTimestamps(),
			tok.TimestampBegin(), map[string]int32{}, tok.NonSpeechTokens(), tok.SuppressTokens(), tok.BeginSuppressTokens(), map[string][]int32{},
		}
		for _, code := range tok.LanguageCodes() {
			got.Languages[code], _ = tok.LanguageToken(code)
		}
		for key := range want.SOTSequences {
			language, task, _ := strings.Cut(key, "/")
			sequence, err := tok.SOTSequence(language, task)
			if err != nil {
				t.Errorf("%s: %s: %v", name, key, err)
			}
			got.SOTSequences[key] = sequence
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
		derived := DefaultGeneration(c.Dims, tok)
		derived.AlignmentHeads = c.Generation.AlignmentHeads
		if fmt.Sprint(derived) != fmt.Sprint(c.Generation) {
			t.Errorf("%s: derived generation settings\n%v\nread\n%v", name, derived, c.Generation)
		}
	}
}

// tiktokenRanks reads upstream's vocabulary: a line for each token, base64 and rank.
func tiktokenRanks(t testing.TB) map[string]int32 {
	t.Helper()
	name := DataFile(t, "upstream's multilingual.tiktoken", "assets", "multilingual.tiktoken")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ranks := map[string]int32{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		encoded, rank, ok := strings.Cut(s.Text(), " ")
		token, err := base64.StdEncoding.DecodeString(encoded)
		n, err2 := strconv.Atoi(rank)
		if encoded == "=" { // the empty token of the last line, which Python's decoder accepts
			err = nil
		}
		if !ok || err != nil || err2 != nil {
			t.Fatalf("line %q: %v %v", s.Text(), err, err2)
		}
		ranks[string(token)] = int32(n)
	}
	return ranks
}

// tiktokenEncode is upstream's merge loop: of all neighbours whose concatenation is a token, that of lowest rank, leftmost first.
func tiktokenEncode(ranks map[string]int32, text string) (ids []int32) {
	for piece := range pieces(text) {
		var parts []string
		for i := range len(piece) {
			parts = append(parts, piece[i:i+1])
		}
		for {
			best, at := int32(math.MaxInt32), -1
			for i := 1; i < len(parts); i++ {
				if rank, ok := ranks[parts[i-1]+parts[i]]; ok && rank < best {
					best, at = rank, i
				}
			}
			if at < 0 {
				break
			}
			parts[at-1] += parts[at]
			parts = slices.Delete(parts, at, at+1)
		}
		for _, p := range parts {
			ids = append(ids, ranks[p])
		}
	}
	return ids
}

func TestGoldenEncodeEqualsTiktokensMergeLoop(t *testing.T) {
	ranks := tiktokenRanks(t)
	g := readTokenizerGolden(t)
	for name, c := range kitCheckpoints(t) {
		tok := c.Tokenizer
		for token, rank := range ranks {
			if got := string(tok.bytes[rank]); got != token {
				t.Fatalf("%s: token %d is %q, want %q", name, rank, got, token)
			}
		}
		texts := []string{strings.Repeat("aé日 '!", 40), strings.Repeat("ababc", 100), strings.Repeat(" ", 300) + "x\t\t \n"}
		for _, x := range g.Texts {
			texts = append(texts, x.Text, strings.ToUpper(x.Text), strings.Repeat(x.Text, 3))
		}
		for id := int32(0); id < tok.EOT(); id += 23 { // neighbours that no text would bring together
			texts = append(texts, string(tok.bytes[id])+string(tok.bytes[(id*31+11)%tok.EOT()]))
		}
		for _, text := range texts {
			if got, want := tok.Encode(text), tiktokenEncode(ranks, text); !slices.Equal(got, want) {
				t.Errorf("%s: %q: %v, want %v", name, text, got, want)
			}
		}
	}
}
