package main

import (
	"fmt"
	"iter"
	"slices"

	"glossa/eval"
	"glossa/eval/transcript"
)

// comparer compares a system with a base while both are scored, on a goroutine of its own.
type comparer struct {
	base, system string // Pair.Adapter of the outcomes that are passed on
	to           [2]chan eval.Outcome
	ended        chan struct{}
	comparisons  []eval.Comparison
	err          error
}

// comparers returns those of several systems, each with the first, or the one of --compare.
func (r *scoreRun) comparers() (list []*comparer) {
	names := r.inputs.names
	for _, name := range names[min(1, len(names)):] {
		c := newComparer(names[0], name)
		c.start(c.outcomes(0), c.outcomes(1), names[0], name)
		list = append(list, c)
	}
	file := r.command.Compare
	if file == "" {
		return list
	}
	source := transcript.Source{Files: []string{file}, Adapter: r.inputs.adapter, Open: r.inputs.open}
	was, is, alone := r.deployed(file)
	earlier := func(yield func(eval.Outcome, error) bool) {
		for o, err := range deployedAlone(scoreAll(r.ctx, r.scorer, r.tagged(transcript.ResultPairs(source))), alone, was) {
			if o.Pair = r.grouped(o.Pair); r.inputs.results == nil {
				o.Adapter = "" // as that of the one system
			}
			if !yield(o, err) {
				return
			}
		}
	}
	c := newComparer("", "")
	c.to[0] = nil
	c.start(earlier, deployedAlone(c.outcomes(1), alone, is), systemName(file), r.inputs.name())
	return append(list, c)
}

// deployed returns the adapters of earlier results and of those that are scored, and the languages of which the last ones are compared alone. The
// standard input is not read twice, and what cannot be read will be told when it is scored.
func (r *scoreRun) deployed(file string) (was, is adaptersByLang, alone map[string]bool) {
	in := r.inputs
	of := func(files ...string) adaptersByLang {
		if slices.Contains(files, transcript.Stdin) {
			return nil
		}
		a, err := adaptersOf(r.tagged(transcript.ResultPairs(transcript.Source{Files: files, Adapter: in.adapter})))
		if err != nil {
			return nil
		}
		return a
	}
	if was = of(file); in.results != nil {
		is = of(in.results.Files...)
		return was, is, deployedOf(was, is)
	}
	is, alone = make(adaptersByLang), make(map[string]bool) // one system, which has no name
	for lang := range was {
		is[lang], alone[lang] = []string{""}, true
	}
	return was, is, alone
}

// newComparer returns a comparer that was not started.
func newComparer(base, system string) *comparer {
	return &comparer{
		base: base, system: system, ended: make(chan struct{}),
		to: [2]chan eval.Outcome{make(chan eval.Outcome, scoreBatch), make(chan eval.Outcome, scoreBatch)},
	}
}

// outcomes yields what is passed on of the base, 0, or the system, 1.
func (c *comparer) outcomes(side int) iter.Seq2[eval.Outcome, error] {
	from := c.to[side]
	return func(yield func(eval.Outcome, error) bool) {
		for o := range from {
			if c.system != "" {
				o.Adapter = "" // or the two would be of different adapters
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// start compares two sequences of outcomes.
func (c *comparer) start(base, system iter.Seq2[eval.Outcome, error], baseName, systemName string) {
	go func() {
		defer close(c.ended)
		c.comparisons, c.err = eval.Compare(base, system, eval.CompareOptions{Base: baseName, System: systemName})
		if c.err != nil {
			c.err = fmt.Errorf("%s and %s: %w", baseName, systemName, c.err)
		}
	}()
}

// add passes an outcome on, as far as it is of one of the two.
func (c *comparer) add(o eval.Outcome) {
	for side, name := range []string{c.base, c.system} {
		if c.to[side] == nil || name != "" && o.Adapter != name {
			continue
		}
		select {
		case c.to[side] <- o:
		case <-c.ended: // with an error
		}
	}
}

// end returns the comparisons when all outcomes have been added.
func (c *comparer) end() ([]eval.Comparison, error) {
	for _, to := range c.to {
		if to != nil {
			close(to)
		}
	}
	<-c.ended
	return c.comparisons, c.err
}
