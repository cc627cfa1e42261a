package main

import (
	"fmt"
	"iter"
	"strings"

	"glossa/eval"
)

// textScoringFlags say what counts as an error, of texts whose language may not be told.
type textScoringFlags struct {
	Language string `placeholder:"TAG" help:"The language of all utterances, such as cs. (as the files say)"`
	scoringFlags
}

// grouped returns a pair as it is drawn. One without an identifier has that of its sound.
func (r *scoreRun) grouped(p eval.Pair) eval.Pair {
	if p.ID == "" && p.Audio != "" {
		p.ID = p.Audio
		if p.Start != 0 {
			p.ID += fmt.Sprintf(" %.3f", p.Start)
		}
	}
	return r.command.Scoring.grouped(p)
}

// tagged gives pairs the language of --language, and warns of alternatives that are not read as such.
func (r *scoreRun) tagged(pairs iter.Seq2[eval.Pair, error]) iter.Seq2[eval.Pair, error] {
	lang := r.command.Scoring.Language
	return func(yield func(eval.Pair, error) bool) {
		for p, err := range pairs {
			if lang != "" {
				p.Lang = lang
			}
			if r.command.Scoring.Alternatives == nil && !r.scorer.Alternatives && !r.warned.Load() && hasAlternatives(p.Reference) && !r.warned.Swap(true) {
				r.warn(fmt.Sprintf("%s: the reference has alternatives, { … / … }, which are read as such with --alternatives", p.ID))
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
