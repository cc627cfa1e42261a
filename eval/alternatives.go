package eval

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrAlternatives says that the alternatives of a reference are not well formed.
var ErrAlternatives = errors.New("eval: alternatives are not well formed")

// reference is a reference with alternatives, its words normalised.
type reference struct {
	arcs    lattice
	words   []string // by arc
	numbers interner[string]
}

// maxNesting bounds how deep alternatives stand within alternatives.
const maxNesting = 64

// parseAlternatives reads NIST's alternatives (SCTK, doc/infmts.htm):
//
//	ALTERNATE = "{" TEXT ("/" TEXT)+ "}"
//	TEXT      = words, "@" for nothing, "(word)" for one that may be left out, ALTERNATE
//
// Braces are signs wherever they stand, slashes within braces. words normalises a stretch of text and cuts it into words.
func parseAlternatives(text string, words func(string) []string) (*reference, error) {
	p := alternativesParser{
		reference: reference{arcs: make(lattice, 1), words: make([]string, 1), numbers: make(interner[string])},
		text:      text, cut: words,
	}
	if _, err := p.sequence(0, 0); err != nil {
		return nil, err
	}
	if p.at < len(text) {
		return nil, p.fault(p.at, "} without {")
	}
	return &p.reference, nil
}

type alternativesParser struct {
	reference
	text string
	at   int // bytes of text that are read
	cut  func(string) []string
}

// fault returns an error about the text from a byte on.
func (p *alternativesParser) fault(at int, what string) error {
	return fmt.Errorf("%w: %s, at character %d of the reference", ErrAlternatives, what, utf8.RuneCountInString(p.text[:at])+1)
}

// add appends an arc and returns its place.
func (p *alternativesParser) add(a arc, word string) int32 {
	p.arcs, p.words = append(p.arcs, a), append(p.words, word)
	return int32(len(p.arcs) - 1)
}

// sequence reads a TEXT, up to the end of one alternative where nesting is above 0, and returns the arc that it ends with, that which it
// goes on from if it says nothing.
func (p *alternativesParser) sequence(from int32, nesting int) (int32, error) {
	ends := "{}"
	if nesting > 0 {
		ends = "{/}"
	}
	for {
		stretch := p.text[p.at:]
		if i := strings.IndexAny(stretch, ends); i >= 0 {
			stretch = stretch[:i]
		}
		p.at += len(stretch)
		from = p.stretch(stretch, from)
		if p.at == len(p.text) || p.text[p.at] != '{' {
			return from, nil
		}
		var err error
		if from, err = p.alternate(from, nesting+1); err != nil {
			return 0, err
		}
	}
}

// alternate reads an ALTERNATE and returns the arc at which its ways meet.
func (p *alternativesParser) alternate(from int32, nesting int) (int32, error) {
	begin := p.at
	if nesting > maxNesting {
		return 0, p.fault(begin, fmt.Sprintf("more than %d braces within one another", maxNesting))
	}
	met := int32(-1)
	for ways := 1; ; ways++ {
		p.at++ // the brace or the slash
		start := p.at
		end, err := p.sequence(from, nesting)
		if err != nil {
			return 0, err
		}
		if p.at == len(p.text) {
			return 0, p.fault(begin, "{ without }")
		}
		if strings.TrimSpace(p.text[start:p.at]) == "" {
			return 0, p.fault(start, "an alternative is empty; write @ for nothing")
		}
		if end == from { // what is written comes to nothing
			end = p.add(arc{kind: null, unit: -1, from: from}, "")
		}
		if met >= 0 {
			end = p.add(arc{kind: join, unit: -1, from: met, other: end}, "")
		}
		met = end
		if p.text[p.at] == '}' {
			if ways == 1 {
				return 0, p.fault(begin, "{ } with one alternative; write { a / b }, or { a / @ } for a word that may be left out")
			}
			p.at++
			return met, nil
		}
	}
}

// stretch adds text that holds no alternatives, and returns the arc that it ends with.
func (p *alternativesParser) stretch(text string, from int32) int32 {
	var plain []string
	flush := func(kind arcKind, text string) {
		for _, word := range p.cut(text) {
			from = p.add(arc{kind: kind, unit: p.numbers.number(word), from: from}, word)
		}
	}
	for _, token := range strings.Fields(text) {
		inner, isOptional := optionalWord(token)
		if token != "@" && !isOptional {
			plain = append(plain, token)
			continue
		}
		flush(spoken, strings.Join(plain, " "))
		plain = plain[:0]
		if isOptional {
			flush(optional, inner)
		} else {
			from = p.add(arc{kind: null, unit: -1, from: from}, "")
		}
	}
	flush(spoken, strings.Join(plain, " "))
	return from
}

// optionalWord returns what stands in the parentheses of a word that may be left out.
func optionalWord(token string) (inner string, ok bool) {
	inner, opened := strings.CutPrefix(token, "(")
	inner, closed := strings.CutSuffix(inner, ")")
	return inner, opened && closed && inner != ""
}
