package eval

import (
	"maps"
	"math"
	"slices"
)

// sketchError is the greatest relative error of a quantile that a sketch tells: 0.5%.
const sketchError = 0.005

// sketch counts positive values in classes whose bounds grow by the factor (1+ε)/(1-ε), so that its quantiles are off by sketchError at
// most however many values there are (DDSketch: Masson, Rim and Lee 2019). Values from a microsecond to a day fall in some 2500
// classes, of which those in use take memory. The zero value has seen nothing.
type sketch struct {
	classes map[int]int
	n       int
}

var logGrowth = math.Log((1 + sketchError) / (1 - sketchError))

// add counts a value. Values that are not positive and finite count as unknown.
func (s *sketch) add(value float64) {
	if !(value > 0) || math.IsInf(value, 1) {
		return
	}
	if s.classes == nil {
		s.classes = make(map[int]int)
	}
	s.classes[int(math.Ceil(math.Log(value)/logGrowth))]++
	s.n++
}

// plus adds the values of other.
func (s *sketch) plus(other sketch) {
	if other.n > 0 && s.classes == nil {
		s.classes = make(map[int]int)
	}
	for class, n := range other.classes {
		s.classes[class] += n
	}
	s.n += other.n
}

// quantile returns the least value that a share q of values does not exceed (nearest rank), within sketchError.
func (s sketch) quantile(q float64) float64 {
	rank := max(1, int(math.Ceil(q*float64(s.n))))
	for _, class := range slices.Sorted(maps.Keys(s.classes)) {
		if rank -= s.classes[class]; rank <= 0 {
			// The class holds (γ^(class-1), γ^class]; this value is as far from either bound, relative to it.
			growth := math.Exp(logGrowth)
			return 2 * math.Exp(float64(class)*logGrowth) / (growth + 1)
		}
	}
	return 0
}

// latency returns the percentiles, nil where nothing was seen.
func (s sketch) latency() *Latency {
	if s.n == 0 {
		return nil
	}
	return &Latency{P50: s.quantile(0.50), P95: s.quantile(0.95), P99: s.quantile(0.99)}
}
