package eval

import (
	"encoding/json"
	"reflect"
	"testing"
)

func exampleReport() *Report {
	score := func(utterances, hits, substitutions, insertions int) Score {
		c := Counts{Hits: hits, Substitutions: substitutions, Insertions: insertions}
		return Score{Utterances: utterances, Words: c, Characters: Counts{Hits: 10 * hits, Substitutions: substitutions}}
	}
	adapter := "cs|flora"
	return &Report{
		Rows: []Row{
			{Lang: "cs", Numbers: numbers(score(20, 40, 60, 5))},
			{Lang: "cs", Adapter: &adapter, Numbers: numbers(score(20, 85, 15, 0))},
			{Lang: "en", Numbers: numbers(score(30, 290, 10, 5))},
		},
		Total: numbers(score(50, 375, 25, 5)),
	}
}

// TestReportJSON pins the field names and units, which programs read.
func TestReportJSON(t *testing.T) {
	out, err := exampleReport().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	const text = `{"rows": [
		{"lang": "cs", "adapter": null, "utterances": 20, "words": 100, "hits": 40, "substitutions": 60, "deletions": 0, "insertions": 5,
			"wer": 0.65, "cer": 0.13043478260869565, "mer": 0.6190476190476191, "wil": 0.8476190476190476, "wip": 0.1523809523809524},
		{"lang": "cs", "adapter": "cs|flora", "utterances": 20, "words": 100, "hits": 85, "substitutions": 15, "deletions": 0, "insertions": 0,
			"wer": 0.15, "cer": 0.017341040462427744, "mer": 0.15, "wil": 0.27749999999999997, "wip": 0.7225},
		{"lang": "en", "adapter": null, "utterances": 30, "words": 300, "hits": 290, "substitutions": 10, "deletions": 0, "insertions": 5,
			"wer": 0.05, "cer": 0.003436426116838488, "mer": 0.04918032786885246, "wil": 0.08087431693989078, "wip": 0.9191256830601092}],
		"total": {"utterances": 50, "words": 400, "hits": 375, "substitutions": 25, "deletions": 0, "insertions": 5,
			"wer": 0.075, "cer": 0.006622516556291391, "mer": 0.07407407407407407, "wil": 0.13194444444444442, "wip": 0.8680555555555556}}`
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("JSON = %s", out)
	}
	var back Report
	if err := json.Unmarshal(out, &back); err != nil || !reflect.DeepEqual(&back, exampleReport()) {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

func TestReportOfNothing(t *testing.T) {
	out, err := NewSummary(SummaryOptions{}).Report().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows  []Row
		Total *Numbers
	}
	if err := json.Unmarshal(out, &got); err != nil || got.Rows == nil || got.Total == nil || got.Total.WER != 0 || got.Total.Words != 0 {
		t.Errorf("JSON = %s, %v, want an empty list and zeros", out, err)
	}
}

func TestReportText(t *testing.T) {
	const want = `lang   adapter   utterances  words    WER    CER   S  D  I
cs     -                 20    100  65.0%  13.0%  60  0  5
cs     cs|flora          20    100  15.0%   1.7%  15  0  0
en     -                 30    300   5.0%   0.3%  10  0  5
total                    50    400   7.5%   0.7%  25  0  5
`
	if got := exampleReport().Text(); got != want {
		t.Errorf("Text =\n%s\nwant\n%s", got, want)
	}
}

func TestReportMarkdown(t *testing.T) {
	const want = `| lang  | adapter   | utterances | words |   WER |   CER |  S | D | I |
|:------|:----------|-----------:|------:|------:|------:|---:|--:|--:|
| cs    | -         |         20 |   100 | 65.0% | 13.0% | 60 | 0 | 5 |
| cs    | cs\|flora |         20 |   100 | 15.0% |  1.7% | 15 | 0 | 0 |
| en    | -         |         30 |   300 |  5.0% |  0.3% | 10 | 0 | 5 |
| total |           |         50 |   400 |  7.5% |  0.7% | 25 | 0 | 5 |
`
	if got := exampleReport().Markdown(); got != want {
		t.Errorf("Markdown =\n%s\nwant\n%s", got, want)
	}
}
