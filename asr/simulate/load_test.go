package simulate

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"glossa/asr"
)

// TestLoadHasItsShares checks the rate of every pattern, and the shares of languages and priorities, of a load.
func TestLoadHasItsShares(t *testing.T) {
	for _, pattern := range Patterns {
		l := Load{
			Rate: 5, Duration: 48 * time.Hour, Pattern: pattern, Languages: 10, Zipf: 1, Base: 2, Detect: 0.25, Seconds: 8, Spread: 0.5,
			Mix: map[asr.Priority]float64{asr.Live: 1, asr.Bulk: 3}, Seed: 4,
		}
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		n, first, live, detect, base, seconds, squares := 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
		last := 0.0
		var gaps, gapSquares float64
		for a := range l.Arrivals() {
			n++
			if a.At < last {
				t.Fatal(a.At, last)
			}
			gaps, gapSquares = gaps+a.At-last, gapSquares+(a.At-last)*(a.At-last)
			last = a.At
			if a.Language == "language-1" {
				first++
			}
			switch a.Priority {
			case asr.Live:
				live++
			case asr.Normal:
				t.Fatal("a normal one")
			}
			if a.Detect {
				detect++
			}
			if a.Adapter == asr.None {
				base++
			}
			seconds, squares = seconds+a.Seconds, squares+a.Seconds*a.Seconds
		}
		harmonic := 0.0
		for i := range 10 {
			harmonic += 1 / float64(i+1)
		}
		near := func(what string, got, want, within float64) {
			if math.Abs(got/want-1) > within {
				t.Errorf("%s: %s is %v, want %v", pattern, what, got, want)
			}
		}
		near("rate", n/(48*3600), 5, map[Pattern]float64{Bursty: 0.06}[pattern]+0.02)
		near("share of the first language", first/n, 1/harmonic, 0.01)
		near("share of live", live/n, 0.25, 0.01)
		near("share of detected", detect/n, 0.25, 0.01)
		near("share of base", base/n, 1.5/harmonic, 0.01)
		near("mean", seconds/n, 8, 0.01)
		near("deviation", math.Sqrt(squares/n-seconds/n*seconds/n)/8, math.Sqrt(math.Exp(0.25)-1), 0.03)
		cv := math.Sqrt(gapSquares/n-gaps/n*gaps/n) * n / gaps
		if want := map[Pattern]float64{Poisson: 1, Even: 0}[pattern]; pattern != Bursty && pattern != Diurnal && math.Abs(cv-want) > 0.02 || pattern == Bursty && cv < 1.15 {
			t.Errorf("%s: gaps vary by %v", pattern, cv)
		}
	}
}

// TestLoadsAtTwoRatesAreOfTheSameRecordings checks that what comes does not hang on when.
func TestLoadsAtTwoRatesAreOfTheSameRecordings(t *testing.T) {
	collect := func(rate float64) (as []Arrival) {
		for a := range (Load{Rate: rate, Duration: time.Minute, Languages: 50, Zipf: 1, Seed: 7}).Arrivals() {
			a.At = 0
			if as = append(as, a); len(as) == 50 {
				break
			}
		}
		return as
	}
	a, b := collect(2), collect(20)
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("%+v, %+v", a[i], b[i])
		}
	}
	i := 0
	for f := range Faster(Load{Rate: 2, Duration: time.Minute, Languages: 50, Zipf: 1, Seed: 7}.Arrivals(), 4) {
		if f.At > 15 || i < len(a) && f.Seconds != a[i].Seconds {
			t.Fatalf("%+v", f)
		}
		i++
	}
}

func TestBadLoads(t *testing.T) {
	good := Load{Rate: 1, Duration: time.Minute}
	for want, change := range map[string]func(*Load){
		"a rate of 0":         func(l *Load) { l.Rate = 0 },
		"a rate of NaN":       func(l *Load) { l.Rate = math.NaN() },
		"a duration of 0s":    func(l *Load) { l.Duration = 0 },
		`pattern "x"`:         func(l *Load) { l.Pattern = "x" },
		"a peak of 1 times":   func(l *Load) { l.Pattern, l.Peak = Bursty, 1 },
		"not in 1..2":         func(l *Load) { l.Pattern, l.Peak = Diurnal, 3 },
		"bursts of 1ns":       func(l *Load) { l.Burst = 1 },
		"-1 languages":        func(l *Load) { l.Languages = -1 },
		"Zipf exponent of -1": func(l *Load) { l.Zipf = -1 },
		"share of 2 whose":    func(l *Load) { l.Detect = 2 },
		"recordings of -1 s":  func(l *Load) { l.Seconds = -1 },
		"not in 0..604800":    func(l *Load) { l.Durations = []float64{0} },
		"share of -1":         func(l *Load) { l.Mix = map[asr.Priority]float64{asr.Live: -1} },
		"no share of any":     func(l *Load) { l.Mix = map[asr.Priority]float64{asr.Live: 0} },
	} {
		l := good
		change(&l)
		if err := l.Check(); !errors.Is(err, ErrLoad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestQuantilesAreExactToABucket checks the quantiles of a histogram.
func TestQuantilesAreExactToABucket(t *testing.T) {
	var h, a, b histogram
	for i := 1; i <= 100_000; i++ {
		x := float64(i) / 1000
		h.add(x)
		if i%3 == 0 {
			a.add(x)
		} else {
			b.add(x)
		}
	}
	a.addAll(&b)
	for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
		if got := h.quantile(q); math.Abs(got/(100*q)-1) > 0.0026 || a.quantile(q) != got {
			t.Errorf("%v: %v, of two %v", q, got, a.quantile(q))
		}
	}
	var zeros histogram
	zeros.add(0)
	zeros.add(0)
	zeros.add(1)
	if zeros.quantile(0.5) != 0 || zeros.quantile(0.99) != 1 || (&histogram{}).quantile(0.5) != 0 {
		t.Error(zeros)
	}
}

// TestSearchFindsTheSmallestNumber checks the number that is found against trying each.
func TestSearchFindsTheSmallestNumber(t *testing.T) {
	o := Options{Model: costs(t, "whole"), Seed: 1}
	l := mixed(1)
	l.Duration = 3 * time.Minute
	targets := []Target{{All, 0.95, 20 * time.Second}, {"live", 0.9, 10 * time.Second}}
	want := 0
	keeps := func(n int) bool {
		o.Workers = n
		r := simulate(t, o, l.Arrivals())
		for _, target := range targets {
			if r.took(target) > target.Within.Seconds() {
				return false
			}
		}
		return true
	}
	for want = 1; !keeps(want); want++ {
	}
	tried := 0
	r, err := Search(t.Context(), o, l.Arrivals(), targets, func(n int, r *Report) {
		tried++
		if (r != nil) != (n >= want) {
			t.Errorf("%d workers: %v, want %d", n, r != nil, want)
		}
	})
	if err != nil || r.Workers != want || tried < 3 || tried > 12 || r.Served == 0 {
		t.Errorf("%+v after %d, %v, want %d", r, tried, err, want)
	}
	if _, err := Search(t.Context(), o, l.Arrivals(), []Target{{All, 0.5, 100 * time.Millisecond}}, nil); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

// TestSlowerMachineTakesLonger checks that on a machine of half the speed everything takes twice as long, if it comes half as often.
func TestSlowerMachineTakesLonger(t *testing.T) {
	for _, name := range []string{"round", "whole"} {
		m := costs(t, name)
		m.Wake = []Wake{{0.1, 0.02, 0}, {100, 0.02, 0.5}}
		l := mixed(3)
		l.Duration = 2 * time.Minute
		fast := simulate(t, Options{Model: m, Workers: 8}, Faster(l.Arrivals(), 1))
		m.Wake[0].Rest, m.Wake[1].Rest = 0.2, 200 // as rests take twice as long too
		slow := simulate(t, Options{Model: m.Slower(2), Workers: 8}, Faster(l.Arrivals(), 0.5))
		// Deadlines are those of the clock, and change the order of recordings a little.
		if got := slow.Of(All).Total.Mean / fast.Of(All).Total.Mean; math.Abs(got-2) > 0.02 {
			t.Errorf("%s: %v times as long", name, got)
		}
	}
}
