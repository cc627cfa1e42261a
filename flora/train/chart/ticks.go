package chart

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// tickCount is about how many ticks an axis has.
const tickCount = 5

// ticks marks an axis at multiples of 1, 2 or 5 times a power of ten.
type ticks struct{ percent bool }

// step returns the distance of ticks over a range.
func (ticks) step(from, to float64) float64 {
	raw := (to - from) / tickCount
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*power {
			return m * power
		}
	}
	return 10 * power
}

// round returns the range from tick to tick. A range that grows may have ticks of a larger step.
func (t ticks) round(from, to float64) (float64, float64) {
	for {
		step := t.step(from, to)
		const slack = 1e-9
		from, to = math.Floor(from/step+slack)*step, math.Ceil(to/step-slack)*step
		if t.step(from, to) <= step {
			return from, to
		}
	}
}

// Ticks returns the ticks of a range.
func (t ticks) Ticks(from, to float64) (all []plot.Tick) {
	step := t.step(from, to)
	const slack = 1e-9
	for n := math.Ceil(from/step - slack); n <= to/step+slack; n++ {
		all = append(all, plot.Tick{Value: n * step, Label: t.label(n*step, step)})
	}
	return all
}

// label returns a value with the digits that a step needs.
func (t ticks) label(v, step float64) string {
	if t.percent {
		v, step = 100*v, 100*step
	}
	if v == 0 {
		v = 0 // not -0
	}
	text := strconv.FormatFloat(v, 'f', max(0, -int(math.Floor(math.Log10(step)+1e-9))), 64)
	if step < 1e-4 {
		text = strconv.FormatFloat(v, 'g', 3, 64)
	}
	if t.percent {
		text += "%"
	}
	return text
}

// marks are ticks at given values.
type marks []float64

// Ticks returns those within the range.
func (m marks) Ticks(from, to float64) (all []plot.Tick) {
	for _, v := range m {
		if v >= from && v <= to {
			all = append(all, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', -1, 64)})
		}
	}
	return all
}

// decades returns marks at 1, 2 and 5 times powers of ten, or at these powers alone where they are many, from one at most from to one at
// least to.
func decades(from, to float64) marks {
	const many = 100 // times from
	factors := []float64{1, 2, 5}
	if to/from > many {
		factors = factors[:1]
	}
	var all marks
	for power := math.Floor(math.Log10(from)); ; power++ {
		for _, f := range factors {
			v, _ := strconv.ParseFloat(strconv.FormatFloat(f*math.Pow(10, power), 'g', 3, 64), 64) // so that 0.3 is not 0.30000000000000004
			if len(all) > 0 && v <= from {
				all = all[:0]
			}
			if all = append(all, v); v >= to && len(all) > 1 {
				return all
			}
		}
	}
}
