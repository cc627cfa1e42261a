package eval

import (
	"errors"
	"strings"
	"testing"
)

// gateReport returns a report of one row a language, with intervals as wide as half on either side.
func gateReport(half float64, wer map[string]float64, langs ...string) *Report {
	r := &Report{Total: Numbers{Utterances: 100, WER: 0.1, CER: 0.05}}
	for _, lang := range langs {
		w := wer[lang]
		r.Rows = append(r.Rows, Row{Lang: lang, Numbers: Numbers{Utterances: 50, WER: w, CER: w / 2, WERInterval: &[2]float64{w - half, w + half}}})
	}
	return r
}

func TestGate(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	now := gateReport(0.01, map[string]float64{"cs": 0.15, "en": 0.05}, "cs", "en")
	before := gateReport(0.01, map[string]float64{"cs": 0.12, "en": 0.045}, "cs", "en")
	for _, c := range []struct {
		name string
		gate Gate
		want string // the breaches
	}{
		{"nothing", Gate{}, ""},
		{"each within", Gate{Each: Limit{WER: f(0.2), CER: f(0.1)}}, ""},
		{"one language", Gate{Each: Limit{WER: f(0.12)}}, "cs: WER 15.0% exceeds 12.0% by 3.0 points"},
		{"a limit of its own", Gate{Each: Limit{WER: f(0.12)}, Langs: map[string]Limit{"cs": {WER: f(0.16)}}}, ""},
		{"characters", Gate{Langs: map[string]Limit{"en": {CER: f(0.02)}}}, "en: CER 2.5% exceeds 2.0% by 0.5 points"},
		{"total", Gate{Total: Limit{WER: f(0.09)}}, "total: WER 10.0% exceeds 9.0% by 1.0 points"},
		{"missing", Gate{Langs: map[string]Limit{"de": {WER: f(1)}}}, "de: no utterance was scored"},
		{"worse beyond chance", Gate{Each: Limit{WorseWER: f(0)}}, "cs: WER rose from 12.0% to 15.0%, beyond chance and the 0.0 points allowed"},
		{"worse by what is allowed", Gate{Each: Limit{WorseWER: f(0.025)}}, ""},
		{"worse without intervals", Gate{Langs: map[string]Limit{"en": {WorseCER: f(0)}}}, "en: CER rose from 2.2% to 2.5%, beyond chance and the 0.0 points allowed"},
	} {
		breaches, err := c.gate.Check(now, before)
		var got []string
		for _, b := range breaches {
			got = append(got, b.String())
		}
		if err != nil || strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}

	failed := gateReport(0, nil, "cs")
	failed.Total.Failed = 2
	if got, err := (Gate{}).Check(failed, nil); err != nil || len(got) != 1 || got[0].Measure != "failed" {
		t.Errorf("failures: %v, %v", got, err)
	}
	if got, err := (Gate{}).Check(&Report{}, nil); err != nil || len(got) != 1 || got[0].Measure != "missing" {
		t.Errorf("a report of nothing: %v, %v", got, err)
	}
	for name, g := range map[string]Gate{
		"no earlier report": {Each: Limit{WorseWER: f(0)}}, "a rate below 0": {Total: Limit{WER: f(-1)}}, "no name": {Langs: map[string]Limit{"": {WER: f(1)}}},
	} {
		if _, err := g.Check(now, nil); !errors.Is(err, ErrGate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Gate{Langs: map[string]Limit{"en": {WorseWER: f(0)}}}).Check(now, gateReport(0, nil, "cs")); !errors.Is(err, ErrGate) {
		t.Errorf("an earlier report without the language: %v", err)
	}
}

func TestGateOfComparisons(t *testing.T) {
	f := func(v float64) *float64 { return &v }
	list := []Comparison{
		{Lang: "cs", Utterances: 10, Groups: 5, BaseWER: 0.10, SystemWER: 0.14, WER: -0.04, Interval: [2]float64{-0.06, -0.02}},
		{Lang: "en", Utterances: 10, Groups: 5, BaseWER: 0.10, SystemWER: 0.14, WER: -0.04, Interval: [2]float64{-0.09, 0.01}},
	}
	if got, err := (Gate{Each: Limit{WorseWER: f(0.01)}}).CheckComparisons(&Report{}, list); err != nil || len(got) != 1 || got[0].Lang != "cs" {
		t.Errorf("breaches %v, want cs alone", got)
	}
	if got, err := (Gate{Each: Limit{WorseWER: f(0.03)}}).CheckComparisons(&Report{}, list); err != nil || len(got) != 0 {
		t.Errorf("breaches %v, want none", got)
	}
	total := Gate{Total: Limit{WorseWER: f(0.01)}}
	if got, err := total.CheckComparisons(&Report{}, list[:1]); err != nil || len(got) != 1 || got[0].Lang != "" || got[0].Measure != "WER" {
		t.Errorf("of one language: breaches %v, want one of the total", got)
	}
	all := Comparison{Utterances: 20, Groups: 10, BaseWER: 0.10, SystemWER: 0.10, Interval: [2]float64{-0.02, 0.02}}
	if got, err := total.CheckComparisons(&Report{}, append(list[:1:1], all)); err != nil || len(got) != 0 {
		t.Errorf("of a total that is well: breaches %v", got)
	}
	now := gateReport(0, nil, "cs", "en")
	if _, err := (Gate{Each: Limit{WorseWER: f(1)}}).CheckComparisons(now, list[:1]); !errors.Is(err, ErrGate) || !strings.Contains(err.Error(), `"en"`) {
		t.Errorf("a language without a comparison: %v", err)
	}
	if _, err := (Gate{Each: Limit{WorseWER: f(1)}, Langs: map[string]Limit{"en": {WER: f(1)}}}).CheckComparisons(now, list[:1]); err != nil {
		t.Errorf("a language that is not held to a comparison: %v", err)
	}
}

// TestGateHoldsTheLast has two comparisons of a language, of which the last or the named is held to limits.
func TestGateHoldsTheLast(t *testing.T) {
	worse := 0.01
	list := []Comparison{
		{Lang: "cs", Utterances: 9, Groups: 1, BaseWER: 0.10, SystemWER: 0.20},
		{Lang: "cs", Adapter: "cs", Utterances: 9, Groups: 1, BaseWER: 0.05, SystemWER: 0.05},
	}
	if got, err := (Gate{Each: Limit{WorseWER: &worse}}).CheckComparisons(&Report{}, list); err != nil || len(got) != 0 {
		t.Errorf("breaches %v of a row that no user has", got)
	}
	list[1].SystemWER = 0.2
	if got, err := (Gate{Each: Limit{WorseWER: &worse}, Adapter: "cs"}).CheckComparisons(&Report{}, list); err != nil || len(got) != 1 || got[0].Adapter != "cs" {
		t.Errorf("breaches %v, want the adapter's", got)
	}
}
