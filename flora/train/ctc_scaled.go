package train

import (
	"math"

	"glossa/whisper/tensor"
)

// scaledTolerance is how far, in parts, the probability of a text by the forward and by the backward pass may
// be apart for the scaled lattice to be believed.
const scaledTolerance = 1e-9

// scaled sets posterior and loss as logarithmic does, by probabilities that are scaled to a sum of one at
// each frame (Graves et al. 2006, §4.1): a tenth of the time. It reports false, and leaves them unspecified,
// where paths that matter have prefixes, or suffixes, so improbable beside others that they came out as
// zero: the two passes then miss different ones.
func (p *ctcPath) scaled(logProb tensor.Mat) bool {
	nFrame, n := logProb.Rows, len(p.label)
	emit := make([]float64, nFrame*n)
	forward := make([]float64, nFrame*n)
	scale := emissions(emit, logProb, p.label)
	forwardLog := scaledForward(forward, emit, p.label) + scale
	after, seen := make([]float64, n), make([]float64, n) // β of a frame, and times its emissions
	backwardLog := scale
	for t := nFrame - 1; t >= 0; t-- {
		if t == nFrame-1 {
			after[n-1], after[n-2] = 1, 1
		} else {
			backwardLog += scaledBefore(after, seen, p.label)
		}
		a, e := forward[t*n:][:n], emit[t*n:][:n]
		var sum float64
		for s, b := range after {
			seen[s] = b * e[s]
			sum += a[s] * b
		}
		if !(sum > 0) {
			return false
		}
		for s, b := range after {
			p.posterior[t*n+s] = float32(a[s] * b / sum)
		}
	}
	backwardLog += math.Log(seen[0] + seen[1])
	p.loss = -forwardLog
	return math.Abs(forwardLog-backwardLog) <= scaledTolerance*(1+math.Abs(forwardLog))
}

// emissions sets e[t][s] to the probability of the label of state s at frame t, over that of the likeliest
// label, and returns the logarithm of the product of these.
func emissions(e []float64, logProb tensor.Mat, label []int32) (scale float64) {
	n := len(label)
	for t := range logProb.Rows {
		row := logProb.Row(t)
		most := row[label[0]]
		for s := 1; s < n; s += 2 {
			most = max(most, row[label[s]])
		}
		e := e[t*n:][:n]
		blank := math.Exp(float64(row[label[0]] - most))
		for s := range e {
			e[s] = blank
			if s%2 == 1 {
				e[s] = math.Exp(float64(row[label[s]] - most))
			}
		}
		scale += float64(most)
	}
	return scale
}

// scaledForward sets a[t][s] to α_t(s) of the emissions e over Σ_s α_t(s), and returns the logarithm of the
// sum of the two states that a path may end in, unscaled.
func scaledForward(a, e []float64, label []int32) float64 {
	n := len(label)
	var scale float64
	for t := range len(a) / n {
		now, e := a[t*n:][:n], e[t*n:][:n]
		if t == 0 {
			now[0], now[1] = e[0], e[1]
		} else {
			before := a[(t-1)*n:][:n]
			now[0] = before[0] * e[0]
			now[1] = (before[1] + before[0]) * e[1]
			for s := 2; s < n; s++ {
				sum := before[s] + before[s-1]
				if skips(label, s) {
					sum += before[s-2]
				}
				now[s] = sum * e[s]
			}
		}
		scale += normalize(now)
	}
	last := a[len(a)-n:]
	return scale + math.Log(last[n-1]+last[n-2])
}

// scaledBefore sets b to β of the frame before, over Σ_s of it, from seen, which is β of a frame times its
// emissions, and returns the logarithm of that sum.
func scaledBefore(b, seen []float64, label []int32) float64 {
	n := len(label)
	for s := range b {
		sum := seen[s]
		if s+1 < n {
			sum += seen[s+1]
		}
		if s+2 < n && skips(label, s+2) {
			sum += seen[s+2]
		}
		b[s] = sum
	}
	return normalize(b)
}

// normalize divides x by its sum, and returns the sum's logarithm.
func normalize(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	inverse := 1 / sum
	for i := range x {
		x[i] *= inverse
	}
	return math.Log(sum)
}
