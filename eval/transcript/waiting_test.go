package transcript

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"glossa/eval"
)

// TestRecordsWaitAsTheyAre has records of several sources wait.
func TestRecordsWaitAsTheyAre(t *testing.T) {
	records := []*Record{
		{Place: Place{"r.jsonl", 7}, Pair: eval.Pair{ID: "a", Lang: "cs", Speaker: "s", Audio: "a.wav", Start: 0.1, Duration: 1e300, Reference: "příliš \x00"}},
		nil,
		{Place: Place{"h.jsonl", 1 << 40}, Pair: eval.Pair{ID: "a", Detected: "sk", Adapter: "x", Latency: 0.25, Hypothesis: "b", Err: "bad"}},
		{Place: Place{"r.stm", 1}, Channel: "1", Labels: "<O>", Ignored: true, until: 3, segments: []*Record{
			{Place: Place{"r.stm", 1}, Pair: eval.Pair{Start: 1}, until: 2}, {Place: Place{"s.stm", 2}},
		}},
		{Place: Place{"h.ctm", 1}, Words: []Word{{Start: 1, Duration: 2, Text: "x"}, {Text: "{ a / @ }"}}},
	}
	w := newWaiting(len(records))
	for source, r := range records {
		if r != nil {
			w.add(7, source, r)
			w.add(uint64(100-source), source, r)
		}
	}
	got, filled := w.take(7)
	for i := range got[4].Words {
		if !math.IsNaN(got[4].Words[i].Confidence) {
			t.Errorf("confidence of word %d is %v", i, got[4].Words[i].Confidence)
		}
		got[4].Words[i].Confidence = 0
	}
	if filled != 4 || !reflect.DeepEqual(got, records) {
		t.Errorf("%d records: %+v", filled, got)
	}
	w.drop(7)
	if got, filled := w.take(7); filled != 0 || got[0] != nil {
		t.Errorf("%d records of none", filled)
	}
	if got := fmt.Sprint(w.ordered()); got != "[100 98 97 96]" {
		t.Errorf("in the order %s", got)
	}
}
