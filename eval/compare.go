package eval

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// ErrNoUtterances is returned where a statistic is asked of no utterances.
var ErrNoUtterances = errors.New("eval: no utterances")

// ErrUnpaired is returned where two systems were not scored on the same utterances in the same order.
var ErrUnpaired = errors.New("eval: systems are not scored on the same utterances")

// Bootstrap estimates by resampling how far an error rate would move on other utterances of the same kind (Bisani and Ney 2004,
// "Bootstrap estimates for confidence intervals in ASR performance evaluation"). The utterance is the unit drawn, since errors within
// one are not independent; utterances of one speaker are taken for independent, which makes intervals too narrow where speakers are few.
//
// Equal options and counts give equal numbers. The zero value is ready to use.
type Bootstrap struct {
	// Resamples is the number of test sets drawn. The default value is 10000.
	Resamples int
	// Confidence is the share of the resampled rates within the interval, in (0, 1). The default value is 0.95.
	Confidence float64
	// Seed selects the sequence of draws. The default value is 0, a seed like any other.
	Seed uint64
}

// Interval is an error rate, or a difference of two, with the bounds of its confidence interval. All are fractions.
type Interval struct {
	Estimate, Low, High float64
}

// Difference is the outcome of comparing a system with a base on the same utterances.
type Difference struct {
	Interval // of the rate of the base less that of the system: positive where the system is better
	// Improvement is the share of resamples in which the system is better, ties counted half: "probability of improvement" in
	// Bisani and Ney 2004.
	Improvement float64
}

// Interval returns the error rate over all utterances, one Counts each (Score.Words or Score.Characters), with its percentile
// interval. It fails with ErrNoUtterances.
func (b Bootstrap) Interval(counts []Counts) (Interval, error) {
	if len(counts) == 0 {
		return Interval{}, ErrNoUtterances
	}
	b = b.withDefaults()
	rates := make([]float64, b.Resamples)
	b.resample(len(counts), func(k int, drawn []int) {
		rates[k] = rateOf(counts, drawn)
	})
	return b.interval(rateOf(counts, inOrder(len(counts))), rates), nil
}

// Difference returns how much lower the error rate of system is than that of base, both scored on the same utterances in the same
// order. Each resample draws the same utterances for both: what is hard for one is hard for the other, and the paired difference
// varies far less than the rates do. It fails with ErrNoUtterances or ErrUnpaired.
func (b Bootstrap) Difference(base, system []Counts) (Difference, error) {
	if len(base) != len(system) {
		return Difference{}, fmt.Errorf("%w: %d and %d of them", ErrUnpaired, len(base), len(system))
	}
	if len(base) == 0 {
		return Difference{}, ErrNoUtterances
	}
	for i := range base {
		if n, m := base[i].Reference(), system[i].Reference(); n != m {
			return Difference{}, fmt.Errorf("%w: utterance %d has a reference of %d and of %d units", ErrUnpaired, i, n, m)
		}
	}
	b = b.withDefaults()
	differences := make([]float64, b.Resamples)
	improvement := 0.0
	b.resample(len(base), func(k int, drawn []int) {
		d := rateOf(base, drawn) - rateOf(system, drawn)
		differences[k] = d
		switch {
		case d > 0:
			improvement++
		case d == 0:
			improvement += 0.5
		}
	})
	all := inOrder(len(base))
	return Difference{
		Interval:    b.interval(rateOf(base, all)-rateOf(system, all), differences),
		Improvement: improvement / float64(b.Resamples),
	}, nil
}

// withDefaults returns b with its unset fields set. Values without a meaning are a programmer's fault and panic.
func (b Bootstrap) withDefaults() Bootstrap {
	if b.Resamples == 0 {
		b.Resamples = 10000
	}
	if b.Confidence == 0 {
		b.Confidence = 0.95
	}
	if b.Resamples < 0 || !(b.Confidence > 0 && b.Confidence < 1) {
		panic(fmt.Sprintf("eval: bootstrap of %d resamples at confidence %v", b.Resamples, b.Confidence))
	}
	return b
}

// resample calls visit with n indices drawn from n with replacement, for each resample k. The slice drawn is used again.
func (b Bootstrap) resample(n int, visit func(k int, drawn []int)) {
	draw := rand.New(rand.NewPCG(b.Seed, 0))
	drawn := make([]int, n)
	for k := range b.Resamples {
		for i := range drawn {
			drawn[i] = draw.IntN(n)
		}
		visit(k, drawn)
	}
}

// interval returns estimate with the (1-confidence)/2 and (1+confidence)/2 quantiles of values, which it sorts.
func (b Bootstrap) interval(estimate float64, values []float64) Interval {
	slices.Sort(values)
	return Interval{
		Estimate: estimate,
		Low:      quantile(values, (1-b.Confidence)/2),
		High:     quantile(values, (1+b.Confidence)/2),
	}
}

// quantile returns the q-quantile of sorted values, interpolated between neighbours (definition 7 of Hyndman and Fan 1996).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// rateOf returns the error rate over the utterances of the given indices.
func rateOf(counts []Counts, indices []int) float64 {
	var sum Counts
	for _, i := range indices {
		sum = sum.Plus(counts[i])
	}
	return sum.ErrorRate()
}

// inOrder returns 0, 1, …, n-1.
func inOrder(n int) []int {
	indices := make([]int, n)
	for i := range indices {
		indices[i] = i
	}
	return indices
}
