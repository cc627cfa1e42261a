package eval

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// ErrGate is returned where a gate cannot be used.
var ErrGate = errors.New("eval: gate")

// Limit bounds the error rates of a language or of the total. Limits are fractions from 0 to 1; a nil field bounds nothing.
type Limit struct {
	WER, CER *float64 // greatest rates

	// WorseWER and WorseCER are how much the rate may exceed that of an earlier report: 0 for not at all. A rate breaks it that exceeds it
	// beyond chance (see Gate.Check).
	WorseWER, WorseCER *float64
}

// Gate says which results are good enough.
type Gate struct {
	Total   Limit
	Each    Limit            // of each language that has none of its own
	Langs   map[string]Limit // by language as the report has it
	Adapter string           // the rows that are held to limits; the default value is "": the last of each language, which the total counts
	Failed  int              // the most utterances without a hypothesis, in all; the default value is 0
}

// Breach is a limit that a report breaks.
type Breach struct {
	Lang    string   `json:"lang"` // "" for the total
	Adapter string   `json:"adapter,omitempty"`
	Measure string   `json:"measure"` // "WER", "CER", "failed" (a number of utterances) or "missing" (the language has no result)
	Value   float64  `json:"value"`
	Limit   float64  `json:"limit"`
	Earlier *float64 `json:"earlier,omitempty"` // the rate of the earlier report, where the limit is relative to it
	By      float64  `json:"by"`                // Value - Limit
}

// String says what is wrong in a sentence's part: "cs: WER 15.0% exceeds 12.0% by 3.0 points".
func (b Breach) String() string {
	name := orElse(b.Lang, "total")
	if b.Adapter != "" {
		name += " with adapter " + b.Adapter
	}
	switch b.Measure {
	case "failed":
		return fmt.Sprintf("%s: %.0f utterances failed, of which %.0f may", name, b.Value, b.Limit)
	case "missing":
		return name + ": no utterance was scored"
	}
	text := fmt.Sprintf("%s: %s %s exceeds %s by %.1f points", name, b.Measure, percent(b.Value), percent(b.Limit), 100*b.By)
	if b.Earlier != nil {
		text = fmt.Sprintf("%s: %s rose from %s to %s, beyond chance and the %.1f points allowed",
			name, b.Measure, percent(*b.Earlier), percent(b.Value), 100*(b.Limit-*b.Earlier))
	}
	return text
}

// Check returns the limits that a report breaks, those of the total last. earlier is what relative limits refer to, and may be nil where there
// are none. It fails with ErrGate where a limit has no meaning, or where earlier is missing or has no row of a language.
//
// A rate is worse beyond chance where it exceeds the earlier one and what is allowed by more than 1.645 standard errors of
// the difference of the two, which is 95% one-sided. The errors are those of the two reports' intervals, which are taken for such of
// 95% and for independent; on one test set they are not, and the check lets more pass than a paired one (Compare,
// Gate.CheckComparisons). A rate without an interval is compared as it is.
func (g Gate) Check(r, earlier *Report) ([]Breach, error) {
	if err := g.validate(earlier); err != nil {
		return nil, err
	}
	var breaches []Breach
	for _, lang := range g.langs(r) {
		limit := g.limit(lang)
		if limit == (Limit{}) {
			continue
		}
		row := g.row(r, lang)
		if row == nil || row.Utterances == 0 {
			breaches = append(breaches, Breach{Lang: lang, Adapter: g.Adapter, Measure: "missing"})
			continue
		}
		var before *Numbers
		if limit.relative() {
			old := g.row(earlier, lang)
			if old == nil || old.Utterances == 0 {
				return nil, fmt.Errorf("%w: the earlier report has no result for %q to compare with", ErrGate, lang)
			}
			before = &old.Numbers
		}
		adapter := ""
		if row.Adapter != nil {
			adapter = *row.Adapter
		}
		breaches = append(breaches, limit.check(lang, adapter, &row.Numbers, before)...)
	}
	if failed := r.Total.Failed; failed > g.Failed {
		breaches = append(breaches, Breach{Measure: "failed", Value: float64(failed), Limit: float64(g.Failed), By: float64(failed - g.Failed)})
	}
	switch {
	case r.Total.Utterances == 0:
		breaches = append(breaches, Breach{Measure: "missing"})
	case earlier == nil:
		breaches = append(breaches, g.Total.check("", "", &r.Total, nil)...)
	default:
		breaches = append(breaches, g.Total.check("", "", &r.Total, &earlier.Total)...)
	}
	return breaches, nil
}

// CheckComparisons returns the relative limits that a system breaks, compared with a base on the same utterances: those where the interval
// of the difference lies wholly beyond what is allowed. Of a language with several comparisons the last is held to them, or that of g.Adapter;
// to those of the total the last of all, which is the only one where there is one language. It fails with ErrGate where a language of the report
// is to be compared and is in no comparison. Absolute limits are Check's.
func (g Gate) CheckComparisons(r *Report, list []Comparison) (breaches []Breach, err error) {
	for _, lang := range g.langs(r) {
		if g.limit(lang).relative() && !slices.ContainsFunc(list, func(c Comparison) bool { return c.Lang == lang && g.names(c) }) {
			return nil, fmt.Errorf("%w: there is nothing of %q to compare with", ErrGate, lang)
		}
	}
	for i, c := range list {
		if (c.Lang != "" || len(list) == 1) && g.holds(list, i) {
			breaches = append(breaches, g.limit(c.Lang).checkComparison(c)...)
		}
	}
	if len(list) > 0 {
		c := list[len(list)-1]
		c.Lang, c.Adapter = "", ""
		breaches = append(breaches, g.Total.checkComparison(c)...)
	}
	return breaches, nil
}

// checkComparison returns what a comparison breaks.
func (l Limit) checkComparison(c Comparison) (breaches []Breach) {
	check := func(measure string, allowed *float64, before, after float64, interval [2]float64) {
		if allowed == nil || c.Utterances == 0 {
			return
		}
		least := before - after // how much the system gains at best
		if c.Groups > 1 {
			least = interval[1]
		}
		if least < -*allowed {
			bound := before + *allowed
			breaches = append(breaches, Breach{Lang: c.Lang, Adapter: c.Adapter, Measure: measure, Value: after, Limit: bound, Earlier: &before, By: after - bound})
		}
	}
	check("WER", l.WorseWER, c.BaseWER, c.SystemWER, c.Interval)
	check("CER", l.WorseCER, c.BaseCER, c.SystemCER, c.CERInterval)
	return breaches
}

// holds reports whether the comparison of a language is of the row that is held to its limit, as row has it.
func (g Gate) holds(list []Comparison, i int) bool {
	return g.names(list[i]) && !slices.ContainsFunc(list[i+1:], func(c Comparison) bool { return c.Lang == list[i].Lang && g.names(c) })
}

// names reports whether a comparison is of the adapter that the gate names, if it does; systems beside each other are named so, too.
func (g Gate) names(c Comparison) bool {
	return g.Adapter == "" || c.Adapter == g.Adapter || c.System == g.Adapter
}

// limits returns all limits.
func (g Gate) limits() []Limit {
	all := []Limit{g.Total, g.Each}
	for _, limit := range g.Langs {
		all = append(all, limit)
	}
	return all
}

// Relative reports whether a limit refers to an earlier report, or to a comparison.
func (g Gate) Relative() bool { return slices.ContainsFunc(g.limits(), Limit.relative) }

// Validate returns ErrGate where a limit has no meaning.
func (g Gate) Validate() error {
	if _, nameless := g.Langs[""]; nameless {
		return fmt.Errorf("%w: a limit of a language without a name", ErrGate)
	}
	if g.Failed < 0 {
		return fmt.Errorf("%w: %d utterances that may fail; 0 is the least", ErrGate, g.Failed)
	}
	for _, l := range g.limits() {
		for _, rate := range []*float64{l.WER, l.CER, l.WorseWER, l.WorseCER} {
			if rate != nil && !(*rate >= 0 && *rate <= 1) {
				return fmt.Errorf("%w: a limit of %v; limits are fractions from 0 to 1, such as 0.12 for 12%%", ErrGate, *rate)
			}
		}
	}
	return nil
}

// validate returns why the gate cannot be used.
func (g Gate) validate(earlier *Report) error {
	if err := g.Validate(); err != nil {
		return err
	}
	if g.Relative() && earlier == nil {
		return fmt.Errorf("%w: a limit relative to an earlier report, which is not given", ErrGate)
	}
	return nil
}

// langs returns the languages of the report and of the gate's own limits, in their order and by name.
func (g Gate) langs(r *Report) []string {
	var list []string
	for _, row := range r.Rows {
		if !slices.Contains(list, row.Lang) {
			list = append(list, row.Lang)
		}
	}
	var more []string
	for lang := range g.Langs {
		if !slices.Contains(list, lang) {
			more = append(more, lang)
		}
	}
	slices.SortFunc(more, strings.Compare)
	return append(list, more...)
}

// limit returns the limit of a language.
func (g Gate) limit(lang string) Limit {
	if own, ok := g.Langs[lang]; ok {
		return own
	}
	return g.Each
}

// row returns the row of a language that is held to its limit, nil where there is none.
func (g Gate) row(r *Report, lang string) *Row {
	for i, row := range slices.Backward(r.Rows) {
		if row.Lang == lang && (g.Adapter == "" || row.Adapter != nil && *row.Adapter == g.Adapter) {
			return &r.Rows[i]
		}
	}
	return nil
}

// relative reports whether the limit refers to an earlier report.
func (l Limit) relative() bool { return l.WorseWER != nil || l.WorseCER != nil }

// check returns what the numbers break. before is nil where no limit is relative.
func (l Limit) check(lang, adapter string, n, before *Numbers) []Breach {
	var breaches []Breach
	add := func(measure string, value, limit float64, earlier *float64) {
		breaches = append(breaches, Breach{Lang: lang, Adapter: adapter, Measure: measure, Value: value, Limit: limit, Earlier: earlier, By: value - limit})
	}
	if l.WER != nil && n.WER > *l.WER {
		add("WER", n.WER, *l.WER, nil)
	}
	if l.CER != nil && n.CER > *l.CER {
		add("CER", n.CER, *l.CER, nil)
	}
	if l.WorseWER != nil && beyondChance(n.WER-before.WER-*l.WorseWER, n.WERInterval, before.WERInterval) {
		add("WER", n.WER, before.WER+*l.WorseWER, &before.WER)
	}
	if l.WorseCER != nil && beyondChance(n.CER-before.CER-*l.WorseCER, n.CERInterval, before.CERInterval) {
		add("CER", n.CER, before.CER+*l.WorseCER, &before.CER)
	}
	return breaches
}

// beyondChance reports whether a difference of two rates is greater than 0 by more than their intervals of 95% leave to chance, one-sided.
func beyondChance(difference float64, intervals ...*[2]float64) bool {
	const oneSided, twoSided = 1.6449, 1.9600 // quantiles of the normal law at 95% and 97.5%
	variance := 0.0
	for _, i := range intervals {
		if i != nil {
			half := (i[1] - i[0]) / 2 / twoSided
			variance += half * half
		}
	}
	return difference > 0 && difference > oneSided*math.Sqrt(variance)
}
