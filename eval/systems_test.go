package eval

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"
)

// sequence returns outcomes as Compare takes them.
func sequence(list []Outcome) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for _, o := range list {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// split returns the outcomes of the base model and those of adapters.
func split(list []Outcome) (base, adapters []Outcome) {
	for _, o := range list {
		if o.Adapter == "" {
			base = append(base, o)
		} else {
			adapters = append(adapters, o)
		}
	}
	return base, adapters
}

func TestCompare(t *testing.T) {
	all := twoSystems(t, 80, "cs", "en")
	base, adapters := split(all)
	want := summaryOf(SummaryOptions{}, all)
	b := adapters[:0:0]
	for _, o := range adapters { // as the base model of another file
		o.Adapter = ""
		b = append(b, o)
	}
	slices.Reverse(b)
	failed := base[3]
	failed.Hypothesis, failed.Err = "", "gone"
	extra := scored(t, Pair{ID: "more", Lang: "cs", Reference: "x", Hypothesis: "x"})

	for name, sides := range map[string][2][]Outcome{
		"by adapter": {base, b},
		"by ID":      {base, adapters}, // left over, since no adapter is common
	} {
		list, err := Compare(sequence(sides[0]), sequence(append(slices.Clone(sides[1]), extra)), CompareOptions{Base: "A", System: "B"})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 3 || list[0].Lang != "cs" || list[1].Lang != "en" || list[2].Lang != "" || list[2].Base != "A" || list[2].System != "B" {
			t.Fatalf("%s: %+v", name, list)
		}
		if list[0].Unpaired != 1 || list[1].Unpaired != 0 || list[2].Unpaired != 1 || list[2].Utterances != 160 {
			t.Errorf("%s: unpaired %+v", name, list)
		}
		for i, row := range []int{1, 3} {
			if got, want := list[i], want.Rows[row].OverBase; math.Abs(got.WER-want.WER) > 1e-12 || *got.MAPSSWE != *want.MAPSSWE || math.Abs(got.Interval[0]-want.Interval[0]) > 0.01 {
				t.Errorf("%s: %+v, a summary has %+v", name, got, want)
			}
		}
	}

	changed := slices.Clone(base)
	changed[0].Reference = "something else"
	changed[3] = failed
	list, err := Compare(sequence(base), sequence(changed), CompareOptions{})
	if err != nil || list[0].Utterances != 78 || list[0].Unpaired != 2 || list[0].WER != 0 || list[0].Improvement != 0.5 || *list[0].MAPSSWE != 1 {
		t.Errorf("a system and itself: %+v, %v", list[0], err)
	}
}

func TestCompareErrors(t *testing.T) {
	base, _ := split(twoSystems(t, 3, "cs"))
	if _, err := Compare(sequence(base), sequence(nil), CompareOptions{}); !errors.Is(err, ErrUnpaired) {
		t.Errorf("nothing in common: %v", err)
	}
	broken := errors.New("a line that is none")
	bad := func(yield func(Outcome, error) bool) { yield(Outcome{}, broken) }
	if _, err := Compare(sequence(base), bad, CompareOptions{}); !errors.Is(err, broken) {
		t.Errorf("an error of the second: %v", err)
	}
}

// TestHolm takes a worked example: p = 0.01, 0.04, 0.03, 0.005 of four tests.
func TestHolm(t *testing.T) {
	var family []*Comparison
	for _, p := range []float64{0.01, 0.04, 0.03, 0.005} {
		family = append(family, &Comparison{MAPSSWE: &p})
	}
	family = append(family, &Comparison{})
	holm(family)
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		if got := *family[i].Holm; math.Abs(got-want) > 1e-12 {
			t.Errorf("p %v is adjusted to %v, want %v", *family[i].MAPSSWE, got, want)
		}
	}
	if family[4].Holm != nil {
		t.Error("a comparison without a p-value is adjusted")
	}
}

// TestCompareOneGroupEach has a speaker in each language: the total has no interval, and a gate goes by the difference itself.
func TestCompareOneGroupEach(t *testing.T) {
	side := func(hypothesis string) iter.Seq2[Outcome, error] {
		return func(yield func(Outcome, error) bool) {
			for i, lang := range []string{"cs", "hi"} {
				o, err := Scorer{}.Score(Pair{ID: fmt.Sprint(i), Lang: lang, Speaker: lang, Reference: "a b", Hypothesis: hypothesis})
				if !yield(o, err) {
					return
				}
			}
		}
	}
	list, err := Compare(side("a b"), side("a"), CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	total := list[len(list)-1]
	if total.Lang != "" || total.Groups != 1 || total.WER != -0.5 {
		t.Errorf("total %+v", total)
	}
	if text := total.cells(); text[3] != "-50.0    " || text[4] != "-" {
		t.Errorf("cells %q", text)
	}
	worse := 0.01
	if got, err := (Gate{Total: Limit{WorseWER: &worse}}).CheckComparisons(&Report{}, list); err != nil || len(got) != 1 || got[0].Lang != "" {
		t.Errorf("breaches %v, want the total's", got)
	}
}
