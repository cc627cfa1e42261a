package train

import (
	"slices"
	"unicode/utf8"
)

// Units are what CTC spells texts in.
type Units string

const (
	// Tokens are those that the decoder writes.
	Tokens Units = "tokens"

	// Characters are those of the texts that are trained on. There are few of them, and each is heard
	// often, so that an encoder that knows nothing yet learns from them sooner.
	Characters Units = "characters"
)

// speller spells texts in units.
type speller struct {
	tokens     int            // the number of text tokens, where these are the units
	characters map[rune]int32 // nil: the units are tokens
}

// newSpeller returns a speller for the texts of a dataset and a tokenizer of so many text tokens.
func newSpeller(u Units, d *dataset, tokens int) speller {
	if u == Tokens {
		return speller{tokens: tokens}
	}
	seen := make(map[rune]int32)
	for _, p := range d.pools {
		for _, e := range p.entries {
			for _, r := range e.text {
				seen[r] = 0
			}
		}
	}
	var order []rune
	for r := range seen {
		order = append(order, r)
	}
	slices.Sort(order)
	for i, r := range order {
		seen[r] = int32(i)
	}
	return speller{characters: seen}
}

// size returns the number of units.
func (s speller) size() int {
	if s.characters == nil {
		return s.tokens
	}
	return len(s.characters)
}

// spell returns the units of a text, and for each token of a space and the text the units that it spells some of, from and
// behind. bytes is the number of bytes of a token. A character that no text of the training has is left out.
func (s speller) spell(text string, tokens []int32, bytes func(int32) int) (units []int32, spans [][2]int32) {
	spans = make([][2]int32, len(tokens))
	if s.characters == nil {
		for i := range tokens {
			spans[i] = [2]int32{int32(i), int32(i + 1)}
		}
		return tokens, spans
	}
	at, end := 0, -1 // the token at hand, and where it ends in the text: before it is the space
	for i := range spans {
		spans[i] = [2]int32{-1, -1}
	}
	for i, r := range text {
		unit, ok := s.characters[r]
		if ok {
			units = append(units, unit)
		}
		n := int32(len(units))
		for ; at < len(tokens); at++ {
			if next := end + bytes(tokens[at]); next <= i {
				end = next
				continue
			}
			break
		}
		for j, from := at, end; ok && j < len(tokens) && from < i+utf8.RuneLen(r); j++ {
			if spans[j][0] < 0 {
				spans[j][0] = n - 1
			}
			spans[j][1] = n
			from += bytes(tokens[j])
		}
	}
	return units, spans
}
