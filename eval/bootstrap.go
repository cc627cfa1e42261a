package eval

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// sums are what a resample adds up, for each group of utterances that is drawn as a whole: the errors and the units of the references,
// of two texts. The two are the words and the characters of one system, or one measure of a base and of a system.
type sums [4]int64

func (s *sums) add(t sums) {
	for i := range s {
		s[i] += t[i]
	}
}

// first returns the rate of the first text, second of the second (see Counts.ErrorRate).
func (s sums) first() float64  { return float64(s[0]) / float64(max(1, s[1])) }
func (s sums) second() float64 { return float64(s[2]) / float64(max(1, s[3])) }

// difference returns how much lower the second rate is.
func (s sums) difference() float64 { return s.first() - s.second() }

// ofCounts returns the sums of two counts.
func ofCounts(first, second Counts) sums {
	return sums{int64(first.Edits()), int64(first.Reference()), int64(second.Edits()), int64(second.Reference())}
}

// chunks is the number of sequences of draws that the resamples are made of. It is fixed, so that the resamples do not depend on the
// number of processors.
const chunks = 16

// resampled returns Resamples sums of len(groups) groups drawn with replacement. Another stream is another, independent sequence of
// draws. Time is O(Resamples · groups), of which the groups are drawn by 32 random bits each: one of n groups is drawn too often by a
// share of n/2³² at most.
func (b Bootstrap) resampled(groups []sums, stream uint64) []sums {
	out := make([]sums, b.Resamples)
	next := make(chan int, chunks)
	for c := range chunks {
		next <- c
	}
	close(next)
	var done sync.WaitGroup
	for range min(chunks, runtime.GOMAXPROCS(0)) {
		done.Go(func() {
			for c := range next {
				draw := rand.NewPCG(b.Seed, stream*chunks+uint64(c))
				for k := c * len(out) / chunks; k < (c+1)*len(out)/chunks; k++ {
					out[k] = drawn(draw, groups)
				}
			}
		})
	}
	done.Wait()
	return out
}

// drawn returns the sum of len(groups) groups drawn with replacement.
func drawn(draw *rand.PCG, groups []sums) (total sums) {
	n := uint64(len(groups))
	for range len(groups) / 2 {
		bits := draw.Uint64()
		a, b := &groups[bits>>32*n>>32], &groups[bits&math.MaxUint32*n>>32]
		total[0] += a[0] + b[0]
		total[1] += a[1] + b[1]
		total[2] += a[2] + b[2]
		total[3] += a[3] + b[3]
	}
	if n%2 == 1 {
		total.add(groups[draw.Uint64()>>32*n>>32])
	}
	return total
}

// interval returns estimate with the bounds that values, of resamples of the given number of groups in as many strata, give it. It sorts
// values. See Bootstrap for the method.
func (b Bootstrap) interval(estimate float64, values []float64, groups, strata int) Interval {
	slices.Sort(values)
	tail := b.tail(groups, strata)
	return Interval{Estimate: estimate, Low: quantile(values, tail), High: quantile(values, 1-tail)}
}

// tail returns the share of resamples that lies beyond either bound: Φ(√(n/(n-1))·t) for the quantile t of Student's distribution of n-1
// degrees of freedom at (1-Confidence)/2, where n groups were drawn. It tends to (1-Confidence)/2.
func (b Bootstrap) tail(groups, strata int) float64 {
	freedom := groups - strata
	if freedom < 1 {
		return (1 - b.Confidence) / 2
	}
	n := float64(freedom + 1)
	return normalCDF(math.Sqrt(n/(n-1)) * studentQuantile((1-b.Confidence)/2, freedom))
}

// quantile returns the q-quantile of sorted values, interpolated between neighbours (definition 7 of Hyndman and Fan 1996).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// normalCDF returns Φ(z), the distribution function of the standard normal law.
func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// studentQuantile returns the p-quantile of Student's t distribution, p in (0, 1/2), by bisection of its distribution function. Beyond
// a thousand degrees of freedom it returns that of the normal law, which differs by less than 0.003.
func studentQuantile(p float64, freedom int) float64 {
	if freedom > 1000 {
		return math.Sqrt2 * math.Erfinv(2*p-1)
	}
	low, high := 0.0, 1.0 // of the angle atan(|t|/√freedom), as a share of π/2
	for range 60 {
		middle := (low + high) / 2
		if (1-studentWithin(middle*math.Pi/2, freedom))/2 > p {
			low = middle
		} else {
			high = middle
		}
	}
	return -math.Sqrt(float64(freedom)) * math.Tan(low*math.Pi/2)
}

// studentWithin returns P(|T| < t) of Student's t distribution for θ = atan(t/√freedom) (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
func studentWithin(theta float64, freedom int) float64 {
	cos := math.Cos(theta)
	term, sum := 1.0, 0.0
	if freedom%2 == 1 {
		term = cos
	}
	for k := 2 - freedom%2; k <= freedom-freedom%2; k += 2 {
		// The terms are those of powers k-2 and, for odd numbers of degrees, k-1 of the cosine.
		sum += term
		if freedom%2 == 1 {
			term *= cos * cos * float64(k+1) / float64(k+2)
		} else {
			term *= cos * cos * float64(k-1) / float64(k)
		}
	}
	if freedom%2 == 0 {
		return math.Sin(theta) * sum
	}
	return 2 / math.Pi * (theta + math.Sin(theta)*sum)
}
