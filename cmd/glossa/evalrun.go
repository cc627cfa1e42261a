package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"glossa/eval"
)

// resultsAhead is the number of results that may wait for those before them.
const resultsAhead = 1024

// evalRun is an evaluation under way.
type evalRun struct {
	flags   *evalCommand
	console *console
	sounds  *sounds
	testee  testee
	set     *testSet
	tally   *evalTally
	results *results // nil where nobody needs the file

	resumed int    // trials that were made before
	failed  int    // that have no text
	told    string // the last utterance that a failure was told of

	recognised, seconds float64 // seconds of sound, and of the time that it took
}

// run makes the trials, and delivers what they come to.
func (r *evalRun) run(ctx context.Context, gate *evalGate) error {
	if err := r.openResults(); err != nil {
		return err
	}
	err := r.recognise(ctx)
	var live []*liveRow
	if err == nil && r.flags.Live {
		live, err = r.runLive(ctx)
	}
	if err == nil {
		err = r.deliver(live, gate)
	}
	if closing := r.results.close(); err == nil {
		err = closing
	}
	if err == nil && r.failed > 0 {
		r.console.note("glossa: %d of %d have no text, and count in no rate", r.failed, r.set.size())
		if gate == nil { // which says how many may be
			err = errReported
		}
	}
	return err
}

// openResults opens the file of results, where there is to be one, and takes what is in it from an earlier run.
func (r *evalRun) openResults() error {
	f := r.flags
	path := f.Hypotheses
	if f.lines() != resultLinesFormat {
		path = ""
	}
	if path == "" && f.HTML == "" && f.Compare == "" && f.Hypotheses == "" {
		return nil
	}
	settings, err := f.settings(r.testee)
	if err != nil {
		return err
	}
	settings["data"] = r.set.fingerprint()
	if !f.Resume {
		r.results, err = newResults(path, settings)
		return err
	}
	r.results, err = resumeResults(path, settings, func(p eval.Pair) (eval.Outcome, error) {
		r.resumed++
		return r.tally.add(p, r.set.deployed(&p))
	})
	return err
}

// made is a trial that was made.
type made struct {
	trial
	eval.Pair
}

// recognise makes the trials that were not made before.
func (r *evalRun) recognise(ctx context.Context) error {
	p := newEvalProgress(r.console, r.set.size(), "transcriptions")
	p.done = r.resumed
	trials := func(yield func(trial) bool) {
		for t := range r.set.trials() {
			if !r.results.has(t) && !yield(t) {
				return
			}
		}
	}
	recognise := func(ctx context.Context, t trial) (made, error) {
		pair, err := r.testee.recognise(ctx, t)
		return made{t, pair}, err
	}
	err := inOrder(ctx, r.atOnce(), resultsAhead, trials, recognise, func(m made) error {
		if m.Err != "" {
			r.failed++
			r.tell(&m.trial, errors.New(m.Err))
		}
		o, err := r.tally.add(m.Pair, m.deployed)
		if err != nil {
			return err
		}
		p.add(o.Duration, r.tally.soFar)
		if m.Err == "" {
			r.recognised += o.Duration
		}
		return r.results.add(&o)
	})
	p.finish()
	r.seconds = time.Since(p.begin).Seconds()
	if err != nil && r.flags.lines() == resultLinesFormat && r.flags.Hypotheses != "" {
		r.console.note("glossa: %d of %d are done; the same command with --resume goes on from there", p.done, p.total)
	}
	return err
}

// atOnce returns how many utterances are recognised at a time.
func (r *evalRun) atOnce() int { return cmp.Or(r.flags.Concurrency, r.testee.atOnce()) }

// maxTold is the number of failures that are told one by one.
const maxTold = 100

// tell says what is wrong with an utterance, once for all of its adapters.
func (r *evalRun) tell(t *trial, err error) {
	switch {
	case r.told == t.ID:
	case r.failed > maxTold:
	default:
		r.console.report(fmt.Errorf("%s: %w", t.AudioFilepath, err))
	}
	r.told = t.ID
}

// evalProgress counts trials, and tells the error rate so far.
type evalProgress struct {
	*progress
}

func newEvalProgress(c *console, total int, what string) *evalProgress {
	return &evalProgress{newProgress(c, total, what)}
}

// add counts a trial of so many seconds. words are those of all so far.
func (p *evalProgress) add(seconds float64, words eval.Counts) {
	p.done++
	p.audio += time.Duration(seconds * float64(time.Second))
	p.console.advance(int64(p.done), "%d/%d %s, WER %s so far, %s", p.done, p.total, p.what, perCent(words.ErrorRate()), p.speed())
}
