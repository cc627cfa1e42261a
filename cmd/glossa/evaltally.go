package main

import (
	"fmt"
	"iter"
	"strconv"

	"glossa/eval"
)

// evalTally adds up what the trials come to.
type evalTally struct {
	scorer    eval.Scorer
	by        func(*eval.Pair) string // what has a row of its own within a language; "" for all of it
	speech    *eval.Summary
	nonSpeech *eval.Summary // of sound in which nothing is said, which no rate of words counts
	spoken    bool          // there is speech
	silent    bool          // there is such sound
	soFar     eval.Counts   // of trials as a user would have them
}

// newEvalTally returns the tally of no trials.
func newEvalTally(f *evalCommand, scorer eval.Scorer, set *testSet) *evalTally {
	o := eval.SummaryOptions{Confusions: f.Confusions, Normaliser: scorer.Normaliser.Name + " " + scorer.Normaliser.Version, Costs: scorer.Costs}
	return &evalTally{scorer: scorer, by: set.by(f.By), speech: eval.NewSummary(o), nonSpeech: eval.NewSummary(o)}
}

// by returns what tells rows of a language apart.
func (s *testSet) by(field string) func(*eval.Pair) string {
	switch field {
	case "lang":
		return func(*eval.Pair) string { return "" }
	case "speaker":
		return func(p *eval.Pair) string { return p.Speaker }
	case "recording":
		return func(p *eval.Pair) string { return p.Audio }
	}
	values := make(map[string]string, len(s.utterances))
	for i := range s.utterances {
		u := &s.utterances[i]
		text := string(u.Extra[field])
		if plain, err := strconv.Unquote(text); err == nil {
			text = plain
		}
		values[u.ID] = text
	}
	return func(p *eval.Pair) string { return values[p.ID] }
}

// outcome scores a pair. What was heard where nothing is said is in the language that was detected.
func (t *evalTally) outcome(p eval.Pair) (o eval.Outcome, err error) {
	o.Pair = p
	if p.Err == "" {
		q := p
		if p.Lang == nonSpeech {
			q.Lang = p.Detected
		}
		if o, err = t.scorer.Score(q); err != nil {
			return o, fmt.Errorf("%s: %w", p.ID, err)
		}
	}
	o.Lang = p.Lang
	if row := t.by(&p); row != "" && p.Lang != nonSpeech {
		o.Lang += " " + row
	}
	return o, nil
}

// add adds a pair, and returns its outcome.
func (t *evalTally) add(p eval.Pair, deployed bool) (eval.Outcome, error) {
	o, err := t.outcome(p)
	if err != nil {
		return o, err
	}
	if p.Lang == nonSpeech {
		t.silent = true
		t.nonSpeech.Add(o)
		return o, nil
	}
	t.spoken = true
	t.speech.Add(o)
	if deployed && p.Err == "" {
		t.soFar = t.soFar.Plus(o.Words)
	}
	return o, nil
}

// report returns the report. The rows of sound in which nothing is said are its last, and count in no rate of the total.
func (t *evalTally) report() *eval.Report {
	if !t.spoken {
		return t.nonSpeech.Report()
	}
	report := t.speech.Report()
	if t.silent {
		silent := t.nonSpeech.Report()
		report.Rows = append(report.Rows, silent.Rows...)
		if report.Total.InsertedPerMinute == nil {
			report.Total.InsertedPerMinute = silent.Total.InsertedPerMinute
		}
	}
	return report
}

// outcomes yields the outcomes of a file of results, scored anew.
func (t *evalTally) outcomes(path string, speechAlone bool) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		for line, err := range resultLines(path) {
			if err == nil && speechAlone && line.Lang == nonSpeech {
				continue
			}
			var o eval.Outcome
			if err == nil {
				o, err = t.outcome(line.Pair)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}
