package eval

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Result is the score of one system on the utterances of one language.
type Result struct {
	Lang    string
	Adapter string // "" for the base model
	Score   Score
}

// Row is a Result as it is reported. Rates are fractions.
type Row struct {
	Lang       string  `json:"lang"`
	Adapter    *string `json:"adapter"` // nil, JSON's null, for the base model
	Utterances int     `json:"utterances"`
	Words      int     `json:"words"` // of the references
	WER        float64 `json:"wer"`
	CER        float64 `json:"cer"`
}

// Total is the sum over the languages of a Report. Rates are fractions.
type Total struct {
	Utterances int     `json:"utterances"`
	Words      int     `json:"words"`
	WER        float64 `json:"wer"`
	CER        float64 `json:"cer"`
}

// Report is the outcome of an evaluation.
type Report struct {
	Rows  []Row `json:"rows"`
	Total Total `json:"total"`
}

// NewReport returns the report of results, its rows in their order.
//
// The total counts each language once, by the last of its results: with the base model's result before the adapter's, it is the
// score of the whole test set with every utterance under its own adapter, and no utterance is counted twice.
func NewReport(results []Result) *Report {
	last := make(map[string]int)
	for i, r := range results {
		last[r.Lang] = i
	}
	report := &Report{Rows: make([]Row, 0, len(results))}
	var sum Score
	for i, r := range results {
		row := Row{Lang: r.Lang, Utterances: r.Score.Utterances, Words: r.Score.Words.Reference(), WER: r.Score.WER(), CER: r.Score.CER()}
		if r.Adapter != "" {
			row.Adapter = &r.Adapter
		}
		report.Rows = append(report.Rows, row)
		if last[r.Lang] == i {
			sum.Add(r.Score)
		}
	}
	report.Total = Total{Utterances: sum.Utterances, Words: sum.Words.Reference(), WER: sum.WER(), CER: sum.CER()}
	return report
}

// JSON returns the report as one indented object, {"rows": […], "total": {…}}, with a newline at its end.
func (r *Report) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("eval: report: %w", err) // a rate that is not finite
	}
	return append(out, '\n'), nil
}

// Text returns the report as a table of aligned columns, rates in per cent.
func (r *Report) Text() string { return r.table().Text() }

// Markdown returns the report as a Markdown table, rates in per cent.
func (r *Report) Markdown() string { return r.table().Markdown() }

// table returns the table of the report: a heading, a line for each row and the total.
func (r *Report) table() Table {
	t := Table{Names: 2, Cells: [][]string{{"lang", "adapter", "utterances", "words", "WER", "CER"}}}
	line := func(lang, adapter string, utterances, words int, wer, cer float64) {
		t.Cells = append(t.Cells, []string{lang, adapter, strconv.Itoa(utterances), strconv.Itoa(words), percent(wer), percent(cer)})
	}
	for _, row := range r.Rows {
		adapter := "-"
		if row.Adapter != nil {
			adapter = *row.Adapter
		}
		line(row.Lang, adapter, row.Utterances, row.Words, row.WER, row.CER)
	}
	line("total", "", r.Total.Utterances, r.Total.Words, r.Total.WER, r.Total.CER)
	return t
}

// percent returns a fraction in per cent with one decimal: "12.3%".
func percent(fraction float64) string { return strconv.FormatFloat(100*fraction, 'f', 1, 64) + "%" }
