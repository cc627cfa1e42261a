package whisper

import (
	"math"

	"glossa/whisper/tensor"
)

// chooser finds tokens among the logits of a row, which are many: all passes over a row are the
// backend's kernels.
type chooser struct{ tensor.Chooser }

// blockLen is the number of logits that a search for one of them looks through at a time.
const blockLen = 512

// Choices are the logits that the token behind a hypothesis is chosen from, and log Σ exp of them.
type Choices struct {
	Logits []float32 // (NVocab)
	Total  float64
}

// LogProb returns the log probability of a token.
func (c Choices) LogProb(id int32) float32 { return c.Logits[id] - float32(c.Total) }

// block returns the i-th block of xs, which is empty behind the last.
func block(xs []float32, i int) []float32 {
	return xs[min(i*blockLen, len(xs)):min((i+1)*blockLen, len(xs))]
}

// argmax returns the first of the greatest.
func (c chooser) argmax(xs []float32) int32 {
	top, at := negInf, 0
	for i := 0; i*blockLen < len(xs); i++ {
		if m := c.Max(block(xs, i)); m > top {
			top, at = m, i
		}
	}
	for j, x := range block(xs, at) {
		if x == top {
			return int32(at*blockLen + j)
		}
	}
	return 0
}

// logSumExp returns log Σ exp(x), -Inf where there is nothing to sum, and NaN where the sum is none.
func (c chooser) logSumExp(xs []float32) float64 {
	const atOnce = 8 * blockLen // numbers that are summed in float32
	top := c.Max(xs)
	if top == negInf {
		return math.Inf(-1)
	}
	sum := 0.0
	for from := 0; from < len(xs); from += atOnce {
		sum += float64(c.SumExp(xs[from:min(from+atOnce, len(xs))], top))
	}
	return float64(top) + math.Log(sum)
}

// likeliest returns the n tokens of greatest logit, the greatest first, of equal ones the first;
// fewer where fewer are possible at all. It writes them to ids, which has room for n+1.
func (c chooser) likeliest(ids []int32, logits []float32, n int) []int32 {
	ids = ids[:0]
	for i := 0; i*blockLen < len(logits); i++ {
		b := block(logits, i)
		if m := c.Max(b); m == negInf || len(ids) == n && m <= logits[ids[n-1]] {
			continue
		}
		for j, l := range b {
			if l == negInf || len(ids) == n && l <= logits[ids[n-1]] {
				continue
			}
			at := len(ids)
			ids = append(ids, 0)
			for ; at > 0 && l > logits[ids[at-1]]; at-- {
				ids[at] = ids[at-1]
			}
			ids[at] = int32(i*blockLen + j)
			ids = ids[:min(len(ids), n)]
		}
	}
	return ids
}

// drawing is the memory of draw.
type drawing struct {
	weights [blockLen]float32 // of a block
	sums    []float64         // of the blocks, cumulative
}

// draw returns the token at which the sum of exp(logit/temperature) over those up to it reaches the
// part u in (0, 1] of all of it.
func (c chooser) draw(logits []float32, temperature, u float64, scratch *drawing) int32 {
	const steepest = 1e30 // the least difference of logits times it is above any exponent
	weights, sums := scratch.weights[:], &scratch.sums
	top, scale := c.Max(logits), float32(min(1/temperature, steepest))
	*sums = (*sums)[:0]
	sum := 0.0
	for i := 0; i*blockLen < len(logits); i++ {
		b := block(logits, i)
		sum += float64(c.Exp(weights[:len(b)], b, top, scale))
		*sums = append(*sums, sum)
	}
	u *= sum
	at := 0
	for (*sums)[at] < u {
		at++
	}
	b := block(logits, at)
	c.Exp(weights[:len(b)], b, top, scale)
	sum, last := 0.0, 0
	if at > 0 {
		sum = (*sums)[at-1]
	}
	for j, w := range weights[:len(b)] {
		if w > 0 {
			if sum, last = sum+float64(w), j; sum >= u {
				break
			}
		}
	}
	return int32(at*blockLen + last)
}

// softmax sets x to exp(x) / Σ exp(x).
func (c chooser) softmax(x []float32) {
	sum := c.Exp(x, x, c.Max(x), 1)
	for i := range x {
		x[i] /= sum
	}
}
