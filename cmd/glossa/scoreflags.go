package main

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"glossa/eval"
)

// textScoringFlags say what counts as an error.
type textScoringFlags struct {
	Language     string `placeholder:"TAG" help:"The language of all utterances, such as cs. (as the files say)"`
	Normaliser   string `enum:"glossa,basic,basic-diacritics,english,none" default:"glossa" help:"What counts as a difference: glossa keeps combining marks, basic and english are those of openai/whisper, none changes nothing. (${enum})"`
	Spellings    string `placeholder:"FILE" help:"American spellings of British words for the english normaliser: normalizer.json of a model's folder."`
	Alignment    string `enum:"levenshtein,sclite" default:"levenshtein" help:"Which alignment is the best: that of the fewest errors, or sclite's, where a substitution weighs 4, a deletion or insertion 3. (${enum})"`
	Alternatives bool   `help:"Read references as NIST's: { um / uh / @ } is any of these or nothing, and (a) may be left out."`
	By           string `enum:"auto,speaker,recording,utterance" default:"auto" help:"What is drawn for intervals: all of a speaker or recording, or single utterances. (${enum}; the first that is known)"`
}

// scorer returns the scorer that the flags describe.
func (f *textScoringFlags) scorer() (eval.Scorer, error) {
	s := eval.Scorer{Alternatives: f.Alternatives}
	if f.Alignment == "sclite" {
		s.Costs = eval.Sclite
	}
	if f.Spellings != "" && f.Normaliser != "english" {
		return s, errors.New("--spellings is for --normaliser english alone")
	}
	var spellings map[string]string
	var err error
	if f.Spellings != "" {
		if spellings, err = eval.ReadSpellings(f.Spellings); err != nil {
			return s, err
		}
	}
	s.Normaliser, err = eval.NormaliserNamed(f.Normaliser, spellings)
	return s, err
}

// grouped returns a pair as it is drawn. One without an identifier has that of its sound.
func (r *scoreRun) grouped(p eval.Pair) eval.Pair {
	if p.ID == "" && p.Audio != "" {
		p.ID = p.Audio
		if p.Start != 0 {
			p.ID += fmt.Sprintf(" %.3f", p.Start)
		}
	}
	switch r.command.Scoring.By {
	case "recording":
		p.Speaker = ""
	case "utterance":
		p.Speaker, p.Audio = "", ""
	}
	return p
}

// tagged gives pairs the language of --language, and warns of alternatives that are not read as such.
func (r *scoreRun) tagged(pairs iter.Seq2[eval.Pair, error]) iter.Seq2[eval.Pair, error] {
	lang := r.command.Scoring.Language
	return func(yield func(eval.Pair, error) bool) {
		for p, err := range pairs {
			if lang != "" {
				p.Lang = lang
			}
			if !r.scorer.Alternatives && !r.warned && hasAlternatives(p.Reference) {
				r.warned = true
				r.warn(fmt.Sprintf("%s: the reference has alternatives, { … / … }, which are read as such with --alternatives alone", p.ID))
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// hasAlternatives reports whether a reference looks as if it had alternatives.
func hasAlternatives(text string) bool {
	_, rest, ok := strings.Cut(text, "{ ")
	return ok && strings.Contains(rest, " / ") && strings.Contains(rest, " }")
}
