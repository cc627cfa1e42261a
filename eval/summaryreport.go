package eval

import (
	"fmt"
	"strings"
)

// numbers returns the row's numbers, without intervals.
func (r *summaryRow) numbers() Numbers {
	n := numbers(r.score)
	n.Failed = r.failed
	n.Sound = r.sound
	n.Latency = r.latency.latency()
	if r.silent > 0 {
		rate := float64(r.inserted) / (r.silent / 60)
		n.InsertedPerMinute, n.SilentSound = &rate, r.silent
	}
	return n
}

// setIntervals sets the intervals that resamples of so many groups give, of which there are to be two at least.
func (n *Numbers) setIntervals(b Bootstrap, all sums, resamples []sums, groups, strata int) {
	n.Groups = groups
	if groups <= strata {
		return
	}
	words := b.interval(all.first(), mapped(resamples, sums.first), groups, strata)
	characters := b.interval(all.second(), mapped(resamples, sums.second), groups, strata)
	n.WERInterval = &[2]float64{words.Low, words.High}
	n.CERInterval = &[2]float64{characters.Low, characters.High}
}

// sumOf is the sum of the rows that a total counts. Their languages are drawn each on its own, since a test set's share of each is its
// maker's choice and would not move.
type sumOf struct {
	summaryRow
	resamples     []sums
	drawn, strata int
}

// add adds a row.
func (t *sumOf) add(r *summaryRow, resamples []sums) {
	t.score.Add(r.score)
	t.failed += r.failed
	t.sound += r.sound
	t.latency.plus(r.latency)
	t.inserted += r.inserted
	t.silent += r.silent
	if len(r.groups.list) == 0 {
		return
	}
	t.groups.all[0].add(r.groups.all[0])
	if t.resamples == nil {
		t.resamples = make([]sums, len(resamples))
	}
	for k, s := range resamples {
		t.resamples[k].add(s)
	}
	t.drawn += len(r.groups.list)
	t.strata++
}

// overBase collects the comparisons of adapters with the base model.
type overBase struct {
	family []*Comparison
	sum    compared
	langs  int
}

// add compares the row with the base model. The total counts the last row of each language.
func (o *overBase) add(b Bootstrap, row *summaryRow, last bool) *Comparison {
	c := row.overBase.compare(b, hash("over base", row.lang, row.adapter))
	c.Lang, c.Base, c.System, c.Adapter = row.lang, baseName, row.adapter, row.adapter
	c.Unpaired = row.score.Utterances - c.Utterances
	c.unpaired = c.Unpaired
	if last {
		o.sum.plus(c)
		o.langs++
	}
	comparison := c.Comparison // without what it was drawn from
	o.family = append(o.family, &comparison)
	return &comparison
}

// total returns the comparison over all languages that have one, and adjusts the others for their number.
func (o *overBase) total(b Bootstrap) []Comparison {
	holm(o.family)
	if o.langs < 2 {
		return nil
	}
	o.sum.fill(b)
	o.sum.Base, o.sum.System = baseName, adaptersName
	return []Comparison{o.sum.Comparison}
}

// resampling says how intervals were made.
func (s *Summary) resampling() string {
	return s.o.Bootstrap.describe(s.units)
}

// describe says how intervals are made of groups of the given kinds.
func (b Bootstrap) describe(units [numUnits]bool) string {
	var kinds []string
	for u, used := range units {
		if used {
			kinds = append(kinds, unit(u).String())
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return fmt.Sprintf("bootstrap, %d resamples by %s, %g%% intervals", b.Resamples, strings.Join(kinds, " or "), 100*b.Confidence)
}

// The names of the systems in comparisons within a report.
const (
	baseName     = "base"
	adaptersName = "adapters"
)
