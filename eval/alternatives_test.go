package eval

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestScoreAlternatives(t *testing.T) {
	for _, c := range []struct {
		name, lang, ref, hyp string
		wantRef, wantHyp     string // words, - for ""
		ops                  string
		characters           Counts
	}{
		{"the second", "en", "{ Gonna, / going to } go!", "going to go", "going to go", "going to go", "CCC", Counts{Hits: 11}},
		{"the first", "en", "{ Gonna, / going to } go!", "Gonna go.", "gonna go", "gonna go", "CC", Counts{Hits: 8}},
		{"nothing", "en", "i've { um / uh / @ } gone", "i've gone", "i ve gone", "i ve gone", "CCC", Counts{Hits: 9}},
		{"nothing, and another word", "en", "{ um / @ } a", "b a", "a", "b a", "IC", Counts{Hits: 1, Insertions: 2}},
		{"left out", "en", "(uh) yes", "yes", "uh yes", "- yes", "CC", Counts{Hits: 3}},
		{"not left out", "en", "(uh) yes", "uh yes", "uh yes", "uh yes", "CC", Counts{Hits: 6}},
		{"taken for another", "en", "(uh) yes", "oh yes", "uh yes", "oh yes", "SC", Counts{Hits: 5, Substitutions: 1}},
		{"within one another", "en", "{ a / { b / c d } e } f", "c d e f", "c d e f", "c d e f", "CCCC", Counts{Hits: 7}},
		{"of punctuation alone", "en", "{ a / ... } b", "b", "b", "b", "C", Counts{Hits: 1}},
		{"without spaces", "en", "x{a/b}y", "x b y", "x b y", "x b y", "CCC", Counts{Hits: 5}},
		{"remarks stay remarks", "en", "yes (inaudible speech) [noise] no", "yes no", "yes no", "yes no", "CC", Counts{Hits: 6}},
		{"marks", "hi", "{ हिन्दी / हिंदी } में", "हिंदी में", "हिंदी में", "हिंदी में", "CC", Counts{Hits: 9}},
		{"characters", "ja", "{ 今日 / きょう } は", "きょうは", "き ょ う は", "き ょ う は", "CCCC", Counts{Hits: 4}},
		{"slashes outside of braces", "en", "and/or", "and or", "and or", "and or", "CC", Counts{Hits: 6}},
		{"silence", "en", "", "a", "", "a", "I", Counts{Insertions: 1}},
	} {
		for _, costs := range []Costs{Levenshtein, Sclite} {
			o, err := Scorer{Alternatives: true, Costs: costs}.Score(Pair{Reference: c.ref, Hypothesis: c.hyp, Lang: c.lang})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			var ops strings.Builder
			for _, op := range o.Ops {
				ops.WriteString(op.String())
			}
			shown := func(words []string) string {
				words = slices.Clone(words)
				for i, w := range words {
					if w == "" {
						words[i] = "-"
					}
				}
				return strings.Join(words, " ")
			}
			if shown(o.Ref) != c.wantRef || shown(o.Hyp) != c.wantHyp || ops.String() != c.ops || o.Characters != c.characters {
				t.Errorf("%s by %v: %q, %q, %s, %+v", c.name, costs, o.Ref, o.Hyp, &ops, o.Characters)
			}
			checkOutcome(t, o)
		}
	}
}

func TestMalformedAlternatives(t *testing.T) {
	for _, c := range []struct{ ref, want string }{
		{"a { b / c", "{ without }, at character 3"},
		{"é } b", "} without {, at character 3"},
		{"{ a }", "one alternative"},
		{"{}", "empty"},
		{"{ a / }", "an alternative is empty; write @ for nothing, at character 6"},
		{"{ / a }", "empty"},
		{"{ a / { b } }", "one alternative"},
		{"{ a / { b / c }", "{ without }, at character 1"},
		{strings.Repeat("{", 1<<20), "within one another"},
	} {
		_, err := Scorer{Alternatives: true}.Score(Pair{Reference: c.ref})
		if !errors.Is(err, ErrAlternatives) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: error %v, want one with %q", c.ref, err, c.want)
		}
		if _, err := (Scorer{}).Score(Pair{Reference: c.ref}); err != nil {
			t.Errorf("%.40q as plain text: %v", c.ref, err)
		}
	}
}

// TestAlternativesAreTheCheapest compares with the best of all references written out.
func TestAlternativesAreTheCheapest(t *testing.T) {
	draw := rand.New(rand.NewPCG(13, 14))
	scorer := Scorer{Normaliser: normaliserNamed(t, "none"), Alternatives: true}
	for range 300 {
		parts := [][]string{}
		var written []string
		for range 1 + draw.IntN(5) {
			part := make([]string, 1+draw.IntN(3))
			for i := range part {
				part[i] = strings.Join(randomText(draw, 1+draw.IntN(3), 4), " ")
			}
			parts = append(parts, part)
			if len(part) == 1 {
				written = append(written, part[0])
			} else {
				written = append(written, "{ "+strings.Join(part, " / ")+" }")
			}
		}
		hyp := randomText(draw, draw.IntN(12), 4)
		o, err := scorer.Score(Pair{Reference: strings.Join(written, " "), Hypothesis: strings.Join(hyp, " ")})
		if err != nil {
			t.Fatal(err)
		}
		checkOutcome(t, o)
		best := 1 << 30
		references := []string{""}
		for _, part := range parts {
			var longer []string
			for _, r := range references {
				for _, p := range part {
					longer = append(longer, r+" "+p)
				}
			}
			references = longer
		}
		for _, r := range references {
			best = min(best, Count(strings.Fields(r), hyp).Edits())
		}
		if o.Words.Edits() != best {
			t.Errorf("%q, %q: %+v, and one reference needs %d edits", o.Reference, hyp, o.Words, best)
		}
	}
}

// TestLongAlternatives aligns a lattice whose rows are not all kept, one way being longer than a block, as a chain of the words chosen.
func TestLongAlternatives(t *testing.T) {
	draw := rand.New(rand.NewPCG(15, 16))
	long, other := randomText(draw, 900, 300), randomText(draw, 700, 300)
	ref := "start { " + strings.Join(other, " ") + " / " + strings.Join(long, " ") + " } { x / @ } (y) " + strings.Join(other, " ")
	said := append(append([]string{"start"}, long...), append([]string{"y"}, other...)...)
	hyp := corrupted(draw, said, 0.2)
	for _, costs := range []Costs{Levenshtein, Sclite} {
		o, err := Scorer{Normaliser: normaliserNamed(t, "none"), Alternatives: true, Costs: costs}.Score(Pair{Reference: ref, Hypothesis: strings.Join(hyp, " ")})
		if err != nil {
			t.Fatal(err)
		}
		checkOutcome(t, o)
		if want := AlignBy(costs, said, hyp); o.Words.Edits() != want.Edits() || o.Words.Hits != want.Hits {
			t.Errorf("by %v: %+v, and without alternatives %+v", costs, o.Words, want.Counts)
		}
	}
}

// TestScoreOfFailure checks that a pair without a hypothesis counts nothing.
func TestScoreOfFailure(t *testing.T) {
	o, err := Scorer{}.Score(Pair{ID: "1", Reference: "a b", Err: "no such file"})
	if err != nil || o.Words != (Counts{}) || o.Characters != (Counts{}) || o.ID != "1" {
		t.Errorf("%+v, %v", o, err)
	}
}

// FuzzScore checks that no text makes a scorer panic and that outcomes add up.
func FuzzScore(f *testing.F) {
	for _, ref := range []string{"{ a / b c / @ } (d)", "{{a/b}/c} @ e", "a } b", "{ a", "{ नमस्ते / (x) } \xff", "(())", "{(a)/(b)}"} {
		f.Add(ref, "a b d", "hi")
		f.Add(ref, "", "ja")
	}
	english, err := NormaliserNamed("english", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref, hyp, lang string) {
		if len(ref) > 500 || len(hyp) > 500 {
			t.Skip("longer texts say nothing more")
		}
		for _, n := range []*Normaliser{nil, english, normaliserNamed(t, "none")} {
			for _, costs := range []Costs{Levenshtein, Sclite} {
				for _, alternatives := range []bool{false, true} {
					o, err := Scorer{n, costs, alternatives}.Score(Pair{Reference: ref, Hypothesis: hyp, Lang: lang})
					if err != nil {
						if !alternatives || !errors.Is(err, ErrAlternatives) {
							t.Errorf("%q: %v", ref, err)
						}
						continue
					}
					checkOutcome(t, o)
					NewClasses(nil, n).Add(o)
				}
			}
		}
	})
}

// TestTenThousandWords checks that what takes some tenths of a second takes no minute: a benchmark measures it.
func TestTenThousandWords(t *testing.T) {
	draw := rand.New(rand.NewPCG(17, 18))
	ref := randomText(draw, 10000, 5000)
	hyp := corrupted(draw, ref, 0.3)
	for _, costs := range []Costs{Levenshtein, Sclite} {
		start := time.Now()
		a := AlignBy(costs, ref, hyp)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%v took %v", costs, took)
		}
		if !slices.Equal(replay(ref, hyp, a.Ops), hyp) {
			t.Errorf("%v: the steps do not lead from the reference to the hypothesis", costs)
		}
	}
}

func BenchmarkAlternatives(b *testing.B) {
	draw := rand.New(rand.NewPCG(19, 20))
	ref := randomText(draw, 10000, 5000)
	hyp := strings.Join(corrupted(draw, ref, 0.3), " ")
	for i := 0; i < len(ref); i += 50 {
		ref[i] = fmt.Sprintf("{ %s / x / @ }", ref[i])
	}
	pair := Pair{Reference: strings.Join(ref, " "), Hypothesis: hyp}
	for _, costs := range []Costs{Levenshtein, Sclite} {
		b.Run(costs.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Scorer{Costs: costs, Alternatives: true}).Score(pair); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkScore scores words and characters of one long pair.
func BenchmarkScore(b *testing.B) {
	for _, rate := range []float64{0.1, 0.3, 1} {
		b.Run(fmt.Sprintf("words=10000/wer=%g", rate), func(b *testing.B) {
			draw := rand.New(rand.NewPCG(21, 22))
			ref := randomText(draw, 10000, 5000)
			hyp := corrupted(draw, ref, rate)
			if rate == 1 {
				hyp = randomText(draw, 10000, 5000)
			}
			pair := Pair{Reference: strings.Join(ref, " "), Hypothesis: strings.Join(hyp, " ")}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Scorer{}).Score(pair); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
