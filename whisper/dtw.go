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

// medianFilter sets y[t] to the median of the medianWidth numbers around x[t], x continued by its
// mirror image at both ends (upstream median_filter). NaN is above every number. An x that is not
// longer than half the width is copied.
func medianFilter(y, x []float32) {
	const half = medianWidth / 2
	last := len(x) - 1
	if last < half {
		copy(y, x)
		return
	}
	var window [medianWidth]float32
	for t := range x {
		for k := range window {
			i := t + k - half
			i = max(i, -i)
			v := x[min(i, 2*last-i)]
			for ; k > 0 && greater(window[k-1], v); k-- {
				window[k] = window[k-1]
			}
			window[k] = v
		}
		y[t] = window[half]
	}
}

// greater orders numbers as torch.sort does: NaN last.
func greater(a, b float32) bool { return a > b || a != a && b == b }
