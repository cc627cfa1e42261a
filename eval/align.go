package eval

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

// Costs say which alignment is the best.
type Costs uint8

// The costs of alignments.
const (
	// Levenshtein counts every edit as one: the fewest edits and, among those, the fewest substitutions (see Align).
	Levenshtein Costs = iota
	// Sclite weighs a substitution 4, a deletion 3 and an insertion 3, as wwd_WORD of NIST's sclite (SCTK, src/sclite/word.c), and
	// decides between paths of equal cost as its Network_dpalign (net_dp.c): counts are those that sclite reports.
	Sclite
)

// String returns the name of the costs as reports have it: "levenshtein" or "sclite".
func (c Costs) String() string {
	if c == Sclite {
		return "sclite"
	}
	return "levenshtein"
}

// Alignment is a path of least cost from a reference to a hypothesis.
type Alignment struct {
	Counts
	Ops []Op // in the order of the texts
}

// Align returns the alignment of hyp to ref that has the fewest edits and, among those, the fewest substitutions (hence the most
// hits). The units are words ([]string) or characters ([]rune).
//
// The first rule is Levenshtein's distance, the one that jiwer and Morris et al. 2004 score by. The second makes the counts a function
// of the texts alone: the distance leaves open whether two substitutions are to be read as deletion, hit and insertion. sclite weighs
// edits 4:3:3 and may take a path of more edits for more hits (see AlignBy). Among paths equal in both, the one chosen is fixed but
// arbitrary.
//
// It takes O(n·d) time for texts of n units with d edits, at most O(nRef·nHyp), and O(√nRef·min(d, nHyp)) memory.
func Align[T comparable](ref, hyp []T) Alignment { return AlignBy(Levenshtein, ref, hyp) }

// AlignBy returns the alignment of hyp to ref that costs the least. It takes the time and the memory of Align.
func AlignBy[T comparable](costs Costs, ref, hyp []T) Alignment {
	r, h := intern(ref, hyp)
	moves := leastMoves(costs, linearLattice(r), h)
	a := Alignment{Ops: make([]Op, len(moves))}
	for i, m := range moves {
		a.Ops[i] = m.op
		a.count(m.op)
	}
	return a
}

// count adds a step to the counts.
func (c *Counts) count(op Op) {
	switch op {
	case Hit:
		c.Hits++
	case Substitution:
		c.Substitutions++
	case Deletion:
		c.Deletions++
	case Insertion:
		c.Insertions++
	}
}

// interner numbers units, equal ones alike, so that the inner loops compare integers.
type interner[T comparable] map[T]int32

// number returns the number of a unit.
func (in interner[T]) number(unit T) int32 {
	n, ok := in[unit]
	if !ok {
		n = int32(len(in))
		in[unit] = n
	}
	return n
}

// numbers returns the numbers of units.
func (in interner[T]) numbers(units []T) []int32 {
	out := make([]int32, len(units))
	for i, u := range units {
		out[i] = in.number(u)
	}
	return out
}

// intern returns both texts as numbers, equal exactly where the units are equal.
func intern[T comparable](ref, hyp []T) (r, h []int32) {
	in := make(interner[T])
	return in.numbers(ref), in.numbers(hyp)
}
