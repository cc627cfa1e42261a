package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// outcomes returns n utterances of ten words, each word wrong with probability rate.
func outcomes(seed uint64, n int, rate float64) []Counts {
	draw := rand.New(rand.NewPCG(seed, 1))
	counts := make([]Counts, n)
	for i := range counts {
		for range 10 {
			if draw.Float64() < rate {
				counts[i].Substitutions++
			} else {
				counts[i].Hits++
			}
		}
	}
	return counts
}

// TestIntervalIsBinomial compares the interval with the normal approximation of a binomial share, which independent errors follow.
func TestIntervalIsBinomial(t *testing.T) {
	const n, rate = 1000, 0.2
	got, err := Bootstrap{Resamples: 2000}.Interval(outcomes(1, n, rate))
	if err != nil {
		t.Fatal(err)
	}
	half := 1.96 * math.Sqrt(got.Estimate*(1-got.Estimate)/(10*n))
	for _, c := range []struct{ got, want float64 }{{got.Low, got.Estimate - half}, {got.High, got.Estimate + half}} {
		if math.Abs(c.got-c.want) > 0.15*half {
			t.Errorf("bound %v of %+v, want %v", c.got, got, c.want)
		}
	}
}

func TestIntervalOfEqualUtterances(t *testing.T) {
	got, err := Bootstrap{}.Interval([]Counts{{Hits: 3, Deletions: 1}, {Hits: 3, Substitutions: 1}})
	if want := (Interval{0.25, 0.25, 0.25}); err != nil || got != want {
		t.Errorf("Interval = %+v, %v, want %+v", got, err, want)
	}
}

// TestIntervalCovers draws many test sets and counts how often the interval holds the true rate.
func TestIntervalCovers(t *testing.T) {
	const sets, rate = 300, 0.3
	covered := 0
	for seed := range uint64(sets) {
		got, err := Bootstrap{Resamples: 400, Confidence: 0.9, Seed: seed}.Interval(outcomes(seed, 60, rate))
		if err != nil {
			t.Fatal(err)
		}
		if got.Low <= rate && rate <= got.High {
			covered++
		}
	}
	if share := float64(covered) / sets; share < 0.84 || share > 0.96 {
		t.Errorf("%.2f of the 90%% intervals hold the true rate", share)
	}
}

func TestDifference(t *testing.T) {
	base, better := outcomes(2, 300, 0.30), outcomes(3, 300, 0.20)
	got, err := Bootstrap{Resamples: 1000}.Difference(base, better)
	if err != nil {
		t.Fatal(err)
	}
	if got.Low <= 0 || got.Low > got.Estimate || got.Estimate > got.High || got.Improvement < 0.99 {
		t.Errorf("a clear gain: %+v", got)
	}
	back, err := Bootstrap{Resamples: 1000}.Difference(better, base)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(back.Low+got.High) > 1e-12 || math.Abs(back.High+got.Low) > 1e-12 || math.Abs(back.Improvement+got.Improvement-1) > 1e-12 {
		t.Errorf("the other way round: %+v, want the mirror of %+v", back, got)
	}
	same, err := Bootstrap{Resamples: 1000}.Difference(base, base)
	if want := (Difference{Improvement: 0.5}); err != nil || same != want {
		t.Errorf("a system and itself: %+v, %v, want %+v", same, err, want)
	}
}

// TestDifferenceIsPaired gives the system one error less on each utterance: the rates vary, their difference does not.
func TestDifferenceIsPaired(t *testing.T) {
	base := outcomes(4, 100, 0.5)
	system := make([]Counts, len(base))
	for i, c := range base {
		if c.Substitutions == 0 {
			t.Fatal("an utterance without an error to take away")
		}
		system[i] = Counts{Hits: c.Hits + 1, Substitutions: c.Substitutions - 1}
	}
	got, err := Bootstrap{Resamples: 500}.Difference(base, system)
	if err != nil {
		t.Fatal(err)
	}
	if got.High-got.Low > 1e-12 || math.Abs(got.Estimate-0.1) > 1e-12 {
		t.Errorf("%+v, want 0.1 without spread", got)
	}
}

func TestBootstrapIsDeterministic(t *testing.T) {
	counts := outcomes(5, 50, 0.3)
	a, errA := Bootstrap{Resamples: 200, Seed: 7}.Interval(counts)
	b, errB := Bootstrap{Resamples: 200, Seed: 7}.Interval(counts)
	c, errC := Bootstrap{Resamples: 200, Seed: 8}.Interval(counts)
	if err := errors.Join(errA, errB, errC); err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Errorf("one seed gives %+v and %+v", a, b)
	}
	if a == c {
		t.Errorf("two seeds give %+v", a)
	}
}

func TestBootstrapErrors(t *testing.T) {
	if _, err := (Bootstrap{}).Interval(nil); !errors.Is(err, ErrNoUtterances) {
		t.Errorf("no utterances: %v", err)
	}
	if _, err := (Bootstrap{}).Difference(nil, nil); !errors.Is(err, ErrNoUtterances) {
		t.Errorf("no utterances: %v", err)
	}
	if _, err := (Bootstrap{}).Difference([]Counts{{Hits: 1}}, nil); !errors.Is(err, ErrUnpaired) {
		t.Errorf("one and none: %v", err)
	}
	if _, err := (Bootstrap{}).Difference([]Counts{{Hits: 1}}, []Counts{{Hits: 2}}); !errors.Is(err, ErrUnpaired) {
		t.Errorf("references of one and two words: %v", err)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct{ q, want float64 }{{0, 1}, {0.25, 2}, {0.5, 3}, {0.625, 3.5}, {1, 5}} {
		if got := quantile([]float64{1, 2, 3, 4, 5}, c.q); got != c.want {
			t.Errorf("quantile(%v) = %v, want %v", c.q, got, c.want)
		}
	}
}
