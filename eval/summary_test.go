package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// scored returns the outcome of a pair under the default rules.
func scored(t testing.TB, p Pair) Outcome {
	t.Helper()
	o, err := Scorer{}.Score(p)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// twoSystems returns outcomes of a base model and of a better adapter on n utterances of each language.
func twoSystems(t testing.TB, n int, langs ...string) []Outcome {
	draw := rand.New(rand.NewPCG(21, 22))
	var list []Outcome
	for _, lang := range langs {
		for i := range n {
			ref := randomText(draw, 4+draw.IntN(10), 50)
			p := Pair{ID: fmt.Sprint("u", i), Lang: lang, Speaker: fmt.Sprint("s", i%11), Duration: 2, Latency: 0.1 + draw.Float64(), Reference: strings.Join(ref, " ")}
			for _, adapter := range []string{"", lang + "-flora"} {
				p.Adapter = adapter
				p.Hypothesis = strings.Join(corrupted(draw, ref, map[bool]float64{true: 0.3, false: 0.15}[adapter == ""]), " ")
				list = append(list, scored(t, p))
			}
		}
	}
	return list
}

func summaryOf(o SummaryOptions, list []Outcome) *Report {
	s := NewSummary(o)
	for _, outcome := range list {
		s.Add(outcome)
	}
	return s.Report()
}

func TestSummary(t *testing.T) {
	list := twoSystems(t, 120, "cs", "en")
	r := summaryOf(SummaryOptions{Confusions: 5, Normaliser: "glossa 1"}, list)
	if len(r.Rows) != 4 || r.Rows[0].Adapter != nil || *r.Rows[1].Adapter != "cs-flora" || r.Rows[2].Lang != "en" {
		t.Fatalf("rows %+v", r.Rows)
	}
	var adapters Score
	for _, o := range list {
		if o.Adapter != "" {
			adapters.Add(Score{1, o.Words, o.Characters})
		}
	}
	if want := numbers(adapters); r.Total.WER != want.WER || r.Total.CER != want.CER || r.Total.Utterances != 240 || r.Total.Sound != 480 {
		t.Errorf("total %+v, want the adapters' %+v", r.Total, want)
	}
	if i := r.Total.WERInterval; i == nil || !(i[0] < r.Total.WER && r.Total.WER < i[1]) || r.Total.Groups != 22 {
		t.Errorf("total interval %v of %d groups", i, r.Total.Groups)
	}
	for _, i := range []int{1, 3} {
		c := r.Rows[i].OverBase
		if c == nil || c.Utterances != 120 || c.Unpaired != 0 || c.Groups != 11 {
			t.Fatalf("row %d over base: %+v", i, c)
		}
		if want := r.Rows[i-1].WER - r.Rows[i].WER; math.Abs(c.WER-want) > 1e-12 || c.Interval[0] <= 0 || c.Interval[1] <= c.WER || c.Improvement < 0.99 {
			t.Errorf("row %d gains %+v, want %v", i, c, want)
		}
		if c.MAPSSWE == nil || *c.MAPSSWE > 0.001 || c.Holm == nil || *c.Holm < *c.MAPSSWE {
			t.Errorf("row %d: p %v, adjusted %v", i, c.MAPSSWE, c.Holm)
		}
	}
	if len(r.Comparisons) != 1 || r.Comparisons[0].Utterances != 240 || r.Comparisons[0].Lang != "" || r.Comparisons[0].Interval[0] <= 0 {
		t.Errorf("comparisons %+v", r.Comparisons)
	}
	if len(r.Confusions) != 10 || r.Confusions[0].Lang != "cs" || r.Confusions[0].Count < r.Confusions[1].Count {
		t.Errorf("confusions %+v", r.Confusions)
	}
	text := r.Text()
	t.Log("\n" + text)
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 111 {
			t.Errorf("%d columns: %s", len([]rune(line)), line)
		}
	}
	for _, want := range []string{"normaliser glossa 1; alignment levenshtein; bootstrap, 10000 resamples by speaker, 95% intervals", "gain over base", "***"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestSummaryInAnyOrder adds the same outcomes in three orders, adapters first among them.
func TestSummaryInAnyOrder(t *testing.T) {
	list := twoSystems(t, 60, "cs", "ja")
	o := SummaryOptions{Confusions: 3, Bootstrap: Bootstrap{Resamples: 300}}
	want := summaryOf(o, list)
	rest := slices.Clone(list[1:]) // the first names the first language
	slices.Reverse(rest)
	if got := summaryOf(o, append([]Outcome{list[0]}, rest...)); !reflect.DeepEqual(got, want) {
		t.Errorf("backwards: %+v, want %+v", got, want)
	}
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	if got := summaryOf(o, append([]Outcome{list[0]}, rest...)); !reflect.DeepEqual(got, want) {
		t.Errorf("shuffled: %+v, want %+v", got, want)
	}
}

func TestSummaryOfFailuresAndSilence(t *testing.T) {
	s := NewSummary(SummaryOptions{})
	s.Add(scored(t, Pair{ID: "a", Lang: "en", Reference: "", Hypothesis: "thank you", Duration: 30}))
	s.Add(scored(t, Pair{ID: "b", Lang: "en", Reference: "", Hypothesis: "", Duration: 60}))
	s.Add(scored(t, Pair{ID: "c", Lang: "en", Reference: "one two", Hypothesis: "one two", Duration: 2}))
	s.Add(Outcome{Pair: Pair{ID: "d", Lang: "en", Reference: "x", Err: "no such file"}})
	s.Add(Outcome{Pair: Pair{ID: "d", Lang: "de", Reference: "x", Err: "no such file"}})
	r := s.Report()
	en := r.Rows[0]
	if en.Utterances != 3 || en.Failed != 1 || en.Insertions != 2 || r.Total.Failed != 2 || r.Total.Utterances != 3 {
		t.Errorf("row %+v, total %+v", en, r.Total)
	}
	if en.InsertedPerMinute == nil || math.Abs(*en.InsertedPerMinute-2/1.5) > 1e-12 || en.SilentSound != 90 {
		t.Errorf("inserted %v a minute of %v s", en.InsertedPerMinute, en.SilentSound)
	}
	if de := r.Rows[1]; de.WERInterval != nil || de.Utterances != 0 || de.Failed != 1 {
		t.Errorf("a language that failed: %+v", de)
	}
	if !strings.Contains(r.Text(), "failed") {
		t.Errorf("failures are not in\n%s", r.Text())
	}
	if empty := NewSummary(SummaryOptions{}).Report(); empty.Total.Utterances != 0 || empty.Text() == "" {
		t.Errorf("a summary of nothing: %+v", empty)
	}
}

func TestCharactersFirst(t *testing.T) {
	list := twoSystems(t, 30, "ja")
	r := summaryOf(SummaryOptions{Bootstrap: Bootstrap{Resamples: 100}}, list)
	heading, _, _ := strings.Cut(r.Text(), "\n")
	if cer, wer := strings.Index(heading, "CER"), strings.Index(heading, "WER"); cer < 0 || cer > wer {
		t.Errorf("heading %q, want CER first", heading)
	}
	if !strings.Contains(r.Text(), "The measure of ja is CER.") {
		t.Errorf("no measure in\n%s", r.Text())
	}
	for lang, want := range map[string]bool{"zh": true, "th-TH": true, "my": true, "lo": true, "km": true, "yue": true, "ko": false, "cs": false, "": false} {
		if CharactersFirst(lang) != want {
			t.Errorf("CharactersFirst(%q) = %v", lang, !want)
		}
	}
}

func TestSketch(t *testing.T) {
	draw := rand.New(rand.NewPCG(5, 5))
	var values []float64
	var whole, a, b sketch
	for i := range 20_000 {
		v := math.Exp(3 * draw.NormFloat64())
		values = append(values, v)
		whole.add(v)
		[]*sketch{&a, &b}[i%2].add(v)
	}
	a.plus(b)
	slices.Sort(values)
	for _, q := range []float64{0, 0.001, 0.5, 0.95, 0.99, 1} {
		want := values[max(0, int(math.Ceil(q*20_000))-1)]
		if got := whole.quantile(q); math.Abs(got-want) > 1.0001*sketchError*want || a.quantile(q) != got {
			t.Errorf("quantile %v: %v and in parts %v, want %v", q, got, a.quantile(q), want)
		}
	}
	var odd sketch
	for _, v := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		odd.add(v)
	}
	if odd.latency() != nil {
		t.Errorf("values that are none: %+v", odd.latency())
	}
}

// TestConfusionsOfMany drops rare pairs for want of room, and keeps the frequent ones with a count that is short by what is said.
func TestConfusionsOfMany(t *testing.T) {
	var c confusionCounts
	const often = 900
	for i := range 3000 {
		c.addErrors(Outcome{Ref: []string{fmt.Sprint("r", i), "the"}, Hyp: []string{"x", "a"}, Ops: []Op{Substitution, []Op{Hit, Substitution}[min(1, i/(3000-often))]}})
		if len(c.counts) > 500 {
			c.halve()
		}
	}
	if top := c.top(1, "en"); top[0].Ref != "the" || top[0].Count > often || top[0].Count < often-c.short || c.short == 0 || c.short > 3000/250 {
		t.Errorf("top %+v, short by %d", top, c.short)
	}
	var d confusionCounts
	d.addErrors(Outcome{Ref: []string{"a", "b", "c"}, Hyp: []string{"a", "x", "c", "d"}, Ops: []Op{Hit, Substitution, Hit, Insertion}})
	d.addErrors(Outcome{Ref: []string{"b"}, Ops: []Op{Deletion}})
	want := []Confusion{{"en", "", "d", 1}, {"en", "b", "", 1}, {"en", "b", "x", 1}}
	if got := d.top(9, "en"); !slices.Equal(got, want) {
		t.Errorf("top %+v, want %+v", got, want)
	}
}

func TestRecord(t *testing.T) {
	o := scored(t, Pair{Reference: "a b c d e f", Hypothesis: "a x c e f g h"})
	d := recordOf(o).decode(nil)
	if !slices.Equal(d.ops, o.Ops) || d.sums != ofCounts(o.Words, o.Characters) {
		t.Errorf("%+v of %+v", d, o)
	}
}

// TestSummaryOfAMillion streams a million utterances without speakers through, and measures what stays in memory.
func TestSummaryOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("a million utterances")
	}
	const limit = 100 << 20
	n := 1_000_000
	if raceDetector {
		n /= 10 // memory is measured without it
	}
	before := liveHeap()
	s := NewSummary(SummaryOptions{Confusions: 20})
	million(n, s.Add)
	live := int64(liveHeap()) - int64(before)
	runtime.KeepAlive(s)
	t.Logf("%d utterances keep %.1f MB", n, float64(live)/(1<<20))
	if live > limit {
		t.Errorf("%d utterances keep %d bytes, want %d at most", n, live, limit)
	}
	if r := s.Report(); r.Total.Utterances != n || r.Total.Groups != 10*maxGroups || r.Total.WERInterval == nil {
		t.Errorf("total %+v", r.Total)
	}
}

// million makes n outcomes of ten languages, of ten words each, with an error in every other.
func million(n int, add func(Outcome)) {
	draw := rand.New(rand.NewPCG(9, 9))
	langs := strings.Fields("bg cs da de en es et fi fr hu")
	hits := slices.Repeat([]Op{Hit}, 10)
	wrong := slices.Clone(hits)
	wrong[4] = Substitution
	ref := strings.Fields("one two three four five six seven eight nine ten")
	hyp := slices.Clone(ref)
	for i := range n {
		o := Outcome{Pair: Pair{ID: fmt.Sprintf("utterance-%07d", i), Lang: langs[i%10], Reference: "r", Duration: 5, Latency: draw.ExpFloat64()},
			Words: Counts{Hits: 10}, Characters: Counts{Hits: 50}, Ref: ref, Hyp: hyp, Ops: hits}
		if i%2 == 0 {
			ref[4] = fmt.Sprint("w", draw.IntN(200_000)) // more pairs than are kept
			o.Words, o.Characters, o.Ops = Counts{Hits: 9, Substitutions: 1}, Counts{Hits: 46, Substitutions: 4}, wrong
		}
		add(o)
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkSummary adds 100,000 utterances and draws their intervals.
func BenchmarkSummary(b *testing.B) {
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			million(100_000, NewSummary(SummaryOptions{Confusions: 20}).Add)
		}
		b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "utterances/s")
	})
	b.Run("report", func(b *testing.B) {
		s := NewSummary(SummaryOptions{Confusions: 20})
		million(100_000, s.Add)
		for b.Loop() {
			s.Report()
		}
	})
}
