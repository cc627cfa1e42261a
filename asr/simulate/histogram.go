package simulate

import "math"

// histogram counts durations in buckets whose bounds grow by a constant ratio, so that millions take no memory and a quantile is
// exact to a part in 400.
type histogram struct {
	counts []int64 // bucket i is above least·ratio^i
	zeros  int64   // at most least
	n      int64
	sum    float64
	most   float64
}

const (
	histogramLeast = 1e-6 // seconds
	histogramRatio = 1.005
)

var logRatio = math.Log(histogramRatio)

func (h *histogram) add(seconds float64) {
	h.n++
	h.sum += seconds
	h.most = max(h.most, seconds)
	if seconds <= histogramLeast {
		h.zeros++
		return
	}
	i := int(math.Log(seconds/histogramLeast) / logRatio)
	for len(h.counts) <= i {
		h.counts = append(h.counts, 0)
	}
	h.counts[i]++
}

// quantile returns the duration that a fraction q is not above.
func (h *histogram) quantile(q float64) float64 {
	rank := int64(math.Ceil(q * float64(h.n)))
	if rank <= h.zeros {
		return 0
	}
	seen := h.zeros
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(h.most, histogramLeast*math.Exp(logRatio*(float64(i)+0.5)))
		}
	}
	return h.most
}

func (h *histogram) mean() float64 {
	if h.n == 0 {
		return 0
	}
	return h.sum / float64(h.n)
}

// addAll adds what another has counted.
func (h *histogram) addAll(o *histogram) {
	h.n, h.sum, h.most, h.zeros = h.n+o.n, h.sum+o.sum, max(h.most, o.most), h.zeros+o.zeros
	for len(h.counts) < len(o.counts) {
		h.counts = append(h.counts, 0)
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
}
