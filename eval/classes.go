package eval

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/language"
)

// The classes of words that Classes knows by itself.
const (
	ClassNumbers       = "numbers"        // words with a digit; spelled numbers only where the normaliser makes digits of them
	ClassForeignScript = "foreign-script" // words with a letter of a script that the language is not written in
)

// ClassRow is what became of the words of a class in the utterances of one language under one adapter. Hits, substitutions and deletions
// are those of reference words in the class; insertions are of hypothesis words in it.
type ClassRow struct {
	Lang          string  `json:"lang"`
	Adapter       *string `json:"adapter"` // nil, JSON's null, for the base model
	Class         string  `json:"class"`
	Words         int     `json:"words"` // of the references
	Hits          int     `json:"hits"`
	Substitutions int     `json:"substitutions"`
	Deletions     int     `json:"deletions"`
	Insertions    int     `json:"insertions"`
	WER           float64 `json:"wer"` // see Counts.ErrorRate
}

// Classes counts the outcomes of words by what they are: numbers, words in another script, and words of lists, such as names. A word
// may be of several classes and is counted in each. It is not safe for concurrent use.
type Classes struct {
	normaliser *Normaliser
	lists      map[string][]string
	lexicons   map[string]map[string][]string // by language: the lists that a word is in
	scripts    map[string][]*unicode.RangeTable
	counts     map[classKey]*Counts
}

type classKey struct{ lang, adapter, class string }

// NewClasses returns the counts of no outcome. The classes are those of lists, which has their words; ClassNumbers and ClassForeignScript need
// none. An entry of several words stands for each of them. They are normalised as the texts are; nil is DefaultNormaliser.
func NewClasses(lists map[string][]string, normaliser *Normaliser) *Classes {
	if normaliser == nil {
		normaliser = DefaultNormaliser
	}
	return &Classes{
		normaliser: normaliser, lists: lists,
		lexicons: make(map[string]map[string][]string), scripts: make(map[string][]*unicode.RangeTable), counts: make(map[classKey]*Counts),
	}
}

// Add counts the words of an outcome.
func (c *Classes) Add(o Outcome) {
	ref, hyp := o.Ref, o.Hyp
	for _, op := range o.Ops {
		var word string
		if op == Insertion {
			word = hyp[0]
		} else {
			word, ref = ref[0], ref[1:]
		}
		if op != Deletion {
			hyp = hyp[1:]
		}
		for _, class := range c.of(word, o.Lang) {
			key := classKey{o.Lang, o.Adapter, class}
			counts := c.counts[key]
			if counts == nil {
				counts = new(Counts)
				c.counts[key] = counts
			}
			counts.count(op)
		}
	}
}

// Rows returns the classes that occurred, by language, adapter (the base model first) and class.
func (c *Classes) Rows() []ClassRow {
	keys := slices.SortedFunc(maps.Keys(c.counts), func(a, b classKey) int {
		return cmp.Or(strings.Compare(a.lang, b.lang), strings.Compare(a.adapter, b.adapter), strings.Compare(a.class, b.class))
	})
	rows := make([]ClassRow, 0, len(keys))
	for _, key := range keys {
		n := c.counts[key]
		row := ClassRow{
			Lang: key.lang, Class: key.class, Words: n.Reference(),
			Hits: n.Hits, Substitutions: n.Substitutions, Deletions: n.Deletions, Insertions: n.Insertions, WER: n.ErrorRate(),
		}
		if key.adapter != "" {
			row.Adapter = &key.adapter
		}
		rows = append(rows, row)
	}
	return rows
}

// of returns the classes of a word.
func (c *Classes) of(word, lang string) []string {
	var classes []string
	if _, asked := c.lists[ClassNumbers]; asked && strings.ContainsFunc(word, unicode.IsNumber) {
		classes = append(classes, ClassNumbers)
	}
	if _, asked := c.lists[ClassForeignScript]; asked && isForeign(word, c.scriptsOf(lang)) {
		classes = append(classes, ClassForeignScript)
	}
	return append(classes, c.lexicon(lang)[word]...)
}

// isForeign reports whether a word has a letter of none of the scripts, of which there are none where the language's are not known.
func isForeign(word string, scripts []*unicode.RangeTable) bool {
	return len(scripts) > 0 && strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) && !unicode.In(r, scripts...) })
}

// lexicon returns the classes of the words of the lists, normalised for a language.
func (c *Classes) lexicon(lang string) map[string][]string {
	lexicon, ok := c.lexicons[lang]
	if ok {
		return lexicon
	}
	lexicon = make(map[string][]string)
	for _, class := range slices.Sorted(maps.Keys(c.lists)) {
		for _, entry := range c.lists[class] {
			for _, word := range Words(c.normaliser.Normalise(entry, lang), lang) {
				if !slices.Contains(lexicon[word], class) {
					lexicon[word] = append(lexicon[word], class)
				}
			}
		}
	}
	c.lexicons[lang] = lexicon
	return lexicon
}

// scriptsOf returns the scripts of a language and those of no language; none where the language's are not known.
func (c *Classes) scriptsOf(lang string) []*unicode.RangeTable {
	scripts, ok := c.scripts[lang]
	if ok {
		return scripts
	}
	tag, err := language.Parse(lang)
	if err == nil && lang != "" {
		script, confidence := tag.Script()
		if known := scriptsByCode[script.String()]; confidence > language.No && known != nil {
			scripts = append([]*unicode.RangeTable{unicode.Common, unicode.Inherited}, known...)
		}
	}
	c.scripts[lang] = scripts
	return scripts
}

// scriptsByCode holds the scripts of ISO 15924 that the languages of Whisper and their neighbours are written in.
var scriptsByCode = map[string][]*unicode.RangeTable{
	"Arab": {unicode.Arabic}, "Armn": {unicode.Armenian}, "Beng": {unicode.Bengali}, "Cyrl": {unicode.Cyrillic}, "Deva": {unicode.Devanagari},
	"Ethi": {unicode.Ethiopic}, "Geor": {unicode.Georgian}, "Grek": {unicode.Greek}, "Gujr": {unicode.Gujarati}, "Guru": {unicode.Gurmukhi},
	"Hans": {unicode.Han}, "Hant": {unicode.Han}, "Hebr": {unicode.Hebrew}, "Jpan": {unicode.Han, unicode.Hiragana, unicode.Katakana},
	"Khmr": {unicode.Khmer}, "Knda": {unicode.Kannada}, "Kore": {unicode.Hangul, unicode.Han}, "Laoo": {unicode.Lao}, "Latn": {unicode.Latin},
	"Mlym": {unicode.Malayalam}, "Mong": {unicode.Mongolian}, "Mymr": {unicode.Myanmar}, "Orya": {unicode.Oriya}, "Sinh": {unicode.Sinhala},
	"Taml": {unicode.Tamil}, "Telu": {unicode.Telugu}, "Thai": {unicode.Thai}, "Tibt": {unicode.Tibetan},
}
