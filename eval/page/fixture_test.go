package page_test

import (
	"bufio"
	"encoding/json"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	{ID: "pl/failed", Lang: "pl", Reference: "dzień dobry", Err: "the file is no sound"},
	{ID: "en/silence", Lang: "en", Reference: "", Hypothesis: "thank you", Duration: 4},
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

// reportOf adds outcomes up.
func reportOf(outcomes []eval.Outcome) *eval.Report {
	s := eval.NewSummary(eval.SummaryOptions{Bootstrap: eval.Bootstrap{Resamples: 500}, Confusions: 8, Normaliser: "glossa 1"})
	for _, o := range outcomes {
		s.Add(o)
	}
	return s.Report()
}

// flac reads the sound of an utterance of the test set.
func flac(o eval.Outcome) ([]byte, string, error) {
	data, err := os.ReadFile(filepath.Join(multilingual, o.Audio))
	return data, "audio/flac", err
}

// example is a report of the test set, with some of its sound.
func example(t *testing.T) page.Data {
	t.Helper()
	outcomes := scored(t, pairs(t))
	return page.Data{Title: "Ten languages, base and adapters", Report: reportOf(outcomes), Outcomes: each(outcomes), Sound: flac, SoundBudget: 1 << 20}
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
