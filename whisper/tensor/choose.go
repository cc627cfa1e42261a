package tensor

import "math"

// Chooser are the kernels by which tokens are chosen from rows of logits, which are long and in host
// memory. A backend may implement it; elsewhere [Ops] takes [PlainChooser]. A result depends on the
// numbers alone, whichever goroutine computes it.
type Chooser interface {
	// Max returns the greatest of x, -Inf of no numbers, and any value where one is NaN.
	Max(x []float32) float32

	// SumExp returns Σ exp(x - shift) for x ≤ shift, all finite but for x of -Inf. What is below
	// the normal numbers may be taken for zero.
	SumExp(x []float32, shift float32) float32

	// Exp computes y = exp(scale (x - shift)) under the same conditions, for a scale above 0, and
	// returns Σ y. y may be x.
	Exp(y, x []float32, shift, scale float32) (sum float32)

	// Each calls f(0) … f(n-1), several at once where that pays, and returns when all have returned.
	Each(n int, f func(i int))
}

// PlainChooser is the reference: the equations as obvious loops in float64.
type PlainChooser struct{}

// Max returns max x.
func (PlainChooser) Max(x []float32) float32 {
	most := float32(math.Inf(-1))
	for _, v := range x {
		if v > most {
			most = v
		}
	}
	return most
}

// SumExp returns Σ exp(x - shift).
func (PlainChooser) SumExp(x []float32, shift float32) float32 {
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(shift))
	}
	return float32(sum)
}

// Exp computes y = exp(scale (x - shift)).
func (PlainChooser) Exp(y, x []float32, shift, scale float32) (sum float32) {
	var total float64
	for i, v := range x {
		e := math.Exp(float64(scale) * (float64(v) - float64(shift)))
		y[i] = float32(e)
		total += e
	}
	return float32(total)
}

// Each calls f in order.
func (PlainChooser) Each(n int, f func(i int)) {
	for i := range n {
		f(i)
	}
}
