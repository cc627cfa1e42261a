package eval

import (
	"math"
	"slices"
)

// arc is one word of a lattice of references, or the place where two ways through it meet.
type arc struct {
	unit        int32 // equal to that of an equal word of the hypothesis; -1 for none
	kind        arcKind
	from, other int32 // the arc before this one; of a join, the two that meet
}

type arcKind uint8

const (
	spoken   arcKind = iota // a word that was said
	optional                // a word that may be left out, sclite's (word)
	null                    // nothing, sclite's @
	join                    // no word: where the ways from and other meet; of equal costs, from is taken
)

// lattice holds the arcs of a reference, each behind those it comes from. The first is the start, the last the end.
type lattice []arc

// linearLattice returns the lattice of a reference without alternatives.
func linearLattice(units []int32) lattice {
	l := make(lattice, 1, len(units)+1)
	for i, unit := range units {
		l = append(l, arc{unit: unit, from: int32(i)})
	}
	return l
}

// has reports whether an arc behind the start is of a kind.
func (l lattice) has(kind arcKind) bool {
	return slices.ContainsFunc(l[1:], func(a arc) bool { return a.kind == kind })
}

// move is a step of a path through a lattice. Steps over null have none.
type move struct {
	op      Op
	arc     int32 // the arc of a Hit, Substitution or Deletion
	omitted bool  // a Hit: the word is optional and is left out
}

// leastMoves returns the path of least cost through the reference that gives the hypothesis, in the order of the texts.
func leastMoves(costs Costs, ref lattice, hyp []int32) []move {
	if costs == Sclite {
		if ref.has(null) {
			// sclite adds up costs as 32-bit floats. 0.001 is none, and the rounding decides ties.
			return newAligner(ref, hyp, prices[float32]{substitution: 4, deletion: 3, insertion: 3, omission: 2, null: 0.001, unreachable: 1 << 100}).moves()
		}
		return newAligner(ref, hyp, prices[int32]{substitution: 4, deletion: 3, insertion: 3, omission: 2, unreachable: math.MaxInt32 / 2}).moves()
	}
	// The order of prices is that of (edits, omissions, substitutions).
	var omissions int64
	for _, a := range ref {
		if a.kind == optional {
			omissions++
		}
	}
	omission := int64(min(len(ref), len(hyp)) + 1)
	edit := omission * (omissions + 1)
	if edit < math.MaxInt32/4/int64(len(ref)+len(hyp)+1) {
		return newAligner(ref, hyp, levenshtein[int32](edit, omission, math.MaxInt32/2)).moves()
	}
	return newAligner(ref, hyp, levenshtein[int64](edit, omission, math.MaxInt64/2)).moves()
}

// cost is the type of a cost.
type cost interface{ int32 | int64 | float32 }

// prices are the costs of steps; a hit costs nothing.
type prices[C cost] struct {
	substitution, deletion, insertion C
	omission                          C // of leaving out an optional word
	null                              C // of a step over nothing
	unreachable                       C // more than any path costs
}

func levenshtein[C cost](edit, omission, unreachable int64) prices[C] {
	return prices[C]{substitution: C(edit + 1), deletion: C(edit), insertion: C(edit), omission: C(omission), unreachable: C(unreachable)}
}

// leaveOut returns the cost of a step over an arc that no word of the hypothesis stands for.
func (p prices[C]) leaveOut(kind arcKind) C {
	switch kind {
	case optional:
		return p.omission
	case null:
		return p.null
	}
	return p.deletion
}

// costRow holds the least costs from the start through one arc to hyp[:first], hyp[:first+1], …
type costRow[C cost] struct {
	first int
	cells []C
}

// aligner finds a path of least cost by dynamic programming (Wagner and Fischer 1974), over the arcs of a lattice as sclite's
// Network_dpalign does.
//
// A reference without alternatives is aligned within a band about the diagonals of the two corners, which is widened until no path
// that leaves it can be as cheap (Ukkonen 1985). The rows are kept for the arcs of the last block alone, and those that a later block
// goes on from; the others are computed again when the path is traced back through their block. So costs and ties are those of the
// whole table.
type aligner[C cost] struct {
	prices[C]
	arcs lattice
	hyp  []int32

	linear    bool
	low, high int // of a linear reference: the band of hypothesis less reference position
	block     int // arcs whose rows are kept together

	lastUse []int32      // by arc: the last that comes from it
	rows    []costRow[C] // by arc; without cells where not kept
	top     int          // no row is kept behind this arc
	free    [][]C
	width   int // cells that a row has room for
}

func newAligner[C cost](ref lattice, hyp []int32, p prices[C]) *aligner[C] {
	a := &aligner[C]{prices: p, arcs: ref, hyp: hyp, linear: true, lastUse: make([]int32, len(ref)), rows: make([]costRow[C], len(ref))}
	for i := 1; i < len(ref); i++ {
		r := ref[i]
		a.lastUse[r.from] = int32(i)
		if r.kind == join {
			a.lastUse[r.other] = int32(i)
		}
		a.linear = a.linear && r.kind == spoken && int(r.from) == i-1
	}
	a.lastUse[len(ref)-1] = int32(len(ref) - 1)
	return a
}

// moves returns the path.
func (a *aligner[C]) moves() []move {
	if !a.linear {
		a.layOut(len(a.hyp) + 1)
		a.forward()
		return a.trace()
	}
	n, m := len(a.arcs)-1, len(a.hyp)
	skew := max(m-n, n-m)
	for slack := firstSlack; ; {
		a.low, a.high = min(0, m-n)-slack, max(0, m-n)+slack
		a.layOut(min(m, a.high-a.low) + 1)
		a.forward()
		// A path that leaves the band strays slack+1 from a corner diagonal and returns: |skew| + 2(slack+1) deletions and insertions.
		enough := (int(a.at(n, m)/min(a.deletion, a.insertion)) - skew) / 2
		if slack >= enough {
			return a.trace()
		}
		slack = min(4*slack, enough)
	}
}

// keptCells is the number of cells up to which all rows are kept.
const keptCells = 1 << 18

// layOut sets the length of rows and blocks and forgets all rows.
func (a *aligner[C]) layOut(width int) {
	a.width, a.free = width, nil
	clear(a.rows)
	a.top = len(a.arcs) - 1
	a.block = max(int(math.Sqrt(float64(len(a.arcs)))), keptCells/width, 1)
}

// columns returns the first and the last cell of an arc's row.
func (a *aligner[C]) columns(i int) (first, last int) {
	if !a.linear {
		return 0, len(a.hyp)
	}
	return max(0, i+a.low), min(len(a.hyp), i+a.high)
}

// at returns the cost through arc i to hyp[:j].
func (a *aligner[C]) at(i, j int) C {
	r := a.rows[i]
	if k := j - r.first; k >= 0 && k < len(r.cells) {
		return r.cells[k]
	}
	return a.unreachable
}

// take makes the row of arc i, its cells not yet set.
func (a *aligner[C]) take(i int) costRow[C] {
	first, last := a.columns(i)
	if len(a.free) == 0 {
		n := max(1, min(len(a.arcs), 4096/a.width))
		slab := make([]C, n*a.width)
		for ; n > 0; n-- {
			a.free = append(a.free, slab[:a.width:a.width])
			slab = slab[a.width:]
		}
	}
	cells := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	a.rows[i] = costRow[C]{first, cells[:last-first+1]}
	return a.rows[i]
}

// release forgets the row of an arc.
func (a *aligner[C]) release(i int) {
	if cells := a.rows[i].cells; cells != nil {
		a.free = append(a.free, cells[:a.width])
		a.rows[i].cells = nil
	}
}

// forward computes the rows of all arcs, and keeps those that trace starts from.
func (a *aligner[C]) forward() {
	last := (len(a.arcs) - 1) / a.block
	done := func(i, user int) {
		if block := i / a.block; int(a.lastUse[i]) == user && block != last && block == user/a.block {
			a.release(i)
		}
	}
	for i, r := range a.arcs {
		a.extend(i)
		if i > 0 {
			done(int(r.from), i)
		}
		if r.kind == join {
			done(int(r.other), i)
		}
	}
}

// extend computes the row of arc i from those before it.
func (a *aligner[C]) extend(i int) {
	arc, out := a.arcs[i], a.take(i)
	switch {
	case i == 0:
		var sum C
		for j := range out.cells {
			out.cells[j] = sum
			sum += a.insertion
		}
	case arc.kind == join:
		from, other := a.rows[arc.from].cells, a.rows[arc.other].cells
		for j := range out.cells {
			out.cells[j] = min(from[j], other[j])
		}
	default:
		a.extendByWord(arc, out)
	}
}

// extendByWord sets out, the row of an arc, to the least of three for each cell: the step over both words, over the arc's alone, over
// the hypothesis' alone.
func (a *aligner[C]) extendByWord(arc arc, out costRow[C]) {
	before, from, leaveOut := a.rows[arc.from], int(arc.from), a.leaveOut(arc.kind)
	j, last := out.first, out.first+len(out.cells)-1
	left, diagonal := a.unreachable, a.at(from, j-1)
	if j == 0 {
		diagonal = a.at(from, 0)
		left = diagonal + leaveOut
		out.cells[0] = left
		j = 1
	}
	shared := min(last, before.first+len(before.cells)-1) // where the row before ends
	above := before.cells[j-before.first : shared+1-before.first]
	cells := out.cells[j-out.first:]
	cells = cells[:len(above)]
	substitution, insertion := a.substitution, a.insertion
	for k, other := range a.hyp[j-1 : shared] {
		cost := diagonal
		if other != arc.unit {
			cost += substitution
		}
		diagonal = above[k]
		left = min(cost, diagonal+leaveOut, left+insertion)
		cells[k] = left
	}
	if last > shared {
		cost := diagonal
		if a.hyp[last-1] != arc.unit {
			cost += substitution
		}
		out.cells[last-out.first] = min(cost, left+insertion)
	}
}

// refill computes the rows of the block of arc i again, up to i, and releases those behind it.
func (a *aligner[C]) refill(i int) {
	for ; a.top > i; a.top-- {
		a.release(a.top)
	}
	for k := i / a.block * a.block; k <= i; k++ {
		if a.rows[k].cells == nil {
			a.extend(k)
		}
	}
}

// trace returns the path from the last cell back to the first, in the order of the texts. Of steps that cost the same it takes the
// one over both words, then an insertion: calculate_internal_cells of sclite.
func (a *aligner[C]) trace() []move {
	moves := make([]move, 0, max(len(a.arcs), len(a.hyp)))
	for i, j := len(a.arcs)-1, len(a.hyp); i > 0 || j > 0; {
		arc := a.arcs[i]
		from := int(arc.from)
		if i > 0 && a.rows[from].cells == nil || arc.kind == join && a.rows[arc.other].cells == nil {
			a.refill(i)
		}
		if arc.kind == join {
			if a.at(from, j) <= a.at(int(arc.other), j) {
				i = from
			} else {
				i = int(arc.other)
			}
			continue
		}
		both, over, insertion := a.steps(i, j)
		switch {
		case both <= over && both <= insertion:
			op := Substitution
			if a.hyp[j-1] == arc.unit {
				op = Hit
			}
			moves = append(moves, move{op: op, arc: int32(i)})
			i, j = from, j-1
		case over < insertion:
			if arc.kind == optional {
				moves = append(moves, move{op: Hit, arc: int32(i), omitted: true})
			} else if arc.kind != null {
				moves = append(moves, move{op: Deletion, arc: int32(i)})
			}
			i = from
		default:
			moves = append(moves, move{op: Insertion})
			j--
		}
	}
	slices.Reverse(moves)
	return moves
}

// steps returns the costs of the paths to cell j of arc i by their last step: over both words, over the arc's alone, over the
// hypothesis' alone.
func (a *aligner[C]) steps(i, j int) (both, over, insertion C) {
	both, over, insertion = a.unreachable, a.unreachable, a.unreachable
	if j > 0 {
		insertion = a.at(i, j-1) + a.insertion
	}
	if i == 0 {
		return both, over, insertion
	}
	arc := a.arcs[i]
	over = a.at(int(arc.from), j) + a.leaveOut(arc.kind)
	if j > 0 {
		both = a.at(int(arc.from), j-1)
		if a.hyp[j-1] != arc.unit {
			both += a.substitution
		}
	}
	return both, over, insertion
}
