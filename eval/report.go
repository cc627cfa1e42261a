package eval

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
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
func (r *Report) Text() string {
	cells := r.cells()
	widths := columnWidths(cells)
	var out strings.Builder
	for _, row := range cells {
		var line strings.Builder
		for c, cell := range row {
			if c > 0 {
				line.WriteString("  ")
			}
			line.WriteString(pad(cell, widths[c], c >= nameColumns))
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return out.String()
}

// Markdown returns the report as a Markdown table, rates in per cent.
func (r *Report) Markdown() string {
	cells := r.cells()
	for _, row := range cells {
		for c := range row {
			row[c] = strings.ReplaceAll(row[c], "|", `\|`)
		}
	}
	widths := columnWidths(cells)
	var out strings.Builder
	for i, row := range cells {
		for c, cell := range row {
			out.WriteString("| " + pad(cell, widths[c], c >= nameColumns) + " ")
		}
		out.WriteString("|\n")
		if i > 0 {
			continue
		}
		for c, width := range widths {
			if c < nameColumns {
				out.WriteString("|:" + strings.Repeat("-", width+1))
			} else {
				out.WriteString("|" + strings.Repeat("-", width+1) + ":")
			}
		}
		out.WriteString("|\n")
	}
	return out.String()
}

// nameColumns is the number of columns, from the left, that hold names; the others hold numbers and are aligned at their right.
const nameColumns = 2

// cells returns the text of the tables: a heading, a line for each row and the total.
func (r *Report) cells() [][]string {
	cells := [][]string{{"lang", "adapter", "utterances", "words", "WER", "CER"}}
	line := func(lang, adapter string, utterances, words int, wer, cer float64) {
		cells = append(cells, []string{lang, adapter, strconv.Itoa(utterances), strconv.Itoa(words), percent(wer), percent(cer)})
	}
	for _, row := range r.Rows {
		adapter := "-"
		if row.Adapter != nil {
			adapter = *row.Adapter
		}
		line(row.Lang, adapter, row.Utterances, row.Words, row.WER, row.CER)
	}
	line("total", "", r.Total.Utterances, r.Total.Words, r.Total.WER, r.Total.CER)
	return cells
}

// percent returns a fraction in per cent with one decimal: "12.3%".
func percent(fraction float64) string { return strconv.FormatFloat(100*fraction, 'f', 1, 64) + "%" }

// columnWidths returns the length in characters of the longest cell of each column.
func columnWidths(cells [][]string) []int {
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for c, cell := range row {
			widths[c] = max(widths[c], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// pad returns cell filled with spaces to width characters, at its left where it is to stand at the right.
func pad(cell string, width int, right bool) string {
	fill := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
	if right {
		return fill + cell
	}
	return cell + fill
}
