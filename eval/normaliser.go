package eval

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Normaliser says what counts as a difference of texts. Its name and version stand in every report.
type Normaliser struct {
	Name    string // such as "glossa"
	Version string // changes with the rules

	normalise func(text, lang string) string
}

// DefaultNormaliser is Normalise.
var DefaultNormaliser = &Normaliser{Name: "glossa", Version: "1", normalise: Normalise}

// Normalise returns text reduced to what is heard. lang is a language tag; "" and unknown tags have no rules of their own.
func (n *Normaliser) Normalise(text, lang string) string { return n.normalise(text, lang) }

// String returns name and version as reports have them.
func (n *Normaliser) String() string { return n.Name + " " + n.Version }

// Normalisers returns the names of the normalisers, the default first.
func Normalisers() []string {
	return []string{"glossa", "basic", "basic-diacritics", "english", "none"}
}

// NormaliserNamed returns a normaliser:
//   - "glossa" is Normalise, the default: marks are kept.
//   - "basic" is BasicTextNormalizer of openai/whisper as published, for comparison with published rates: marks become spaces, which
//     cuts every word of Devanagari, Thai or vowelled Arabic at its vowel signs.
//   - "basic-diacritics" is the same with remove_diacritics: accents are dropped.
//   - "english" is EnglishTextNormalizer of openai/whisper, for every language: numbers, contractions, titles, and British spellings
//     by the map that a model's normalizer.json has (see ReadSpellings). Without a map the spellings stay, and the name says so.
//   - "none" changes nothing but white space.
//
// White space at either end is cut off by all of them.
func NormaliserNamed(name string, spellings map[string]string) (*Normaliser, error) {
	n := &Normaliser{Name: name, Version: "1"}
	switch name {
	case "glossa":
		return DefaultNormaliser, nil
	case "basic":
		n.normalise = func(text, _ string) string { return basic(text, removeSymbols) }
	case "basic-diacritics":
		n.normalise = func(text, _ string) string {
			return basic(text, func(text string) string { return removeSymbolsAndDiacritics(text, "") })
		}
	case "english":
		if len(spellings) == 0 {
			n.Name = "english without spellings"
		} else {
			n.Version += "+" + fingerprint(spellings)
		}
		n.normalise = func(text, _ string) string { return english(text, spellings) }
	case "none":
		n.normalise = func(text, _ string) string {
			return strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
		}
	default:
		return nil, fmt.Errorf("eval: unknown normaliser %q: there are %s", name, strings.Join(Normalisers(), ", "))
	}
	return n, nil
}

// fingerprint returns eight digits that differ where maps do.
func fingerprint(spellings map[string]string) string {
	sum := fnv.New32a()
	for _, word := range slices.Sorted(maps.Keys(spellings)) {
		fmt.Fprintf(sum, "%q%q", word, spellings[word])
	}
	return fmt.Sprintf("%08x", sum.Sum32())
}
