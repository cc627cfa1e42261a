package eval

import (
	"math"
	"testing"
)

func TestScoreUtterance(t *testing.T) {
	for _, c := range []struct {
		name, lang, ref, hyp string
		words, characters    Counts
	}{
		{"equal but for spelling", "en", "Hello, world!", "hello world",
			Counts{Hits: 2}, Counts{Hits: 11}},
		// jiwer counts the space: one insertion in nine characters.
		{"a space is a character", "en", "werewolf", "were wolf",
			Counts{Substitutions: 1, Insertions: 1}, Counts{Hits: 8, Insertions: 1}},
		{"jiwer's README", "en", "hello world", "hello duck",
			Counts{Hits: 1, Substitutions: 1}, Counts{Hits: 6, Substitutions: 4, Deletions: 1}},
		{"spaceless: spaces are free", "ja", "今日は 雨", "今日は晴",
			Counts{Hits: 3, Substitutions: 1}, Counts{Hits: 3, Substitutions: 1}},
		{"nothing recognised", "en", "a b", "", Counts{Deletions: 2}, Counts{Deletions: 3}},
		{"something in silence", "en", "", "a b", Counts{Insertions: 2}, Counts{Insertions: 3}},
	} {
		got := ScoreUtterance(c.ref, c.hyp, c.lang)
		if want := (Score{Utterances: 1, Words: c.words, Characters: c.characters}); got != want {
			t.Errorf("%s: ScoreUtterance(%q, %q) = %+v, want %+v", c.name, c.ref, c.hyp, got, want)
		}
	}
}

func TestErrorRate(t *testing.T) {
	for _, c := range []struct {
		counts Counts
		want   float64
	}{
		{Counts{}, 0},
		{Counts{Hits: 3}, 0},
		{Counts{Hits: 2, Substitutions: 1, Deletions: 1, Insertions: 1}, 0.75},
		{Counts{Substitutions: 2, Insertions: 3}, 2.5},
		{Counts{Deletions: 4}, 1},
		{Counts{Insertions: 3}, 3}, // silence
	} {
		if got := c.counts.ErrorRate(); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v.ErrorRate() = %v, want %v", c.counts, got, c.want)
		}
	}
}

// TestAddPools checks that a sum's rate is that of all words, not the mean of rates.
func TestAddPools(t *testing.T) {
	var sum Score
	sum.Add(ScoreUtterance("a", "b", "en"))             // 1 of 1
	sum.Add(ScoreUtterance("a b c d", "a b c d", "en")) // 0 of 4
	if sum.Utterances != 2 || sum.Words.Reference() != 5 || sum.Characters.Reference() != 8 {
		t.Errorf("sum = %+v, want 2 utterances of 5 words and 8 characters", sum)
	}
	if sum.WER() != 1./5 || sum.CER() != 1./8 {
		t.Errorf("WER, CER = %v, %v, want 0.2, 0.125", sum.WER(), sum.CER())
	}
}
