package eval

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestIntervalBySpeakerCovers draws many test sets of speakers who differ, and counts how often the 95% interval holds the true rate: it
// does where speakers are drawn as a whole. Where utterances are drawn instead it holds it far more seldom than it says.
func TestIntervalBySpeakerCovers(t *testing.T) {
	const sets, rate, spread = 1500, 0.15, 0.08
	b := Bootstrap{Resamples: 500}
	for _, speakers := range []int{12, 40} {
		bySpeaker, byUtterance := 0, 0
		for seed := range uint64(sets) {
			draw := rand.New(rand.NewPCG(seed, uint64(speakers)))
			var groups, utterances []Counts
			for range speakers {
				theirs := max(0, rate+spread*math.Sqrt(6)*(draw.Float64()+draw.Float64()-1)) // a triangle's law of standard deviation spread
				var sum Counts
				for range 3 + draw.IntN(8) {
					c := Counts{Hits: 20}
					for range 20 {
						if draw.Float64() < theirs {
							c.Hits--
							c.Substitutions++
						}
					}
					utterances = append(utterances, c)
					sum = sum.Plus(c)
				}
				groups = append(groups, sum)
			}
			b.Seed = seed
			holds := func(units []Counts) int {
				got, err := b.Interval(units)
				if err != nil {
					t.Fatal(err)
				}
				if got.Low <= rate && rate <= got.High {
					return 1
				}
				return 0
			}
			bySpeaker += holds(groups)
			if seed%10 == 0 {
				byUtterance += 10 * holds(utterances)
			}
		}
		share, naive := float64(bySpeaker)/sets, float64(byUtterance)/sets
		t.Logf("%d speakers: %.3f of intervals by speaker hold the true rate, %.3f of those by utterance", speakers, share, naive)
		if share < 0.93 || share > 0.97 {
			t.Errorf("%d speakers: %.3f of the 95%% intervals hold the true rate", speakers, share)
		}
		if naive > 0.85 {
			t.Errorf("%d speakers: %.3f of intervals by utterance hold the true rate; the speakers are too much alike to show anything", speakers, naive)
		}
	}
}

// TestDifferenceBySpeakerCovers does the same with the difference of two systems that find the same speakers hard, but not alike.
func TestDifferenceBySpeakerCovers(t *testing.T) {
	const sets, speakers, gain = 2500, 20, 0.05
	covered, improved := 0, 0.0
	for seed := range uint64(sets) {
		draw := rand.New(rand.NewPCG(seed, 77))
		wrong := func(n int, rate float64) (c Counts) {
			for range n {
				if draw.Float64() < rate {
					c.Substitutions++
				} else {
					c.Hits++
				}
			}
			return c
		}
		var base, system []Counts
		for range speakers {
			hard := 0.25 + 0.15*(draw.Float64()-draw.Float64())
			n := 60 + draw.IntN(160)
			base = append(base, wrong(n, hard))
			system = append(system, wrong(n, hard-gain+0.06*(draw.Float64()-draw.Float64())))
		}
		d, err := Bootstrap{Resamples: 500, Seed: seed}.Difference(base, system)
		if err != nil {
			t.Fatal(err)
		}
		if d.Low <= gain && gain <= d.High {
			covered++
		}
		improved += d.Improvement / sets
	}
	share := float64(covered) / sets
	t.Logf("%.3f of intervals hold the true gain; mean probability of improvement %.3f", share, improved)
	if share < 0.93 || share > 0.97 || improved < 0.95 {
		t.Errorf("%.3f of the 95%% intervals hold the true gain, mean probability of improvement %.3f", share, improved)
	}
}

// TestIntervalOfBlocks compares the interval of more utterances than are told apart with that of independent words, whose normal
// approximation is as good as exact.
func TestIntervalOfBlocks(t *testing.T) {
	const n, rate = 50_000, 0.2
	draw := rand.New(rand.NewPCG(1, 1))
	var g groupSums
	for i := range n {
		errors := int64(0)
		for range 8 {
			if draw.Float64() < rate {
				errors++
			}
		}
		g.add(mixed(uint64(i)), tally{{errors, 8}})
	}
	if !g.blocks || len(g.list) != maxGroups {
		t.Fatalf("%d groups, blocks %v", len(g.list), g.blocks)
	}
	if g.all[0] != total(g.sums(0)) {
		t.Errorf("blocks hold %v of %v", total(g.sums(0)), g.all[0])
	}
	b := Bootstrap{Resamples: 4000}.withDefaults()
	got := b.interval(g.all[0].first(), mapped(b.resampled(g.sums(0), 0), sums.first), len(g.list), 1)
	half := 1.96 * math.Sqrt(rate*(1-rate)/(8*n))
	if width := got.High - got.Low; math.Abs(width-2*half) > 0.1*2*half {
		t.Errorf("interval %+v is %v wide, want %v", got, width, 2*half)
	}
}

// TestDrawsAreUniform draws each of a few groups as often as the others.
func TestDrawsAreUniform(t *testing.T) {
	groups := []sums{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}, {}}
	const resamples = 40_000
	all := total(Bootstrap{Resamples: resamples}.resampled(groups, 3))
	for i, n := range all {
		// n is binomial with 5·40,000 draws and a share of 1/5: 40,000 with a standard deviation of 179.
		if math.Abs(float64(n)-resamples) > 5*179 {
			t.Errorf("group %d was drawn %d times, want about %d", i, n, resamples)
		}
	}
}

// TestStudentQuantile compares with printed tables.
func TestStudentQuantile(t *testing.T) {
	for freedom, want := range map[int]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365, 10: 2.228, 30: 2.042, 120: 1.980, 1000: 1.962, 5000: 1.960} {
		if got := -studentQuantile(0.025, freedom); math.Abs(got-want) > 0.0006 {
			t.Errorf("%d degrees of freedom: %.4f, want %.3f", freedom, got, want)
		}
	}
	if got := -studentQuantile(0.05, 9); math.Abs(got-1.833) > 0.0006 {
		t.Errorf("at 90%%: %.4f, want 1.833", got)
	}
}

// BenchmarkInterval draws 10,000 resamples of as many groups as there may be.
func BenchmarkInterval(b *testing.B) {
	groups := outcomes(1, maxGroups, 0.2)
	for b.Loop() {
		if _, err := (Bootstrap{}).Interval(groups); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10000/maxGroups, "ns/draw")
}
