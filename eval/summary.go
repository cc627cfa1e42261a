package eval

import (
	"slices"
	"strings"
)

// SummaryOptions say what a Summary keeps. The zero value is ready to use.
type SummaryOptions struct {
	Bootstrap  Bootstrap
	Confusions int    // pairs kept in the report, for each language; the default value is 0: none
	Normaliser string // as reported: name and version
	Costs      Costs  // as reported

	// Classes are counted, too, and reported. The default value is nil: none are.
	Classes *Classes

	// Alone leaves out the comparison of adapters with the base model, and with it what is kept of each utterance.
	Alone bool
}

// Summary adds outcomes up by language and adapter. It is not safe for concurrent use.
//
// Its memory grows with rows: by 2048 groups of utterances at most (see Bootstrap; more are gathered in as many blocks), a few hundred
// steps of latency, and pairs of words, of which all rows share 131,072. It grows with utterances in one respect: to compare an adapter
// with the base model on the same utterances, in whatever order they come, a record of some 20 bytes and its entry, 70 bytes in all, stays of
// every utterance that has an ID: of the base model's until the end, of an adapter's until the base model's comes.
type Summary struct {
	o       SummaryOptions
	rows    []*summaryRow
	at      map[rowKey]int
	base    map[uint64]record  // of the base model's outcomes, by language and ID
	waiting map[waitKey]waiter // of adapters' outcomes that came before
	pairs   int                // distinct confusions in all rows
	units   [numUnits]bool     // that groups are made of
	number  int                // outcomes added
}

type rowKey struct{ lang, adapter string }

type waitKey struct {
	id  uint64
	row int
}

type waiter struct {
	group  uint64
	record record
}

// summaryRow is what is known of one system in one language.
type summaryRow struct {
	rowKey
	score      Score
	failed     int
	sound      float64
	latency    sketch
	inserted   int     // words, over utterances of nothing
	silent     float64 // seconds of them
	groups     groupSums
	confusions confusionCounts
	overBase   paired
}

// NewSummary returns the summary of no outcomes.
func NewSummary(o SummaryOptions) *Summary {
	o.Bootstrap = o.Bootstrap.withDefaults()
	return &Summary{o: o, at: make(map[rowKey]int), base: make(map[uint64]record), waiting: make(map[waitKey]waiter)}
}

// Add adds an outcome. One with an Err is counted as failed.
func (s *Summary) Add(o Outcome) {
	key := rowKey{o.Lang, o.Adapter}
	index, known := s.at[key]
	if !known {
		index = len(s.rows)
		key = rowKey{strings.Clone(o.Lang), strings.Clone(o.Adapter)}
		s.at[key] = index
		s.rows = append(s.rows, &summaryRow{rowKey: key})
	}
	row := s.rows[index]
	if o.Err != "" {
		row.failed++
		return
	}
	s.number++
	group, unit := groupOf(o.Pair, s.number)
	s.units[unit] = true
	row.add(o, group)
	if s.o.Confusions > 0 {
		s.confuse(row, o)
	}
	if s.o.Classes != nil {
		s.o.Classes.Add(o)
	}
	if !s.o.Alone && o.ID != "" {
		s.pair(index, o, group)
	}
}

// add adds an outcome to the row.
func (r *summaryRow) add(o Outcome, group uint64) {
	r.score.Add(Score{Utterances: 1, Words: o.Words, Characters: o.Characters})
	r.groups.add(group, tally{ofCounts(o.Words, o.Characters)})
	r.latency.add(o.Latency)
	r.sound += max(0, o.Duration)
	if o.Words.Reference() == 0 && o.Duration > 0 {
		r.inserted += o.Words.Insertions
		r.silent += o.Duration
	}
}

// confuse counts the errors of an outcome, and makes room where there is none left.
func (s *Summary) confuse(row *summaryRow, o Outcome) {
	s.pairs += row.confusions.addErrors(o)
	for s.pairs > maxConfusions {
		largest := slices.MaxFunc(s.rows, func(a, b *summaryRow) int {
			return len(a.confusions.counts) - len(b.confusions.counts)
		})
		s.pairs -= largest.confusions.halve()
	}
}

// pair brings the outcomes of the base model and of adapters together.
func (s *Summary) pair(index int, o Outcome, group uint64) {
	id := hash(o.Lang, o.ID)
	if o.Adapter != "" {
		if base, known := s.base[id]; known {
			s.rows[index].overBase.add(group, base, recordOf(o))
		} else {
			s.waiting[waitKey{id, index}] = waiter{group, recordOf(o)}
		}
		return
	}
	base := recordOf(o)
	s.base[id] = base
	if len(s.waiting) == 0 {
		return
	}
	for i, row := range s.rows {
		if w, waits := s.waiting[waitKey{id, i}]; waits {
			row.overBase.add(w.group, base, w.record)
			delete(s.waiting, waitKey{id, i})
		}
	}
}

// Report returns the report of what was added, with intervals. Rows are ordered by language as they came first, the base model before
// adapters. More may be added afterwards.
func (s *Summary) Report() *Report {
	rows := s.ordered()
	b := s.o.Bootstrap
	report := &Report{
		Normaliser: s.o.Normaliser,
		Alignment:  s.o.Costs.String(),
		Resampling: s.resampling(),
		Rows:       make([]Row, 0, len(rows)),
	}
	var sum sumOf
	var over overBase
	for i, row := range rows {
		last := i+1 == len(rows) || rows[i+1].lang != row.lang
		line := Row{Lang: row.lang, Numbers: row.numbers()}
		resamples := b.resampled(row.groups.sums(0), hash("row", row.lang, row.adapter))
		line.setIntervals(b, row.groups.all[0], resamples, len(row.groups.list), 1)
		if row.adapter != "" {
			line.Adapter = &row.adapter
			if row.overBase.utterances > 0 {
				line.OverBase = over.add(b, row, last)
			}
		}
		report.Rows = append(report.Rows, line)
		if last {
			sum.add(row, resamples)
			report.Confusions = append(report.Confusions, row.confusions.top(s.o.Confusions, row.lang)...)
		}
	}
	report.Total = sum.numbers()
	report.Total.setIntervals(b, sum.groups.all[0], sum.resamples, sum.drawn, sum.strata)
	report.Comparisons = over.total(b)
	if s.o.Classes != nil {
		report.Classes = s.o.Classes.Rows()
	}
	return report
}

// ordered returns the rows in the order of the report.
func (s *Summary) ordered() []*summaryRow {
	first := make(map[string]int)
	for i, row := range s.rows {
		if _, known := first[row.lang]; !known {
			first[row.lang] = i
		}
	}
	rows := slices.Clone(s.rows)
	slices.SortStableFunc(rows, func(a, b *summaryRow) int {
		if a.lang != b.lang {
			return first[a.lang] - first[b.lang]
		}
		return min(len(a.adapter), 1) - min(len(b.adapter), 1)
	})
	return rows
}
