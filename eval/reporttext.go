package eval

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CharactersFirst reports whether the character error rate is the measure of a language: one that is written without spaces between words
// (zh, ja, th, lo, my, km, yue), where words are a segmenter's choice.
func CharactersFirst(lang string) bool { return spaceless[primarySubtag(lang)] }

// Text returns the report as tables of aligned columns, rates in per cent, with a line that says how they were made.
func (r *Report) Text() string { return r.text(Table.Text, "") }

// Markdown returns the report as Markdown tables, rates in per cent, with a line that says how they were made.
func (r *Report) Markdown() string { return r.text(Table.Markdown, "### ") }

// text returns the report, its tables as show writes them.
func (r *Report) text(show func(Table) string, heading string) string {
	var out strings.Builder
	out.WriteString(show(r.table()))
	if notes := r.notes(); len(notes) > 0 {
		out.WriteString("\n" + strings.Join(notes, "\n") + "\n")
	}
	section := func(title string, t Table) {
		if len(t.Cells) > 1 {
			fmt.Fprintf(&out, "\n%s%s\n%s%s", heading, title, strings.Repeat("\n", min(1, len(heading))), show(t))
		}
	}
	section("Latency and silence", r.soundTable())
	section("Comparisons", ComparisonTable(r.Comparisons))
	section("Classes of words", ClassTable(r.Classes))
	section("Confusions", r.confusionTable())
	return out.String()
}

// column is a column of the table of a report.
type column struct {
	title string
	cell  func(lang string, n Numbers, over *Comparison) string
}

// table returns the table of the report: a heading, a line for each row and the total.
func (r *Report) table() Table {
	columns := r.columns()
	heading := []string{"lang", "adapter"}
	for _, c := range columns {
		heading = append(heading, c.title)
	}
	t := Table{Names: 2, Cells: [][]string{heading}}
	line := func(lang, adapter, measured string, n Numbers, over *Comparison) {
		cells := []string{lang, adapter}
		for _, c := range columns {
			cells = append(cells, c.cell(measured, n, over))
		}
		t.Cells = append(t.Cells, cells)
	}
	for _, row := range r.Rows {
		line(row.Lang, nameOrDash(row.Adapter), row.Lang, row.Numbers, row.OverBase)
	}
	line("total", "", r.totalMeasure(), r.Total, r.AllOverBase())
	return t
}

// totalMeasure returns a language whose measure is that of the total: the words' unless all rows have the characters'.
func (r *Report) totalMeasure() string {
	lang := ""
	for _, row := range r.Rows {
		if lang = row.Lang; !CharactersFirst(lang) {
			break
		}
	}
	return lang
}

// columns returns the columns after the names. The rate that is a language's measure is the one that has the interval, and stands first
// where all have it.
func (r *Report) columns() []column {
	wer := column{"WER", func(lang string, n Numbers, _ *Comparison) string {
		return rate(n.WER, n.WERInterval, !CharactersFirst(lang))
	}}
	cer := column{"CER", func(lang string, n Numbers, _ *Comparison) string {
		return rate(n.CER, n.CERInterval, CharactersFirst(lang))
	}}
	rates := []column{wer, cer}
	if CharactersFirst(r.totalMeasure()) {
		rates = []column{cer, wer}
	}
	count := func(title string, of func(Numbers) int) column {
		return column{title, func(_ string, n Numbers, _ *Comparison) string { return strconv.Itoa(of(n)) }}
	}
	columns := []column{
		count("utterances", func(n Numbers) int { return n.Utterances }),
		count("words", func(n Numbers) int { return n.Words }),
	}
	if r.Total.Failed > 0 || slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Failed > 0 }) {
		columns = append(columns, count("failed", func(n Numbers) int { return n.Failed }))
	}
	columns = append(columns, rates...)
	columns = append(columns,
		count("S", func(n Numbers) int { return n.Substitutions }),
		count("D", func(n Numbers) int { return n.Deletions }),
		count("I", func(n Numbers) int { return n.Insertions }))
	if slices.ContainsFunc(r.Rows, func(row Row) bool { return row.OverBase != nil }) {
		columns = append(columns, column{"gain over base", func(lang string, _ Numbers, over *Comparison) string { return gain(lang, over) }})
	}
	return columns
}

// notes returns the lines under the table.
func (r *Report) notes() []string {
	var notes, parts, characters []string
	if r.Normaliser != "" {
		parts = append(parts, "normaliser "+r.Normaliser)
	}
	if r.Alignment != "" {
		parts = append(parts, "alignment "+r.Alignment)
	}
	if r.Resampling != "" {
		parts = append(parts, r.Resampling)
	}
	if len(parts) > 0 {
		notes = append(notes, strings.Join(parts, "; "))
	}
	marked := false
	for _, row := range r.Rows {
		if CharactersFirst(row.Lang) && !slices.Contains(characters, row.Lang) {
			characters = append(characters, row.Lang)
		}
		marked = marked || row.OverBase != nil && row.OverBase.MAPSSWE != nil
	}
	marked = marked || slices.ContainsFunc(r.Comparisons, func(c Comparison) bool { return c.MAPSSWE != nil })
	if len(characters) > 0 {
		notes = append(notes, "The measure of "+strings.Join(characters, ", ")+" is CER.")
	}
	if marked {
		notes = append(notes, gainNote, markNote)
	}
	return notes
}

const (
	gainNote = "Gains are in points; p by MAPSSWE, with Holm's correction where there are several."
	markNote = "Marks: * p < 0.05, ** p < 0.01, *** p < 0.001, ~ otherwise."
)

// soundTable returns what is known of time and silence.
func (r *Report) soundTable() Table {
	t := Table{Names: 2, Cells: [][]string{{"lang", "adapter", "sound", "p50", "p95", "p99", "inserted a minute of silence"}}}
	line := func(lang, adapter string, n Numbers) {
		if n.Latency == nil && n.InsertedPerMinute == nil {
			return
		}
		cells := []string{lang, adapter, fmt.Sprintf("%.1f min", n.Sound/60), "-", "-", "-", "-"}
		if l := n.Latency; l != nil {
			for i, seconds := range []float64{l.P50, l.P95, l.P99} {
				cells[3+i] = strconv.FormatFloat(seconds, 'f', 2, 64) + " s"
			}
		}
		if n.InsertedPerMinute != nil {
			cells[6] = strconv.FormatFloat(*n.InsertedPerMinute, 'f', 2, 64)
		}
		t.Cells = append(t.Cells, cells)
	}
	for _, row := range r.Rows {
		line(row.Lang, nameOrDash(row.Adapter), row.Numbers)
	}
	line("total", "", r.Total)
	return t
}

// ClassTable returns the table of classes of words, rates in per cent.
func ClassTable(rows []ClassRow) Table {
	t := Table{Names: 3, Cells: [][]string{{"lang", "adapter", "class", "words", "WER", "S", "D", "I"}}}
	for _, c := range rows {
		t.Cells = append(t.Cells, []string{
			c.Lang, nameOrDash(c.Adapter), c.Class, strconv.Itoa(c.Words), percent(c.WER),
			strconv.Itoa(c.Substitutions), strconv.Itoa(c.Deletions), strconv.Itoa(c.Insertions),
		})
	}
	return t
}

// nameOrDash returns an adapter as tables have it.
func nameOrDash(adapter *string) string {
	if adapter == nil {
		return "-"
	}
	return *adapter
}

// confusionTable returns the table of confusions.
func (r *Report) confusionTable() Table {
	t := Table{Names: 3, Cells: [][]string{{"lang", "reference", "hypothesis", "count"}}}
	for _, c := range r.Confusions {
		t.Cells = append(t.Cells, []string{c.Lang, orElse(c.Ref, "∅"), orElse(c.Hyp, "∅"), strconv.Itoa(c.Count)})
	}
	return t
}
