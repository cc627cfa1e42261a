package whisper

import (
	"math"
	"slices"
)

// dtw returns the monotonic path of the greatest total match through a matrix (nRow, nCol), the
// row and column of each of its steps, by dynamic time warping (Sakoe & Chiba 1978; upstream
// dtw_cpu over the negated matrix, ties and NaN included). A column of -1 lies before the first:
// a NaN leads there, and so does every row where there are no columns.
func dtw(match []float32, nRow, nCol int) (rows, cols []int) {
	const (
		diagonal = iota
		up
		left
	)
	width := nCol + 1 // a border before the first row and column, as upstream's
	trace := make([]uint8, (nRow+1)*width)
	above, cost := make([]float64, width), make([]float64, width)
	for j := range above {
		above[j], trace[j] = math.Inf(1), left
	}
	above[0] = 0
	for i := 1; i <= nRow; i++ {
		x, from := match[(i-1)*nCol:i*nCol], trace[i*width:(i+1)*width]
		cost[0], from[0] = math.Inf(1), up
		for j := 1; j < width; j++ {
			c0, c1, c2 := above[j-1], above[j], cost[j-1]
			c, step := c2, uint8(left) // upstream's choice even where the other two tie below it
			if c0 < c1 && c0 < c2 {
				c, step = c0, diagonal
			} else if c1 < c0 && c1 < c2 {
				c, step = c1, up
			}
			cost[j], from[j] = c-float64(x[j-1]), step
		}
		above, cost = cost, above
	}
	i, j := nRow, nCol
	for i > 0 || j > 0 {
		rows, cols = append(rows, i-1), append(cols, j-1)
		switch trace[i*width+j] {
		case diagonal:
			i, j = i-1, j-1
		case up:
			i--
		default:
			j--
		}
	}
	slices.Reverse(rows)
	slices.Reverse(cols)
	return rows, cols
}

// medianWidth is upstream's medfilt_width.
const medianWidth = 7

// medianFilter replaces each number of x by the median of the medianWidth numbers around it, x
// continued by its mirror image at both ends (upstream median_filter). NaN is above every number.
// An x that is not longer than half the width stays as it is.
func medianFilter(x []float32) {
	const half = medianWidth / 2
	last := len(x) - 1
	if last < half {
		return
	}
	keys := make([]int32, len(x)+2*half)
	for i := range keys {
		from := max(i-half, half-i)
		keys[i] = sortKey(x[min(from, 2*last-from)])
	}
	for t := range x {
		x[t] = fromSortKey(median([medianWidth]int32(keys[t:])))
	}
}

// median returns the median by the exchanges of a sorting network (Devillard 1998, "Fast median
// search", opt_med7), less those whose result is not used.
func median(k [medianWidth]int32) int32 {
	a, b, c, d, e, f, g := k[0], k[1], k[2], k[3], k[4], k[5], k[6]
	a, f = min(a, f), max(a, f)
	a, d = min(a, d), max(a, d)
	b, g = min(b, g), max(b, g)
	c, e = min(c, e), max(c, e)
	b = max(a, b)
	d, f = min(d, f), max(d, f)
	c, g = min(c, g), max(c, g)
	d = max(c, d)
	d, e = min(d, g), min(e, f)
	b, e = min(b, e), max(b, e)
	return min(max(b, d), e)
}

// sortKey maps numbers to integers of the same order, and NaN above them all.
func sortKey(v float32) int32 {
	if v != v {
		return math.MaxInt32
	}
	return flipNegative(int32(math.Float32bits(v)))
}

func fromSortKey(k int32) float32 { return math.Float32frombits(uint32(flipNegative(k))) }

// flipNegative inverts the magnitude of what is negative: its own inverse.
func flipNegative(k int32) int32 { return k ^ k>>31&math.MaxInt32 }
