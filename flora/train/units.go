package train

import "slices"

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

// spell returns the units of a text whose tokens are given. A character that no text of the training has
// is left out.
func (s speller) spell(text string, tokens []int32) []int32 {
	if s.characters == nil {
		return tokens
	}
	var units []int32
	for _, r := range text {
		if i, ok := s.characters[r]; ok {
			units = append(units, i)
		}
	}
	return units
}
