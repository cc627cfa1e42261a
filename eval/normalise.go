package eval

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// What stands between brackets is a remark about the audio ("[laughter]", "(inaudible)"), not speech. The patterns are
// upstream's, with the full-width forms that East Asian text writes for the same signs.
var (
	bracketed     = regexp.MustCompile(`[<\[＜［][^>\]＞］]*[>\]＞］]`)
	parenthesised = regexp.MustCompile(`[(（][^)）]+[)）]`)
)

// Normalise returns text reduced to what is heard, so that an error rate counts no difference of spelling convention: remarks in
// brackets dropped, Unicode NFKC, lower case, punctuation and symbols replaced by spaces, white space collapsed to single
// spaces with none at either end. lang is a language tag such as "tr" or "pt-BR"; "" and unknown tags have no rules of their own.
//
// It is BasicTextNormalizer of openai/whisper (whisper/normalizers/basic.py; Radford et al. 2022, appendix C) with
// preserve_marks, and these differences:
//   - Marks (M) are kept where they follow a letter or a digit. Upstream's default turns them into spaces, which cuts every word of
//     Devanagari, Thai or vowelled Arabic at its vowel signs and so measures fragments. A mark without a base is
//     what NFKC leaves of a spacing accent (the ´ of "John´s") and is dropped.
//   - Invisible characters are dropped: joiners, soft hyphens, direction marks, variation selectors. The zero-width space, which marks a
//     word boundary, becomes a space.
//   - The apostrophe letters U+02BB and U+02BC are apostrophes, since one keyboard types the letter and the next the quote.
//   - Turkish and Azerbaijani lower-case I to ı and İ to i.
//
// Normalise is idempotent. Bytes that are not UTF-8 become spaces.
func Normalise(text, lang string) string {
	text = bracketed.ReplaceAllString(text, "")
	text = parenthesised.ReplaceAllString(text, "")
	text = norm.NFKC.String(strings.ToValidUTF8(text, " "))
	text = lowerCase(text, lang)

	var heard strings.Builder
	heard.Grow(len(text))
	based := false // a mark at this place has a base to stand on
	for _, r := range text {
		switch {
		case separates(r):
			heard.WriteByte(' ')
			based = false
		case invisible(r):
		case unicode.IsMark(r):
			if based {
				heard.WriteRune(r)
			}
		default:
			heard.WriteRune(r)
			based = true
		}
	}
	// A mark and its base that an invisible character held apart compose only now.
	return strings.Join(strings.Fields(norm.NFKC.String(heard.String())), " ")
}

// lowerCase returns text in lower case, with Unicode's final sigma and the dotless i of Turkish and Azerbaijani.
//
// Unicode's Lithuanian rules are left out: they add a dot to an accented capital I (Ì becomes i̇̀) that the same word in small letters
// does not have, and here both must come out equal.
func lowerCase(text, lang string) string {
	tag := language.Und
	if base := primarySubtag(lang); base == "tr" || base == "az" {
		tag = language.Turkish
	}
	return cases.Lower(tag).String(text) // a Caser is stateful: one for each call
}

const (
	zeroWidthSpace     = '\u200B'
	turnedComma        = '\u02BB' // the ʻokina of Hawaiian, the oʻ of Uzbek
	modifierApostrophe = '\u02BC' // the letter of Ukrainian and Breton
)

// separates reports whether r ends a word: white space, control, punctuation, symbol or apostrophe.
func separates(r rune) bool {
	switch r {
	case zeroWidthSpace, turnedComma, modifierApostrophe:
		return true
	}
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.IsPunct(r) || unicode.IsSymbol(r)
}

// invisible reports whether r has no shape of its own: Unicode's format characters and default ignorable code points.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// spaceless holds the languages that put no space between words. An error rate over their words would measure a word segmenter;
// the field scores single characters instead (Radford et al. 2022, appendix C, for the first five; Cantonese and Khmer are
// written likewise; cmn is zh by another name).
var spaceless = map[string]bool{
	"zh": true, "ja": true, "th": true, "lo": true, "my": true, "yue": true, "km": true, "cmn": true,
}

// Words returns the units of the word error rate of normalised text: what stands between spaces, or, in a language that is written
// without spaces (zh, ja, th, lo, my, yue, km), each letter together with its marks.
//
// What such a language borrows from those with spaces stays whole there: words of Latin, Greek or Cyrillic letters, and numbers in
// European digits, so that "我 用 iphone 15" is four words: the mixed error rate of work on code-switching (Vu et al. 2012).
// Where all letters are to count by themselves, as upstream's split_letters has it, that is Characters.
func Words(normalised, lang string) []string {
	words := strings.Fields(normalised)
	if !spaceless[primarySubtag(lang)] {
		return words
	}
	var units []string
	for _, w := range words {
		start, spaced := 0, false // of the unit so far
		for i, r := range w {
			if unicode.IsMark(r) {
				continue
			}
			now := unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic) || r >= '0' && r <= '9'
			if i > start && !(spaced && now) {
				units = append(units, w[start:i])
				start = i
			}
			spaced = now
		}
		units = append(units, w[start:])
	}
	return units
}

// Characters returns the units of the character error rate of normalised text: its code points, the spaces between words included,
// as jiwer's process_characters counts them. Where the language is written without spaces (see Words) a space is a typist's
// choice, and none is counted.
//
// A code point is not always what a reader calls a character: a Hindi syllable is two or three of them, so that rates of languages in
// different scripts are not to be compared.
func Characters(normalised, lang string) []rune {
	if spaceless[primarySubtag(lang)] {
		normalised = strings.ReplaceAll(normalised, " ", "")
	}
	return []rune(normalised)
}

// primarySubtag returns the language of a tag in small letters: "pt" of "pt-BR" or "PT_br".
func primarySubtag(tag string) string {
	if i := strings.IndexAny(tag, "-_"); i >= 0 {
		tag = tag[:i]
	}
	return strings.ToLower(tag)
}
