package page

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"glossa/eval"
)

//go:embed assets/page.html
var markup string

//go:embed assets/page.css
var pageStyle string

//go:embed assets/report.css
var reportStyle string

// The parts of the page's script share one scope, in this order.
var (
	//go:embed assets/theme.js
	themeScript string
	//go:embed assets/elements.js
	elementsScript string
	//go:embed assets/tables.js
	tablesScript string
	//go:embed assets/alignment.js
	alignmentScript string
	//go:embed assets/player.js
	playerScript string
	//go:embed assets/filters.js
	filtersScript string
	//go:embed assets/utterances.js
	utterancesScript string
)

var document = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": percent, "signed": signed, "seconds": seconds, "count": count, "language": langName, "system": systemName, "probability": probability,
	"points":  func(x [2]float64) string { return signed(x[0]) + " to " + signed(x[1]) },
	"bounds":  func(x [2]float64) string { return bare(x[0]) + "–" + bare(x[1]) },
	"verdict": verdict, "known": hasInterval, "decimal": func(x *float64) string { return strconv.FormatFloat(*x, 'f', 1, 64) },
}).Parse(markup))

// view is what the template shows.
type view struct {
	Title      string
	Policy     string
	Style      template.CSS
	Script     template.JS
	Report     *eval.Report
	Settings   []Setting
	Lead       string
	Confidence string

	Charts      []chart
	Gains       bool // whether rows are compared with the base model
	MAPSSWE     bool // whether there are p-values of them
	Holm        bool // whether these are adjusted for their number
	Latency     bool
	Inserted    bool
	Failed      bool
	Together    *eval.Comparison // of all adapters with the base model
	Comparisons []*eval.Comparison
	Several     bool // whether some of them are of one adapter
	Tables      []Table
	Confusions  []confusion
	Adapters    bool // whether outcomes of more than one model stand beside each other
	Notes       []string
	Shown       int
}

// chart is a figure.
type chart struct {
	Title  string
	Note   string
	Legend string // of the series: "rates", "gain" or ""
	SVG    template.HTML
}

// confusion is a line of the list of confusions.
type confusion struct {
	eval.Confusion
	Kind    string  // as of the alignment's letters
	Adapter *string // whose it is, "" for the base model; nil where that is not known
}

// writeDocument writes the page: what the report says by the template, then the utterances, then the script.
func writeDocument(w io.Writer, d Data, h *histogram, kept *selection, sounds sound) error {
	v := newView(d, h, kept, sounds)
	var page strings.Builder
	if err := document.Execute(&page, v); err != nil {
		return err
	}
	const here = "<utterances-data></utterances-data>\n" // no text of a report looks like that: it would be escaped
	before, after, _ := strings.Cut(page.String(), here)
	if _, err := io.WriteString(w, before); err != nil {
		return err
	}
	if err := writePayload(w, kept, sounds); err != nil {
		return err
	}
	_, err := io.WriteString(w, after)
	return err
}

// newView returns what the template shows.
func newView(d Data, h *histogram, kept *selection, sounds sound) view {
	r := d.Report
	style := "\n" + pageStyle + reportStyle
	script := "\n" + strings.Join([]string{themeScript, elementsScript, tablesScript, alignmentScript, playerScript, filtersScript, utterancesScript}, "\n")
	v := view{
		Title: d.Title, Style: template.CSS(style), Script: template.JS(script), Policy: policy(style, script),
		Report: r, Lead: lead(r), Confidence: roundPercent(d.Confidence),
		Adapters: hasAdapters(r),
		Notes:    notes(d, kept, sounds), Shown: len(kept.utterances),
	}
	if v.Title == "" {
		v.Title = "Evaluation"
	}
	for _, s := range []Setting{{"Normaliser", r.Normaliser}, {"Alignment", r.Alignment}} {
		if s.Value != "" {
			v.Settings = append(v.Settings, s)
		}
	}
	compared := len(r.Comparisons) > 0
	for _, row := range r.Rows {
		v.Latency = v.Latency || row.Latency != nil
		v.Inserted = v.Inserted || row.InsertedPerMinute != nil
		v.Failed = v.Failed || row.Failed > 0
		compared = compared || row.WERInterval != nil || row.OverBase != nil
		if c := row.OverBase; c != nil {
			v.Gains = true
			v.MAPSSWE = v.MAPSSWE || c.MAPSSWE != nil
			v.Holm = v.Holm || c.Holm != nil
		}
	}
	v.Together, v.Comparisons = split(r)
	for _, c := range v.Comparisons {
		v.Several = v.Several || c.Adapter != ""
	}
	switch {
	case r.Resampling != "":
		v.Settings = append(v.Settings, Setting{"Intervals", r.Resampling})
	case compared:
		v.Settings = append(v.Settings, Setting{"Intervals", v.Confidence})
	}
	v.Settings = append(v.Settings, d.Settings...)
	for _, t := range append(slices.Clip(d.Tables), Table{Title: "Classes of words", Table: eval.ClassTable(r.Classes)}) {
		if len(t.Cells) > 1 {
			v.Tables = append(v.Tables, t)
		}
	}
	v.Charts = charts(d, h, v.Adapters)
	counted := make(map[string]*string) // like the total, confusions are of the last row of a language
	for _, row := range r.Rows {
		base := ""
		counted[row.Lang] = cmp.Or(row.Adapter, &base)
	}
	v.Confusions = listed(r.Confusions, counted)
	return v
}

// listed returns the confusions, the most frequent first. counted has the adapter of each language that they are of.
func listed(all []eval.Confusion, counted map[string]*string) (list []confusion) {
	confusions := slices.Clone(all)
	slices.SortStableFunc(confusions, func(a, b eval.Confusion) int { return b.Count - a.Count })
	for _, c := range confusions {
		kind := "S"
		switch {
		case c.Hyp == "":
			kind = "D"
		case c.Ref == "":
			kind = "I"
		}
		list = append(list, confusion{c, kind, counted[c.Lang]})
	}
	return list
}

// charts returns the figures that the report has numbers for.
func charts(d Data, h *histogram, adapters bool) (all []chart) {
	legend := ""
	if adapters {
		legend = "rates"
	}
	together, others := split(d.Report)
	over := gains(d.Report)
	if together != nil {
		over = append(over, together)
	}
	intervals := "lines are " + roundPercent(d.Confidence) + " intervals"
	for _, c := range []chart{
		{"Word error rate", "Per cent of words; " + intervals, legend, rateChart(d.Report, d.Confidence)},
		{"Utterances by word error rate", "Share of utterances; each column up to the WER below it, in per cent", legend, h.svg()},
		{"Gain over the base model", "Points of WER, right is better; " + intervals, "gain",
			gainChart("chart-gain", "Gain over the base model by language", over, d.Confidence)},
		{"Comparison of systems", "Points of WER, right is better; " + intervals, "gain",
			gainChart("chart-comparison", "Comparison of systems", others, d.Confidence)},
		{"Latency", "Median (circle), 95th and 99th percentile (strokes)", legend, latencyChart(d.Report)},
	} {
		if c.SVG != "" {
			all = append(all, c)
		}
	}
	return all
}

// policy is a content security policy that lets one style sheet and one script work, and sound of the page itself.
func policy(style, script string) string {
	return "default-src 'none'; style-src '" + hashSource(style) + "'; script-src '" + hashSource(script) + "'; media-src blob:; base-uri 'none'; form-action 'none'"
}

// hashSource names a text in a policy.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
