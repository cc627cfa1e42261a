package whisper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// byteOrder lists the bytes in the order in which GPT-2 numbers their tokens: first those that print as themselves in its files.
// byteRunes is the character that stands for each byte there; the bytes that do not print take the characters from U+0100 on.
// runeBytes is the inverse, -1 for other characters. (bytes_to_unicode of GPT-2's encoder.py)
var byteOrder, byteRunes, runeBytes = byteTables()

// firstStandIn is the first of the characters that stand for bytes which do not print.
const firstStandIn = 0x100

func byteTables() (order []byte, runes [nBytes]rune, inverse [2 * nBytes]int16) {
	printable := func(b int) bool {
		return b >= '!' && b <= '~' || b >= '¡' && b <= '¬' || b >= '®' && b <= 'ÿ'
	}
	var hidden []byte
	for b := range nBytes {
		if printable(b) {
			order = append(order, byte(b))
			runes[b] = rune(b)
		} else {
			runes[b] = firstStandIn + rune(len(hidden))
			hidden = append(hidden, byte(b))
		}
	}
	for i := range inverse {
		inverse[i] = -1
	}
	for b, r := range runes {
		inverse[r] = int16(b)
	}
	return append(order, hidden...), runes, inverse
}

// tokenBytes is the bytes that a token's spelling in vocab.json stands for; ok is false if a character stands for none.
func tokenBytes(spelling string) (token []byte, ok bool) {
	token = make([]byte, 0, len(spelling))
	for _, r := range spelling {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return nil, false
		}
		token = append(token, byte(runeBytes[r]))
	}
	return token, true
}

// tokenSpelling is the inverse of tokenBytes.
func tokenSpelling(token []byte) string {
	var s strings.Builder
	for _, b := range token {
		s.WriteRune(byteRunes[b])
	}
	return s.String()
}

// parseTokenizer reads vocab.json, merges.txt and added_tokens.json (which may be nil) of a model with nVocab tokens.
// The errors are ErrVocabulary, with the file's name, and those of JSON.
func parseTokenizer(vocabJSON, mergesTXT, addedJSON []byte, nVocab int) (*Tokenizer, error) {
	var spellings, added map[string]int32
	if err := json.Unmarshal(vocabJSON, &spellings); err != nil {
		return nil, fmt.Errorf("vocab.json: %w", err)
	}
	if addedJSON != nil {
		if err := json.Unmarshal(addedJSON, &added); err != nil {
			return nil, fmt.Errorf("added_tokens.json: %w", err)
		}
	}
	merges, err := parseMerges(mergesTXT)
	if err != nil {
		return nil, fmt.Errorf("merges.txt: %w", err)
	}
	return assembleTokenizer(spellings, merges, added, nVocab)
}

// parseMerges reads merges.txt: a version line, then one merge a line, left and right separated by a space.
func parseMerges(text []byte) ([][2]string, error) {
	var merges [][2]string
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line := strings.TrimRight(string(line), "\r\n")
		if line == "" || number == 1 && strings.HasPrefix(line, "#version") {
			continue
		}
		m, err := parseMerge(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		merges = append(merges, m)
	}
	return merges, nil
}

// parseMerge splits a merge at its space.
func parseMerge(line string) ([2]string, error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || left == "" || right == "" || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("%w: merge %q is not two tokens", ErrVocabulary, line)
	}
	return [2]string{left, right}, nil
}

// mergePair is a merge in tokenizer.json: "left right" or, in newer files, ["left", "right"].
type mergePair [2]string

// UnmarshalJSON reads either form.
func (m *mergePair) UnmarshalJSON(text []byte) error {
	var line string
	if json.Unmarshal(text, &line) == nil {
		pair, err := parseMerge(line)
		*m = pair
		return err
	}
	var pair []string
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != len(m) {
		return fmt.Errorf("%w: merge of %d tokens", ErrVocabulary, len(pair))
	}
	*m = mergePair(pair)
	return nil
}

// parseTokenizerJSON reads tokenizer.json of a model with nVocab tokens. The errors are ErrVocabulary and those of JSON.
func parseTokenizerJSON(text []byte, nVocab int) (*Tokenizer, error) {
	var file struct {
		AddedTokens []struct {
			ID      int32  `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Type   string           `json:"type"`
			Vocab  map[string]int32 `json:"vocab"`
			Merges []mergePair      `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if file.Model.Type != "BPE" {
		return nil, fmt.Errorf("%w: model type %q, want \"BPE\"", ErrVocabulary, file.Model.Type)
	}
	merges := make([][2]string, len(file.Model.Merges))
	for i, m := range file.Model.Merges {
		merges[i] = m
	}
	added := make(map[string]int32, len(file.AddedTokens))
	for _, a := range file.AddedTokens {
		if id, ok := added[a.Content]; ok && id != a.ID {
			return nil, fmt.Errorf("%w: %s is both %d and %d", ErrVocabulary, a.Content, id, a.ID)
		}
		added[a.Content] = a.ID
	}
	return assembleTokenizer(file.Model.Vocab, merges, added, nVocab)
}

// assembleTokenizer makes a tokenizer of the spellings and merges of its files. Special tokens stand among the spellings or the
// added tokens; the others have the ids from 0 on.
func assembleTokenizer(spellings map[string]int32, merges [][2]string, added map[string]int32, nVocab int) (*Tokenizer, error) {
	special := map[string]int32{}
	ids := make(map[string]int32, len(spellings))
	for spelling, id := range spellings {
		if isSpecialName(spelling) {
			special[spelling] = id
		} else {
			ids[spelling] = id
		}
	}
	for name, id := range added {
		if earlier, ok := special[name]; ok && earlier != id {
			return nil, fmt.Errorf("%w: %s is both %d and %d", ErrVocabulary, name, earlier, id)
		}
		special[name] = id
	}
	v := &Vocabulary{Tokens: make([][]byte, len(ids)), Merges: make([][2]int32, 0, len(merges))}
	for spelling, id := range ids {
		token, ok := tokenBytes(spelling)
		if !ok {
			return nil, fmt.Errorf("%w: %q is not spelt in the byte alphabet", ErrVocabulary, spelling)
		}
		if id < 0 || int(id) >= len(v.Tokens) || v.Tokens[id] != nil {
			return nil, fmt.Errorf("%w: %q has id %d, the %d text tokens need 0..%d once each", ErrVocabulary, spelling, id, len(ids), len(ids)-1)
		}
		v.Tokens[id] = token
	}
	for rank, m := range merges {
		var pair [2]int32
		for side, spelling := range m {
			id, ok := ids[spelling]
			if !ok {
				return nil, fmt.Errorf("%w: merge %d: %q is no token", ErrVocabulary, rank, spelling)
			}
			pair[side] = id
		}
		v.Merges = append(v.Merges, pair)
	}
	return newTokenizer(v, special, nVocab)
}

// formatTokenizer is the inverse of parseTokenizer: vocab.json with the end of text as its last token, merges.txt, and
// added_tokens.json with the other special tokens and the timestamps.
func (t *Tokenizer) formatTokenizer() (vocabJSON, mergesTXT, addedJSON []byte, err error) {
	spellings := map[string]int32{nameEOT: t.eot}
	for id, token := range t.vocabulary.Tokens {
		spellings[tokenSpelling(token)] = int32(id)
	}
	added := maps.Clone(t.special)
	delete(added, nameEOT)
	for i := range t.NTimestamps() {
		added[timestampName(i)] = t.TimestampBegin() + int32(i)
	}
	var merges bytes.Buffer
	merges.WriteString("#version: 0.2\n")
	for _, pair := range t.vocabulary.Merges {
		left, right := t.vocabulary.Tokens[pair[0]], t.vocabulary.Tokens[pair[1]]
		fmt.Fprintf(&merges, "%s %s\n", tokenSpelling(left), tokenSpelling(right))
	}
	if vocabJSON, err = marshalByID(spellings); err != nil {
		return nil, nil, nil, err
	}
	addedJSON, err = marshalByID(added)
	return vocabJSON, merges.Bytes(), addedJSON, err
}

// marshalByID is ids as a JSON object with its members in the order of their ids.
func marshalByID(ids map[string]int32) ([]byte, error) {
	names := slices.SortedFunc(maps.Keys(ids), func(a, b string) int { return int(ids[a]) - int(ids[b]) })
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for i, name := range names {
		text.WriteByte("{,"[min(i, 1)])
		if err := encoder.Encode(name); err != nil {
			return nil, err
		}
		text.Truncate(text.Len() - len("\n"))
		fmt.Fprintf(&text, ":%d", ids[name])
	}
	text.WriteString("}\n")
	return text.Bytes(), nil
}
