package eval

import (
	"math"
	"strings"
	"testing"
)

// countsOfAll returns the summed counts of words and characters of pairs of texts as they are.
func countsOfAll(refs, hyps []string) (words, characters Counts) {
	for i, ref := range refs {
		words = words.Plus(Align(strings.Fields(ref), strings.Fields(hyps[i])).Counts)
		characters = characters.Plus(Count([]rune(ref), []rune(hyps[i])))
	}
	return words, characters
}

// TestJiwersExamples checks the examples that jiwer publishes: tests/test_measures.py, test_cer.py, test_empty_ref.py, README.md and
// docs/usage.md of jitsi/jiwer 4 (Apache 2.0). The known values are those of Morris, Maier and Green 2004, table 1. jiwer's lists
// pool as Plus does.
func TestJiwersExamples(t *testing.T) {
	const unknown = -1
	for _, c := range []struct {
		refs, hyps         []string
		wer, mer, wil, cer float64
	}{
		{[]string{"This is a test"}, []string{"This is a test"}, 0, 0, 0, 0},
		{[]string{"This is a test"}, []string{""}, 1, 1, 1, 1},
		{[]string{"This is a test"}, []string{"This test"}, 0.5, 0.5, 0.5, 5. / 14},
		{[]string{"hello this sentence is fractured"}, []string{"this sentence"}, 0.6, 0.6, 0.6, unknown},
		{[]string{"i am a short ground truth"}, []string{"i am a considerably longer and very much incorrect hypothesis"}, 7. / 6, 0.7, 0.85, unknown},

		{[]string{"X"}, []string{"X"}, 0, 0, 0, 0},
		{[]string{"X"}, []string{"X X Y Y"}, 3, 0.75, 0.75, 6},
		{[]string{"X Y X"}, []string{"X Z"}, 2. / 3, 2. / 3, 5. / 6, 3. / 5},
		{[]string{"X"}, []string{"Y"}, 1, 1, 1, 1},
		{[]string{"X"}, []string{"Y Z"}, 2, 1, 1, 3},

		{[]string{"i", "am i good"}, []string{"i am", "i good"}, 0.5, 0.4, 7. / 16, 0.6},
		{[]string{"am i good", "i"}, []string{"i good", "i am"}, 0.5, 0.4, 7. / 16, 0.6},

		{[]string{""}, []string{""}, 0, 0, 0, 0},
		{[]string{""}, []string{"silence"}, 1, 1, 1, 7},
		{[]string{""}, []string{"peaceful silence"}, 2, 1, 1, 16},
		{[]string{""}, []string{"a"}, 1, 1, 1, 1},
		{[]string{""}, []string{"abcde"}, 1, 1, 1, 5},
		{[]string{"hello"}, []string{""}, 1, 1, 1, 1},
		{[]string{"hello world", ""}, []string{"hello world", "done"}, 1. / 2, 1. / 3, 1. / 3, unknown},

		{[]string{"hello world"}, []string{"hello duck"}, 0.5, 0.5, 0.75, unknown},
		{[]string{"hello world", "i like monthy python"}, []string{"hello duck", "i like python"}, 2. / 6, 2. / 6, 1 - 4./6*4./5, unknown},
		{[]string{"i can spell", "i hope"}, []string{"i kan cpell", "i hop"}, unknown, unknown, unknown, 3. / 17},
		{
			[]string{"short one here", "quite a bit of longer sentence"}, []string{"shoe order one", "quite bit of an even longest sentence here"},
			8. / 9, 8. / 13, 1 - 5./9*5./11, unknown, // printed as 88.89%, 61.54%, 74.75%
		},
	} {
		words, characters := countsOfAll(c.refs, c.hyps)
		for name, pair := range map[string][2]float64{
			"WER": {words.ErrorRate(), c.wer}, "MER": {words.MatchErrorRate(), c.mer},
			"WIL": {words.InformationLost(), c.wil}, "WIP": {words.InformationPreserved(), 1 - c.wil}, "CER": {characters.ErrorRate(), c.cer},
		} {
			if pair[1] != unknown && pair[1] != 1-unknown && math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("%q, %q: %s %v, want %v", c.refs, c.hyps, name, pair[0], pair[1])
			}
		}
	}
}

// TestJiwersErrorCounts checks the alignment that docs/usage.md of jiwer shows: S=2 D=2 I=4, 5 hits.
func TestJiwersErrorCounts(t *testing.T) {
	words, _ := countsOfAll(
		[]string{"short one here", "quite a bit of longer sentence"}, []string{"shoe order one", "quite bit of an even longest sentence here"})
	if want := (Counts{Hits: 5, Substitutions: 2, Deletions: 2, Insertions: 4}); words != want {
		t.Errorf("%+v, want %+v", words, want)
	}
}

// TestMeasuresByHand computes each measure of H=6 S=2 D=1 I=3 by its equation: 9 words said, 11 recognised.
func TestMeasuresByHand(t *testing.T) {
	c := Counts{Hits: 6, Substitutions: 2, Deletions: 1, Insertions: 3}
	for name, pair := range map[string][2]float64{
		"WER": {c.ErrorRate(), 6. / 9}, "MER": {c.MatchErrorRate(), 6. / 12},
		"WIP": {c.InformationPreserved(), 36. / 99}, "WIL": {c.InformationLost(), 63. / 99},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-15 {
			t.Errorf("%s %v, want %v", name, pair[0], pair[1])
		}
	}
	if c.Reference() != 9 || c.Hypothesis() != 11 || c.Edits() != 6 {
		t.Errorf("%d said, %d recognised, %d edits", c.Reference(), c.Hypothesis(), c.Edits())
	}
}
