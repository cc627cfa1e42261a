package ref

import (
	"math"
	"slices"

	"glossa/whisper/tensor"
)

// Picker is the reference of choosing tokens from logits in host memory. Beside a backend in a struct, it makes one that
// is a [tensor.Picker].
type Picker struct{}

var _ tensor.Picker = Picker{}

// Pick answers each choice.
func (Picker) Pick(logits tensor.Mat, choices []tensor.Choice) error {
	for i := range choices {
		pick(logits.Row(i), &choices[i])
	}
	return nil
}

func pick(row []float32, c *tensor.Choice) {
	ids := possible(row, c)
	c.Total = logSumExpOf(row, ids)
	c.IDs, c.Logits, c.NamedLogits = nil, nil, logitsOf(row, c.Named)
	if !c.Answered() {
		return
	}
	for range c.Likeliest {
		if id, ok := likeliest(row, ids, c.IDs); ok {
			c.IDs = append(c.IDs, id)
		}
	}
	for _, u := range c.Draws {
		c.IDs = append(c.IDs, draw(row, ids, c.Temperature, u))
	}
	c.Logits = logitsOf(row, c.IDs)
}

// possible returns the tokens that are not excluded, in order.
func possible(row []float32, c *tensor.Choice) []int32 {
	excluded := make([]bool, len(row))
	for _, id := range c.Suppressed {
		excluded[id] = true
	}
	for _, r := range c.Excluded {
		for id := r.From; id < r.To; id++ {
			excluded[id] = true
		}
	}
	var text, stamps []int32
	for i := range row {
		id := int32(i)
		switch {
		case excluded[id]:
		case c.Timestamps > 0 && id >= c.Timestamps:
			stamps = append(stamps, id)
		default:
			text = append(text, id)
		}
	}
	if logSumExpOf(row, stamps) > float64(greatest(row, text)) {
		return stamps
	}
	return append(text, stamps...)
}

// likeliest returns the first of ids with the greatest logit, other than those taken, where one is above -Inf.
func likeliest(row []float32, ids, taken []int32) (id int32, ok bool) {
	most := float32(math.Inf(-1))
	for _, i := range ids {
		if row[i] > most && !slices.Contains(taken, i) {
			id, most, ok = i, row[i], true
		}
	}
	return id, ok
}

// greatest returns the greatest logit of ids, -Inf of none, and NaN where one is NaN.
func greatest(row []float32, ids []int32) float32 {
	most := float32(math.Inf(-1))
	for _, id := range ids {
		most = max(most, row[id])
	}
	return most
}

// logSumExpOf returns log Σ exp of the logits of ids.
func logSumExpOf(row []float32, ids []int32) float64 {
	x := make([]float64, len(ids))
	for i, id := range ids {
		x[i] = float64(row[id])
	}
	return logSumExp(x)
}

// draw returns the first of ids at which the sum of exp(logit/temperature) reaches the part u of all.
func draw(row []float32, ids []int32, temperature, u float64) int32 {
	top, sums := float64(greatest(row, ids)), make([]float64, len(ids))
	sum := 0.0
	for i, id := range ids {
		sum += math.Exp(float64(tensor.Steepness(temperature)) * (float64(row[id]) - top))
		sums[i] = sum
	}
	return ids[slices.IndexFunc(sums, func(s float64) bool { return s >= u*sum })]
}

func logitsOf(row []float32, ids []int32) []float32 {
	logits := make([]float32, len(ids))
	for i, id := range ids {
		logits[i] = row[id]
	}
	return logits
}
