package eval

// Count returns the Counts of Align(ref, hyp) without the path, in O(n·d) time for d edits: only the band of the table that a path of
// so few edits can reach is computed (Ukkonen 1985), where it is wide in bits (see bitTable). The memory is O(nHyp) plus at most
// maxEdges bytes.
func Count[T comparable](ref, hyp []T) Counts {
	r, h := intern(ref, hyp)
	prefix, suffix := commonEnds(r, h)
	r, h = r[prefix:len(r)-suffix], h[prefix:len(h)-suffix]

	edits, substitutions := distance(r, h)
	// The counts satisfy H+S+D = nRef, H+S+I = nHyp and S+D+I = edits.
	deletions := (edits - substitutions + len(r) - len(h)) / 2
	return Counts{
		Hits:          prefix + suffix + len(r) - substitutions - deletions,
		Substitutions: substitutions,
		Deletions:     deletions,
		Insertions:    edits - substitutions - deletions,
	}
}

// firstSlack is how far beyond the corner diagonals the first band reaches. It costs little, and most utterances need no second.
const firstSlack = 32

// distance returns the least number of edits from ref to hyp and the least number of substitutions among paths of so many edits.
func distance(ref, hyp []int32) (edits, substitutions int) {
	if len(ref) == 0 || len(hyp) == 0 {
		return len(ref) + len(hyp), 0
	}
	w := newWeights(ref, hyp)
	skew := max(len(hyp)-len(ref), len(ref)-len(hyp))
	row := make([]int64, len(hyp)+1)
	for slack := firstSlack; ; {
		var bits *bitTable
		if skew+2*slack > 4*64 && bitTableBytes(len(ref), len(hyp), slack) <= maxEdges {
			bits = newBitTable(ref, hyp, slack)
			edits = bits.edits()
		} else {
			w.lastRow(row, ref, hyp, slack)
			edits, substitutions = w.split(row[len(hyp)])
		}
		// A path that leaves the band strays slack+1 from a corner diagonal and returns: |skew| + 2(slack+1) edits at least.
		enough := (edits - skew) / 2
		switch {
		case slack < enough:
			slack = min(4*slack, enough)
		case bits != nil:
			return edits, bits.substitutions()
		default:
			return edits, substitutions
		}
	}
}

// weights are costs whose order is that of (edits, substitutions): a path costs edits·edit + substitutions, and edit exceeds any
// number of substitutions.
type weights struct{ edit int64 }

func newWeights(ref, hyp []int32) weights {
	return weights{edit: int64(min(len(ref), len(hyp))) + 1}
}

// split returns the two numbers that a cost is made of.
func (w weights) split(cost int64) (edits, substitutions int) {
	return int(cost / w.edit), int(cost % w.edit)
}

// lastRow sets row[j] to the least cost from all of ref to hyp[:j] over paths whose cells (i, j) keep
// min(0, skew)-slack <= j-i <= max(0, skew)+slack, skew = len(hyp)-len(ref). The row has len(hyp)+1 cells; those outside the band
// hold no meaningful value. A slack of min(len(ref), len(hyp)) is no restriction.
func (w weights) lastRow(row []int64, ref, hyp []int32, slack int) {
	const unreachable = int64(1) << 62
	skew := len(hyp) - len(ref)
	low, high := min(0, skew)-slack, max(0, skew)+slack
	for j := range row {
		row[j] = int64(j) * w.edit
		if j > high {
			row[j] = unreachable
		}
	}
	for i, unit := range ref {
		first, last := max(i+1+low, 1), min(i+1+high, len(hyp))
		diagonal, left := row[first-1], unreachable
		if i+1+low <= 0 {
			left = int64(i+1) * w.edit
			row[0] = left
		}
		cells := row[first : last+1]
		for k, other := range hyp[first-1 : last] {
			cost := diagonal
			if other != unit {
				cost += w.edit + 1
			}
			diagonal = cells[k]
			left = min(cost, min(diagonal, left)+w.edit)
			cells[k] = left
		}
	}
}

// commonEnds returns the lengths of the common prefix and, in what remains, of the common suffix. Some least-cost path hits them all.
func commonEnds(ref, hyp []int32) (prefix, suffix int) {
	n := min(len(ref), len(hyp))
	for prefix < n && ref[prefix] == hyp[prefix] {
		prefix++
	}
	for suffix < n-prefix && ref[len(ref)-1-suffix] == hyp[len(hyp)-1-suffix] {
		suffix++
	}
	return prefix, suffix
}
