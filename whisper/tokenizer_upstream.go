package whisper

import (
	"bufio"
	"compress/gzip"
	"embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// vocabularies are upstream's files of text tokens, see tiktoken/README.md.
//
//go:embed tiktoken/*.gz
var vocabularies embed.FS

// The vocabularies of upstream's models.
const (
	fileEnglish      = "tiktoken/gpt2.tiktoken.gz"
	fileMultilingual = "tiktoken/multilingual.tiktoken.gz"
	multilingualEOT  = gpt2EOT + 1
	// leastMultilingual is the number of tokens from which on a model is multilingual (upstream's Whisper.is_multilingual).
	leastMultilingual = 51865
	// upstreamTimestamps is the number of timestamps in steps of 20 ms from 0 to 30 s (upstream's get_encoding).
	upstreamTimestamps = 30*TokensPerSecond + 1
	// upstreamSpecial are the special tokens that are neither languages nor timestamps.
	upstreamSpecial = 8
)

// upstreamLayout is how many tokens are text and how many are languages in a model with nVocab tokens (upstream's
// Whisper.num_languages). The error is ErrVocabulary where no model of upstream's has that many.
func upstreamLayout(nVocab int) (text, numLanguages int, err error) {
	text = gpt2EOT
	if nVocab >= leastMultilingual {
		text = multilingualEOT
	}
	numLanguages = nVocab - text - upstreamSpecial - upstreamTimestamps
	if numLanguages < 1 || numLanguages > len(languages) {
		return 0, 0, fmt.Errorf("%w: n_vocab is %d, which upstream's vocabularies do not make", ErrVocabulary, nVocab)
	}
	return text, numLanguages, nil
}

// upstreamTokens are the text tokens that upstream gives a model with nVocab tokens. The error is that of upstreamLayout.
func upstreamTokens(nVocab int) (tokens [][]byte, err error) {
	if _, _, err := upstreamLayout(nVocab); err != nil {
		return nil, err
	}
	name := fileEnglish
	if nVocab >= leastMultilingual {
		name = fileMultilingual
	}
	f, err := vocabularies.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		spelling, rank, _ := strings.Cut(lines.Text(), " ")
		token, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(spelling, "="))
		if err != nil || rank != strconv.Itoa(len(tokens)) {
			return nil, fmt.Errorf("%s: %w: line %d: %q", name, ErrVocabulary, len(tokens)+1, lines.Text())
		}
		tokens = append(tokens, token)
	}
	return tokens, lines.Err()
}

// upstreamTokenizer is the tokenizer of a model with nVocab tokens, the first of which are those of text. The others are upstream's
// special tokens, whatever the file calls them. The error is ErrVocabulary.
func upstreamTokenizer(tokens [][]byte, nVocab int) (*Tokenizer, error) {
	n, numLanguages, err := upstreamLayout(nVocab)
	if err != nil {
		return nil, err
	}
	if len(tokens) < n {
		return nil, fmt.Errorf("%w: %d tokens of text, want %d of the model's %d", ErrVocabulary, len(tokens), n, nVocab)
	}
	v, err := rankedVocabulary(tokens[:n])
	if err != nil {
		return nil, err
	}
	return NewTokenizer(v, numLanguages, upstreamTimestamps)
}

// rankedVocabulary is the vocabulary with these tokens in the order in which they were learnt, as tiktoken's files and ggml hold
// them: each token of several bytes is the merge of the two that the merges before it make of its bytes.
// The error is ErrVocabulary.
func rankedVocabulary(tokens [][]byte) (*Vocabulary, error) {
	b, err := newBPE(&Vocabulary{Tokens: tokens})
	if err != nil {
		return nil, err
	}
	v := &Vocabulary{Tokens: slices.Clone(tokens)}
	for id, token := range tokens {
		if len(token) < 2 {
			continue
		}
		w := b.word(string(token))
		w.mergeAll(b, 0, nil)
		right := w.next[0]
		if right < 0 || w.next[right] >= 0 {
			return nil, fmt.Errorf("%w: token %d, %q, is no merge of two before it", ErrVocabulary, id, token)
		}
		pair := [2]int32{w.symbols[0], w.symbols[right]}
		b.merges[pair] = merge{int32(len(v.Merges)), int32(id)}
		v.Merges = append(v.Merges, pair)
	}
	return v, nil
}
