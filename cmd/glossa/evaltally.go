package main

import (
	"fmt"
	"iter"

	"glossa/eval"
)

// evalTally adds up what the trials come to.
type evalTally struct {
	scorer    eval.Scorer
	grouped   func(eval.Pair) eval.Pair
	speech    *eval.Summary
	nonSpeech *eval.Summary // of sound in which nothing is said, which no rate of words counts
	silent    bool          // there is such sound
	soFar     eval.Counts   // of trials as a user would have them
}

// newEvalTally returns the tally of no trials.
func newEvalTally(f *evalCommand, scorer eval.Scorer) (*evalTally, error) {
	speech, err := f.summary(scorer, false)
	return &evalTally{scorer: scorer, grouped: f.grouped, speech: speech, nonSpeech: eval.NewSummary(eval.SummaryOptions{Alone: true})}, err
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
			return o, fmt.Errorf("%s: %w%s", p.ID, err, asTheyAre(err))
		}
	}
	o.Lang = p.Lang
	return o, nil
}

// add adds a pair, and returns its outcome.
func (t *evalTally) add(p eval.Pair, deployed bool) (eval.Outcome, error) {
	o, err := t.outcome(p)
	if err != nil {
		return o, err
	}
	drawn := o
	drawn.Pair = t.grouped(o.Pair)
	if p.Lang == nonSpeech {
		t.silent = true
		t.nonSpeech.Add(drawn)
		return o, nil
	}
	t.speech.Add(drawn)
	if deployed && p.Err == "" {
		t.soFar = t.soFar.Plus(o.Words)
	}
	return o, nil
}

// report returns the report, and the rows of sound in which nothing is said.
func (t *evalTally) report() (report *eval.Report, silent []eval.Row) {
	report = t.speech.Report()
	if t.silent {
		silent = t.nonSpeech.Report().Rows
	}
	return report, silent
}

// outcomes yields the outcomes of a file of results, scored anew; as they are drawn, without sound in which nothing is said, or all as they are.
func (t *evalTally) outcomes(path string, drawn bool) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		for p, err := range resultPairs(path) {
			if err == nil && drawn && p.Lang == nonSpeech {
				continue
			}
			var o eval.Outcome
			if err == nil {
				o, err = t.outcome(p)
			}
			if drawn {
				o.Pair = t.grouped(o.Pair)
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}
