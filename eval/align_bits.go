package eval

import "math"

// bitTable is a band of the table of Levenshtein's distances of two texts as differences between neighbouring cells, 64 rows in a word
// (Myers 1999; Hyyrö 2003, "A bit-vector algorithm for computing Levenshtein and Damerau edit distances"). A strip is 64 rows, those
// of 64 units of the reference, from the first column of the band to the last. Of all strips the differences along their last rows
// are kept, two bits each.
//
// What stands outside of the band is taken to grow by one with each step from it. No cell then holds less than the true distance, and
// those that a least path within the band passes hold it.
type bitTable struct {
	ref, hyp []int32
	low      int // least hypothesis less reference position of the band
	high     int // the most
	masks    []uint64
	edges    []bitEdge   // by strip
	columns  []bitColumn // of the strip at work, its first and those behind it
}

// bitEdge is the last row of a strip: where a cell is one more, and one less, than its left neighbour, by column less first+1.
type bitEdge struct {
	first, last int // columns
	more, less  []uint64
}

// at returns the difference of the cell of a column to its left neighbour, as the two bits.
func (e *bitEdge) at(column int) (more, less uint64) {
	if column > e.last {
		return 1, 0
	}
	i := column - e.first - 1
	return e.more[i/64] >> (i % 64) & 1, e.less[i/64] >> (i % 64) & 1
}

// bitColumn holds, for the 64 rows of a strip, in which a cell is one more or one less than the cell above, and in which it equals the
// cell above the left neighbour.
type bitColumn struct{ more, less, diagonal uint64 }

// newBitTable returns the table of the band of a slack (see weights.lastRow).
func newBitTable(ref, hyp []int32, slack int) *bitTable {
	units := int32(0)
	for _, text := range [][]int32{ref, hyp} {
		for _, u := range text {
			units = max(units, u+1)
		}
	}
	skew := len(hyp) - len(ref)
	return &bitTable{
		ref: ref, hyp: hyp, low: min(0, skew) - slack, high: max(0, skew) + slack,
		masks: make([]uint64, units), edges: make([]bitEdge, (len(ref)+63)/64),
	}
}

// maxEdges bounds the bytes that a bitTable keeps.
const maxEdges = 64 << 20

// bitTableBytes returns the most bytes that the edges of a band keep.
func bitTableBytes(ref, hyp, slack int) int {
	width := min(hyp, max(hyp-ref, ref-hyp)+2*slack+64)
	return (ref/64 + 1) * (width/64 + 1) * 16
}

// strip computes the columns of strip k, and its edge, from the edge above.
func (t *bitTable) strip(k int) {
	units := t.ref[64*k : min(64*k+64, len(t.ref))]
	for row, u := range units {
		t.masks[u] |= 1 << row
	}
	rows := len(units) - 1
	first, last := max(0, 64*k+t.low), min(len(t.hyp), 64*k+64+t.high)
	width := last - first
	edge := bitEdge{first: first, last: last, more: make([]uint64, width/64+1), less: make([]uint64, width/64+1)}
	above := &bitEdge{first: first, last: first}
	if k > 0 {
		above = &t.edges[k-1]
	}
	more, less := ^uint64(0), uint64(0)
	t.columns = append(t.columns[:0], bitColumn{more: more})
	for i, u := range t.hyp[first:last] {
		aboveMore, aboveLess := above.at(first + i + 1)
		equal := t.masks[u] | aboveLess
		diagonal := ((equal & more) + more) ^ more | equal | less
		rightMore, rightLess := less|^(diagonal|more), more&diagonal
		edge.more[i/64] |= rightMore >> rows & 1 << (i % 64)
		edge.less[i/64] |= rightLess >> rows & 1 << (i % 64)
		rightMore, rightLess = rightMore<<1|aboveMore, rightLess<<1|aboveLess
		more, less = rightLess|^(diagonal|rightMore), rightMore&diagonal
		t.columns = append(t.columns, bitColumn{more, less, diagonal})
	}
	for _, u := range units {
		t.masks[u] = 0
	}
	t.edges[k] = edge
}

// edits returns the least number of edits. It is that of all paths if none that leaves the band can be as short.
func (t *bitTable) edits() int {
	sum, at := 0, 0 // the distance of the cell in column at of the last row so far
	for k := range t.edges {
		t.strip(k)
		next := len(t.hyp)
		if k+1 < len(t.edges) {
			next = max(0, 64*(k+1)+t.low)
		}
		for sum += min(64, len(t.ref)-64*k); at < next; at++ {
			more, less := t.edges[k].at(at + 1)
			sum += int(more) - int(less)
		}
	}
	return sum
}

// substitutions returns, after edits, the least number of substitutions among the shortest paths. Back from the last cell it goes
// through all cells that such a path passes, row by row: few where the texts are alike.
func (t *bitTable) substitutions() int {
	const none = math.MaxInt32
	// By cell of a row: the least substitutions from there to the end, none where no path passes.
	row, above := make([]int32, len(t.hyp)+1), make([]int32, len(t.hyp)+1)
	for j := range row {
		row[j], above[j] = none, none
	}
	first, last := len(t.hyp), len(t.hyp) // of the cells that paths pass
	row[last] = 0
	for i := len(t.ref) - 1; i >= 0; i-- {
		if i%64 == 63 && i/64+1 < len(t.edges) {
			t.strip(i / 64)
		}
		base, bit := t.edges[i/64].first, i%64
		highest := 0
		for j := last; j >= first; j-- {
			so := row[j]
			if so == none {
				continue
			}
			row[j] = none
			column := &t.columns[j-base]
			if column.more>>bit&1 == 1 { // a deletion
				above[j] = min(above[j], so)
				highest = max(highest, j)
			}
			if j == base {
				continue
			}
			left, diagonal := &t.columns[j-base-1], column.diagonal>>bit&1
			if t.ref[i] == t.hyp[j-1] {
				above[j-1] = min(above[j-1], so)
				highest = max(highest, j-1)
			} else if diagonal == 0 {
				above[j-1] = min(above[j-1], so+1)
				highest = max(highest, j-1)
			}
			// The cell is one more than its left neighbour: an insertion.
			leftMore, leftLess := left.more>>bit&1, left.less>>bit&1
			if diagonal == 0 && leftMore|leftLess == 0 || diagonal&leftLess == 1 {
				row[j-1] = min(row[j-1], so)
				first = min(first, j-1)
			}
		}
		row, above = above, row
		first, last = max(0, first-1), highest
	}
	least := int32(none)
	for _, so := range row[first : last+1] {
		least = min(least, so)
	}
	return int(least)
}
