package page_test

import (
	"strings"
	"testing"

	"glossa/eval"
	"glossa/eval/page"
)

// TestPageHoldsWhatTheReportDoesNot has settings and tables of the caller, and classes of words.
func TestPageHoldsWhatTheReportDoesNot(t *testing.T) {
	got := write(t, page.Data{
		Report:   &eval.Report{Classes: []eval.ClassRow{{Lang: "cs", Class: "names", Words: 7, WER: 0.25}}},
		Settings: []page.Setting{{Name: "RTFx", Value: "<b>12.5"}},
		Tables: []page.Table{
			{Title: "Live", Note: "in seconds", Table: eval.Table{Names: 1, Cells: [][]string{{"lang", "final"}, {"<i>cs", "0.42"}, {"hi", "0.50"}}}},
			{Title: "Of nothing", Table: eval.Table{Names: 1, Cells: [][]string{{"lang"}}}},
		},
	})
	for _, want := range []string{
		`<dt>RTFx</dt><dd dir="auto">&lt;b&gt;12.5</dd>`, `<thead><tr><th scope="col">lang</th><th scope="col" class="number">final</th></tr></thead>`,
		"<tbody><tr><th scope=\"row\" dir=\"auto\">&lt;i&gt;cs</th><td class=\"number\">0.42</td></tr>", `<h2>Classes of words</h2>`, `<td class="number">25.0%</td>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(got, "Of nothing") {
		t.Error("the page has a table of nothing")
	}
}
