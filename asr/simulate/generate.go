package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"glossa/asr"
)

// ErrLoad is wrapped by every error about a load that cannot be generated.
var ErrLoad = errors.New("simulate: bad load")

// Load generates a trace: recordings that arrive at a rate, each independent of the others.
type Load struct {
	Rate     float64       // recordings a second, on average
	Duration time.Duration // how long they keep arriving
	Pattern  Pattern

	// Peak is the greatest rate as a multiple of the mean. The default value is 0: 4 for Bursty, 1.8 for Diurnal.
	Peak float64

	// Burst is the mean duration of a burst. The default value is 0: 30 s.
	Burst time.Duration

	// Languages is the number of languages, Names are their names where they matter. The nth has a share in proportion to n^-Zipf.
	Languages int
	Names     []string
	Zipf      float64

	// Base is the number of languages, from the first on, that need no adapter. Each of the others has its own.
	Base int

	// Detect is the share of recordings whose language nobody tells.
	Detect float64

	// Seconds is the mean duration of a recording, Spread the standard deviation of its logarithm, Longest where it is cut. The default
	// values are 0: 6 s, all of one duration, and a week.
	Seconds, Spread, Longest float64

	// Durations, where there are any, replace these: each recording has one of them, drawn at random.
	Durations []float64

	// Mix are the shares of priorities. The default value is nil: all are normal.
	Mix map[asr.Priority]float64

	Speech, Words bool   // as of an Arrival
	Model         string // likewise
	Seed          uint64
}

// Pattern is how the rate of arrivals changes with time.
type Pattern string

// The patterns.
const (
	Poisson Pattern = "poisson" // independent of each other, at a constant rate
	Even    Pattern = "even"    // at equal intervals
	Bursty  Pattern = "bursty"  // Poisson at two rates; half of all arrivals are in bursts, of exponential duration
	Diurnal Pattern = "diurnal" // Poisson, the rate a sine of 24 h from its mean upwards
)

// Patterns are all patterns.
var Patterns = []Pattern{Poisson, Even, Bursty, Diurnal}

const (
	defaultSeconds = 6
	shortest       = 0.3 // seconds of a recording
	day            = 24 * 3600.0
	burstShare     = 0.5 // of the arrivals
	maxLanguages   = 1 << 16
)

func (l Load) withDefaults() Load {
	or := func(x *float64, value float64) {
		if *x == 0 {
			*x = value
		}
	}
	if l.Pattern == "" {
		l.Pattern = Poisson
	}
	peak := 4.0
	if l.Pattern == Diurnal {
		peak = 1.8
	}
	or(&l.Peak, peak)
	or(&l.Seconds, defaultSeconds)
	or(&l.Longest, maxSeconds)
	if l.Burst == 0 {
		l.Burst = 30 * time.Second
	}
	if len(l.Names) == 0 {
		for i := range max(l.Languages, 1) {
			l.Names = append(l.Names, "language-"+strconv.Itoa(i+1))
		}
	}
	if len(l.Mix) == 0 {
		l.Mix = map[asr.Priority]float64{asr.Normal: 1}
	}
	return l
}

// Check reports what is wrong with a load. The error wraps ErrLoad.
func (l Load) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrLoad, fmt.Sprintf(format, args...))
	}
	if l.Languages < 0 || max(l.Languages, len(l.Names)) > maxLanguages {
		return bad("%d languages, not in 1..%d", l.Languages, maxLanguages)
	}
	l = l.withDefaults()
	total := 0.0
	for p, share := range l.Mix {
		if !(share >= 0) || math.IsInf(share, 1) {
			return bad("a share of %v of priority %s", share, p)
		}
		total += share
	}
	switch {
	case !(l.Rate > 0) || l.Rate > 1e6:
		return bad("a rate of %v a second, not in 0..1e6", l.Rate)
	case l.Duration <= 0 || l.Duration.Seconds() > maxAt:
		return bad("a duration of %v", l.Duration)
	case !slices.Contains(Patterns, l.Pattern):
		return bad("pattern %q is none of %v", l.Pattern, Patterns)
	case l.Pattern == Bursty && !(l.Peak > 1 && l.Peak <= 1000):
		return bad("a peak of %v times the rate, not in 1..1000", l.Peak)
	case l.Pattern == Diurnal && !(l.Peak >= 1 && l.Peak <= 2):
		return bad("a peak of %v times the rate of a day, not in 1..2", l.Peak)
	case l.Burst < time.Millisecond:
		return bad("bursts of %v", l.Burst)
	case !(l.Zipf >= 0) || l.Zipf > 100:
		return bad("a Zipf exponent of %v", l.Zipf)
	case !(l.Detect >= 0 && l.Detect <= 1):
		return bad("a share of %v whose language is detected", l.Detect)
	case !(l.Seconds > 0) || !(l.Spread >= 0) || l.Spread > 10 || !(l.Longest > 0) || l.Seconds > maxSeconds || l.Longest > maxSeconds:
		return bad("recordings of %v s, spread %v, at most %v s", l.Seconds, l.Spread, l.Longest)
	case slices.ContainsFunc(l.Durations, func(d float64) bool { return !(d > 0) || d > maxSeconds }):
		return bad("a duration that is not in 0..%v s", maxSeconds)
	case !(total > 0):
		return bad("no share of any priority")
	}
	return nil
}

// Arrivals returns the recordings, the same for a seed. The load must be in order.
func (l Load) Arrivals() Arrivals {
	l = l.withDefaults()
	return func(yield func(Arrival, error) bool) {
		g := newGenerator(&l)
		for at := g.gap(0); at < l.Duration.Seconds(); at = g.gap(at) {
			if !yield(g.arrival(at), nil) {
				return
			}
		}
	}
}

// generator draws a load.
type generator struct {
	*Load
	when, what *rand.Rand // apart, so that one load at two rates is of the same recordings
	languages  []float64  // shares, added up
	priorities []float64

	burst     bool
	switching float64 // when the rate changes
}

func newGenerator(l *Load) *generator {
	g := &generator{Load: l, when: rand.New(rand.NewPCG(l.Seed, 1)), what: rand.New(rand.NewPCG(l.Seed, 2))}
	total := 0.0
	for i := range l.Names {
		total += math.Pow(float64(i+1), -l.Zipf)
		g.languages = append(g.languages, total)
	}
	total = 0
	for _, p := range priorities {
		total += l.Mix[p]
		g.priorities = append(g.priorities, total)
	}
	g.switching = g.when.ExpFloat64() * g.calm()
	return g
}

// priorities in the order in which they are served.
var priorities = [...]asr.Priority{asr.Live, asr.Normal, asr.Bulk}

// draw returns an index with the probability of its share, of which the sums are given.
func draw(r *rand.Rand, sums []float64) int {
	i, found := slices.BinarySearch(sums, r.Float64()*sums[len(sums)-1])
	if found {
		i++
	}
	return min(i, len(sums)-1)
}

// calm returns the mean time between two bursts: at Peak times the rate, a share of burstShare/Peak of the time has burstShare of the
// arrivals.
func (g *generator) calm() float64 { return g.Burst.Seconds() * (g.Peak/burstShare - 1) }

// gap returns when the one behind time at comes.
func (g *generator) gap(at float64) float64 {
	switch g.Pattern {
	case Even:
		return at + 1/g.Rate
	case Diurnal: // thinning (Lewis & Shedler 1979)
		for {
			at += g.when.ExpFloat64() / (g.Rate * g.Peak)
			if g.when.Float64()*g.Peak < 1+(g.Peak-1)*math.Sin(2*math.Pi*at/day) {
				return at
			}
		}
	case Bursty:
		return g.bursty(at)
	}
	return at + g.when.ExpFloat64()/g.Rate
}

// bursty is gap of a Poisson process whose rate a Markov chain of two states chooses.
func (g *generator) bursty(at float64) float64 {
	for {
		rate := g.Rate * (1 - burstShare) / (1 - burstShare/g.Peak)
		if g.burst {
			rate = g.Rate * g.Peak
		}
		next := at + g.when.ExpFloat64()/rate
		if next < g.switching {
			return next
		}
		at, g.burst = g.switching, !g.burst // an exponential time has no memory
		mean := g.calm()
		if g.burst {
			mean = g.Burst.Seconds()
		}
		g.switching += g.when.ExpFloat64() * mean
	}
}

// arrival returns the recording that comes at a time.
func (g *generator) arrival(at float64) Arrival {
	a := Arrival{At: at, Speech: g.Speech, Words: g.Words, Model: g.Model}
	language := draw(g.what, g.languages)
	a.Language = g.Names[language]
	if a.Adapter = a.Language; language < g.Base {
		a.Adapter = asr.None
	}
	a.Priority = priorities[draw(g.what, g.priorities)]
	a.Detect = g.what.Float64() < g.Detect
	if len(g.Durations) > 0 {
		a.Seconds = g.Durations[g.what.IntN(len(g.Durations))]
	} else {
		a.Seconds = math.Exp(math.Log(g.Seconds) - g.Spread*g.Spread/2 + g.Spread*g.what.NormFloat64())
		a.Seconds = math.Round(1000*max(a.Seconds, shortest)) / 1000
	}
	a.Seconds = min(a.Seconds, g.Longest)
	return a
}

// Faster returns the same arrivals, so many times as fast.
func Faster(arrivals Arrivals, times float64) Arrivals {
	return func(yield func(Arrival, error) bool) {
		for a, err := range arrivals {
			a.At /= times
			if !yield(a, err) {
				return
			}
		}
	}
}
