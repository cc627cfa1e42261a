package main

import (
	"errors"
	"fmt"

	"glossa/eval"
)

// evalGate are the limits that an evaluation has to keep.
type evalGate struct {
	eval.Gate
	earlier *eval.Report // nil where relative limits refer to --compare, or there are none
}

// openGate reads a file of limits, nil without a name. compared says that results of --compare are there, which relative limits may refer to.
func openGate(path string, compared bool) (*evalGate, error) {
	if path == "" {
		return nil, nil
	}
	gate, earlier, err := readGate(path)
	if err == nil && gate.Relative() && earlier == nil && !compared {
		err = fmt.Errorf("%s: worse_wer and worse_cer are relative: name an earlier report as baseline, or results with --compare", path)
	}
	if err != nil {
		return nil, fmt.Errorf("--gate %w", err)
	}
	return &evalGate{gate, earlier}, nil
}

// check reports the limits that are broken. Without an earlier report those that are relative hold for comparisons on the same utterances.
func (g *evalGate) check(c *console, r *eval.Report, comparisons []eval.Comparison) error {
	if g == nil {
		return nil
	}
	var breaches []eval.Breach
	absolute := g.Gate
	if g.earlier == nil && len(comparisons) > 0 {
		var err error
		if breaches, err = g.CheckComparisons(r, comparisons); err != nil {
			return fmt.Errorf("--gate: %w", err)
		}
		absolute = g.absolute()
	}
	more, err := absolute.Check(r, g.earlier)
	if err != nil {
		return fmt.Errorf("--gate: %w", err)
	}
	breaches = append(more, breaches...)
	for _, b := range breaches {
		c.report(errors.New("gate: " + b.String()))
	}
	if len(breaches) > 0 {
		return errReported
	}
	return nil
}

// absolute returns the gate without its relative limits.
func (g *evalGate) absolute() eval.Gate {
	alone := func(l eval.Limit) eval.Limit { return eval.Limit{WER: l.WER, CER: l.CER} }
	a := g.Gate
	a.Total, a.Each, a.Langs = alone(a.Total), alone(a.Each), make(map[string]eval.Limit)
	for lang, limit := range g.Langs {
		a.Langs[lang] = alone(limit)
	}
	return a
}
