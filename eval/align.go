package eval

import "slices"

// Op is one step of an alignment.
type Op uint8

// The steps of an alignment. Hit and Substitution consume a unit of both texts, Deletion one of the reference, Insertion one of the
// hypothesis.
const (
	Hit Op = iota
	Substitution
	Deletion
	Insertion
)

// String returns the step's letter in sclite's alignments: C for correct, S, D or I.
func (op Op) String() string { return "CSDI"[op : op+1] }

// Alignment is a least-edit path from a reference to a hypothesis.
type Alignment struct {
	Counts
	Ops []Op // in the order of the texts
}

// maxTable bounds the cells (of one byte) of the table that a path is traced in; larger problems are halved first.
const maxTable = 1 << 20

// Align returns the alignment of hyp to ref that has the fewest edits and, among those, the fewest substitutions (hence the most
// hits). The units are words ([]string) or characters ([]rune).
//
// The first rule is Levenshtein's distance, the one that jiwer and Morris et al. 2004 score by. The second makes the counts a function
// of the texts alone: the distance leaves open whether two substitutions are to be read as deletion, hit and insertion. sclite weighs
// edits 4:3:3 and may take a path of more edits for more hits. Among paths equal in both, the one chosen is fixed but arbitrary.
//
// It takes O(nRef·nHyp) time and, by Hirschberg 1975, O(nRef + nHyp) memory plus at most maxTable bytes.
func Align[T comparable](ref, hyp []T) Alignment {
	r, h := intern(ref, hyp)
	prefix, suffix := commonEnds(r, h)
	t := tracer{weights: newWeights(r, h), ops: make([]Op, 0, max(len(r), len(h)))}
	t.hits(prefix)
	t.align(r[prefix:len(r)-suffix], h[prefix:len(h)-suffix])
	t.hits(suffix)

	a := Alignment{Ops: t.ops}
	for _, op := range t.ops {
		switch op {
		case Hit:
			a.Hits++
		case Substitution:
			a.Substitutions++
		case Deletion:
			a.Deletions++
		case Insertion:
			a.Insertions++
		}
	}
	return a
}

// Count returns the Counts of Align(ref, hyp) without the path, in O(nHyp) memory and O(n·d) time for d edits: only the band of
// the table that a path of so few edits can reach is computed (Ukkonen 1985).
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
	w := newWeights(ref, hyp)
	skew := len(hyp) - len(ref)
	if skew < 0 {
		skew = -skew
	}
	row := make([]int64, len(hyp)+1)
	for slack := firstSlack; ; {
		w.lastRow(row, ref, hyp, slack)
		edits, substitutions = w.split(row[len(hyp)])
		// A path that leaves the band strays slack+1 from a corner diagonal and returns: |skew| + 2(slack+1) edits at least.
		enough := (edits - skew) / 2
		if slack >= enough {
			return edits, substitutions
		}
		slack = min(4*slack, enough)
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

// tracer collects the steps of an alignment from its start to its end.
type tracer struct {
	weights
	ops   []Op
	table []Op // of trace; (len(ref)+1) x (len(hyp)+1), row-major
}

// hits appends n hits.
func (t *tracer) hits(n int) {
	for range n {
		t.ops = append(t.ops, Hit)
	}
}

// align appends a least-cost path from ref to hyp. A problem whose table would be too large is cut in the middle of ref, at the place
// of hyp where the costs of the two halves add up to the least (Hirschberg 1975).
func (t *tracer) align(ref, hyp []int32) {
	if len(ref) < 2 || len(ref)+1 <= maxTable/(len(hyp)+1) {
		t.trace(ref, hyp)
		return
	}
	middle := len(ref) / 2
	before, after := make([]int64, len(hyp)+1), make([]int64, len(hyp)+1)
	t.lastRow(before, ref[:middle], hyp, len(hyp)+len(ref))
	t.lastRow(after, reversed(ref[middle:]), reversed(hyp), len(hyp)+len(ref))
	cut, best := 0, before[0]+after[len(hyp)]
	for j := range before {
		if cost := before[j] + after[len(hyp)-j]; cost < best {
			cut, best = j, cost
		}
	}
	t.align(ref[:middle], hyp[:cut])
	t.align(ref[middle:], hyp[cut:])
}

// trace appends a least-cost path from ref to hyp, found in a table of the best last step to each cell. On a tie it prefers to consume
// both units, then a deletion.
func (t *tracer) trace(ref, hyp []int32) {
	width := len(hyp) + 1
	t.table = slices.Grow(t.table[:0], (len(ref)+1)*width)[:(len(ref)+1)*width]
	row := make([]int64, width)
	for j := range row {
		row[j] = int64(j) * t.edit
		t.table[j] = Insertion
	}
	for i, unit := range ref {
		steps := t.table[(i+1)*width:]
		diagonal := row[0]
		row[0] += t.edit
		steps[0] = Deletion
		for j, other := range hyp {
			cost, step := diagonal, Hit
			if other != unit {
				cost, step = cost+t.edit+1, Substitution
			}
			diagonal = row[j+1]
			if diagonal+t.edit < cost {
				cost, step = diagonal+t.edit, Deletion
			}
			if row[j]+t.edit < cost {
				cost, step = row[j]+t.edit, Insertion
			}
			row[j+1], steps[j+1] = cost, step
		}
	}
	start := len(t.ops)
	for i, j := len(ref), len(hyp); i > 0 || j > 0; {
		step := t.table[i*width+j]
		t.ops = append(t.ops, step)
		if step != Insertion {
			i--
		}
		if step != Deletion {
			j--
		}
	}
	slices.Reverse(t.ops[start:])
}

// intern returns both texts as numbers, equal exactly where the units are equal, so that the inner loops compare integers.
func intern[T comparable](ref, hyp []T) (r, h []int32) {
	numbers := make(map[T]int32)
	number := func(units []T) []int32 {
		out := make([]int32, len(units))
		for i, u := range units {
			n, ok := numbers[u]
			if !ok {
				n = int32(len(numbers))
				numbers[u] = n
			}
			out[i] = n
		}
		return out
	}
	return number(ref), number(hyp)
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

// reversed returns a reversed copy of units.
func reversed(units []int32) []int32 {
	out := slices.Clone(units)
	slices.Reverse(out)
	return out
}
