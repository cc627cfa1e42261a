package tensor

import "math"

var negInf = float32(math.Inf(-1))

// blockLen is the number of logits that a search for one of them looks through at a time.
const blockLen = 512

// block returns the i-th block of x, which is empty behind the last.
func block(x []float32, i int) []float32 {
	return x[min(i*blockLen, len(x)):min((i+1)*blockLen, len(x))]
}

// LogSumExp returns log Σ exp(x), -Inf where there is nothing to sum, and NaN where the sum is none.
func LogSumExp(c Chooser, x []float32) float64 {
	const atOnce = 8 * blockLen // numbers that are summed in float32
	top := c.Max(x)
	if top == negInf {
		return math.Inf(-1)
	}
	sum := 0.0
	for from := 0; from < len(x); from += atOnce {
		sum += float64(c.SumExp(x[from:min(from+atOnce, len(x))], top))
	}
	return float64(top) + math.Log(sum)
}

// likeliest returns the n tokens of greatest logit, the greatest first, of equal ones the first;
// fewer where fewer are possible at all. It writes them to ids, which has room for n+1.
func likeliest(c Chooser, ids []int32, logits []float32, n int) []int32 {
	ids = ids[:0]
	if n == 0 {
		return ids
	}
	least := negInf // of the n
	for i := 0; i*blockLen < len(logits); i++ {
		b := block(logits, i)
		if c.Max(b) <= least {
			continue
		}
		for j, l := range b {
			if l <= least {
				continue
			}
			at := len(ids)
			ids = append(ids, 0)
			for ; at > 0 && l > logits[ids[at-1]]; at-- {
				ids[at] = ids[at-1]
			}
			ids[at] = int32(i*blockLen + j)
			if len(ids) >= n {
				ids = ids[:n]
				least = logits[ids[n-1]]
			}
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
func (d *drawing) draw(c Chooser, logits []float32, temperature, u float64) int32 {
	top, scale := c.Max(logits), Steepness(temperature)
	d.sums = d.sums[:0]
	sum := 0.0
	for i := 0; i*blockLen < len(logits); i++ {
		b := block(logits, i)
		sum += float64(c.Exp(d.weights[:len(b)], b, top, scale))
		d.sums = append(d.sums, sum)
	}
	u *= sum
	at := 0
	for d.sums[at] < u {
		at++
	}
	b := block(logits, at)
	c.Exp(d.weights[:len(b)], b, top, scale)
	sum, last := 0.0, 0
	if at > 0 {
		sum = d.sums[at-1]
	}
	for j, w := range d.weights[:len(b)] {
		if w > 0 {
			if sum, last = sum+float64(w), j; sum >= u {
				break
			}
		}
	}
	return int32(at*blockLen + last)
}

// Steepness returns 1/temperature as a finite number, by which [Choice.Draws] multiplies differences
// of logits.
func Steepness(temperature float64) float32 {
	const most = 1e30 // the least difference of logits times it is above any exponent
	return float32(min(1/temperature, most))
}
