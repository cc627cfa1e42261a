package page_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/eval"
	"glossa/eval/page"
)

// multilingual is the folder of the test set that the examples are of.
const multilingual = "../../testdata/multilingual"

// written are utterances beside those of the test set: of a script that runs from right to left, one with marks, and one without spaces.
var written = []eval.Pair{
	{ID: "ar/00", Lang: "ar", Reference: "اللغة العربية جميلة جدا", Hypothesis: "اللغة الغربية جميلة"},
	{ID: "ar/01", Lang: "ar", Reference: "صباح الخير", Hypothesis: "صباح الخير يا"},
	{ID: "he/00", Lang: "he", Reference: "שלום לכולם", Hypothesis: "שלום"},
	{ID: "ja/00", Lang: "ja", Reference: "今日は月曜日です", Hypothesis: "今日は日曜日"},
	{ID: "xx/silence", Lang: "en", Reference: "", Hypothesis: "thank you", Duration: 4},
}

// pairs are the test set as two systems might have heard it: words are lost, put in and taken for others, by the base model more often.
func pairs(t *testing.T) []eval.Pair {
	t.Helper()
	f, err := os.Open(filepath.Join(multilingual, "manifest.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []eval.Pair
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var u struct {
			Audio    string  `json:"audio_filepath"`
			Duration float64 `json:"duration"`
			Text     string  `json:"text"`
			Lang     string  `json:"lang"`
			Voice    string  `json:"voice"`
		}
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			t.Fatal(err)
		}
		base := eval.Pair{ID: strings.TrimSuffix(u.Audio, ".flac"), Lang: u.Lang, Speaker: u.Voice, Audio: u.Audio, Duration: u.Duration, Reference: u.Text}
		adapted := base
		adapted.Adapter = u.Lang
		random := rand.New(rand.NewPCG(hash(u.Audio), 0))
		base.Hypothesis, base.Latency = mishear(u.Text, 0.25, random), 0.1+0.2*random.Float64()
		adapted.Hypothesis, adapted.Latency = mishear(u.Text, 0.08, random), 0.1+0.3*random.Float64()
		all = append(all, base, adapted)
	}
	return append(all, written...)
}

func hash(s string) uint64 {
	h := fnv.New64()
	h.Write([]byte(s))
	return h.Sum64()
}

// mishear changes a share of the words of a text.
func mishear(text string, share float64, random *rand.Rand) string {
	words := strings.Fields(text)
	var heard []string
	for i, w := range words {
		switch x := random.Float64() / share; {
		case x < 0.5:
			heard = append(heard, words[(i+1)%len(words)])
		case x < 0.75:
		case x < 1:
			heard = append(heard, w, "uh")
		default:
			heard = append(heard, w)
		}
	}
	return strings.Join(heard, " ")
}

// scored are the outcomes of pairs.
func scored(t *testing.T, pairs []eval.Pair) []eval.Outcome {
	t.Helper()
	var all []eval.Outcome
	for _, p := range pairs {
		o, err := eval.Scorer{}.Score(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// each ranges over outcomes.
func each(outcomes []eval.Outcome) iter.Seq2[eval.Outcome, error] {
	return func(yield func(eval.Outcome, error) bool) {
		for _, o := range outcomes {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// reportOf adds outcomes up, with intervals and comparisons.
func reportOf(t *testing.T, outcomes []eval.Outcome) *eval.Report {
	t.Helper()
	type name struct{ lang, adapter string }
	var names []name
	words := make(map[name][]eval.Counts)
	scores := make(map[name]*eval.Score)
	latencies := make(map[name][]float64)
	confused := make(map[eval.Confusion]int)
	for _, o := range outcomes {
		n := name{o.Lang, o.Adapter}
		if scores[n] == nil {
			scores[n] = new(eval.Score)
			names = append(names, n)
		}
		scores[n].Add(eval.Score{Utterances: 1, Words: o.Words, Characters: o.Characters})
		words[n] = append(words[n], o.Words)
		if o.Latency > 0 {
			latencies[n] = append(latencies[n], o.Latency)
		}
		for r, h, ops := 0, 0, o.Ops; len(ops) > 0; ops = ops[1:] {
			c := eval.Confusion{Lang: o.Lang}
			if ops[0] != eval.Insertion {
				c.Ref = o.Ref[r]
				r++
			}
			if ops[0] != eval.Deletion {
				c.Hyp = o.Hyp[h]
				h++
			}
			if ops[0] != eval.Hit {
				confused[c]++
			}
		}
	}
	var results []eval.Result
	for _, n := range names {
		results = append(results, eval.Result{Lang: n.lang, Adapter: n.adapter, Score: *scores[n]})
	}
	r := eval.NewReport(results)
	r.Normaliser, r.Alignment = "glossa 1", "levenshtein"
	b := eval.Bootstrap{Resamples: 200}
	p := 0.0123
	for i, n := range names {
		row := &r.Rows[i]
		found, err := b.Interval(words[n])
		if err != nil {
			t.Fatal(err)
		}
		row.WERInterval = &[2]float64{found.Low, found.High}
		if slices.Sort(latencies[n]); len(latencies[n]) > 0 {
			at := func(q float64) float64 { return latencies[n][int(q*float64(len(latencies[n])-1))] }
			row.Latency = &eval.Latency{P50: at(0.5), P95: at(0.95), P99: at(0.99)}
		}
		if n.adapter == "" {
			continue
		}
		base := words[name{n.lang, ""}][:len(words[n])]
		d, err := b.Difference(base, words[n])
		if err != nil {
			t.Fatal(err)
		}
		row.OverBase = &eval.Comparison{System: n.adapter, Utterances: len(base), WER: d.Estimate, Interval: [2]float64{d.Low, d.High}, Improvement: d.Improvement, MAPSSWE: &p}
	}
	for c, n := range confused {
		c.Count = n
		r.Confusions = append(r.Confusions, c)
	}
	slices.SortFunc(r.Confusions, func(a, b eval.Confusion) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	r.Confusions = r.Confusions[:min(60, len(r.Confusions))]
	return r
}

// flac reads the sound of an utterance of the test set.
func flac(o eval.Outcome) ([]byte, string, error) {
	data, err := os.ReadFile(filepath.Join(multilingual, o.Audio))
	return data, "audio/flac", err
}

// example is a report of the test set.
func example(t *testing.T) page.Data {
	t.Helper()
	outcomes := scored(t, pairs(t))
	return page.Data{Title: "Ten languages, base and adapters", Report: reportOf(t, outcomes), Outcomes: each(outcomes), Sound: flac}
}

// write returns the page of data.
func write(t *testing.T, d page.Data) string {
	t.Helper()
	var out strings.Builder
	if err := page.Write(&out, d); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
