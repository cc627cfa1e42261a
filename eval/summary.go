package eval

// SummaryOptions say what a Summary keeps. The zero value is ready to use.
type SummaryOptions struct {
	Bootstrap  Bootstrap
	Confusions int    // pairs kept in the report; the default value is 0: none
	Normaliser string // as reported: name and version
	Costs      Costs  // as reported
}

// Summary adds outcomes up by language and adapter, in memory that grows with rows, speakers and distinct confusions but hardly with
// utterances. It is not safe for concurrent use.
type Summary struct {
	o    SummaryOptions
	rows []Result
}

// NewSummary returns the summary of no outcomes.
func NewSummary(o SummaryOptions) *Summary { return &Summary{o: o} }

// Add adds an outcome. One with an Err is counted as failed.
func (s *Summary) Add(o Outcome) {
	score := Score{Utterances: 1, Words: o.Words, Characters: o.Characters}
	for i := range s.rows {
		if r := &s.rows[i]; r.Lang == o.Lang && r.Adapter == o.Adapter {
			r.Score.Add(score)
			return
		}
	}
	s.rows = append(s.rows, Result{Lang: o.Lang, Adapter: o.Adapter, Score: score})
}

// Report returns the report of what was added, with intervals.
func (s *Summary) Report() *Report { return NewReport(s.rows) }
