package eval

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestAlign(t *testing.T) {
	for _, c := range []struct {
		ref, hyp string
		ops      string
	}{
		{"", "", ""},
		{"a b", "", "DD"},
		{"", "a b", "II"},
		{"a b c", "a b c", "CCC"},
		{"a b c", "a x c", "CSC"},
		{"a b c", "a c", "CDC"},
		{"a c", "a b c", "CIC"},
		{"a b c", "b c d", "DCCI"},
		{"a b", "c d", "SS"},
		// Two edits either way: the path with a hit is taken.
		{"a b", "b c", "DCI"},
		{"b c", "a b", "ICD"},
		{"the cat sat on the mat", "the cat sit on mat", "CCSCDC"},
	} {
		ref, hyp := strings.Fields(c.ref), strings.Fields(c.hyp)
		a := Align(ref, hyp)
		var ops strings.Builder
		for _, op := range a.Ops {
			ops.WriteString(op.String())
		}
		if ops.String() != c.ops {
			t.Errorf("Align(%q, %q) = %s, want %s", c.ref, c.hyp, &ops, c.ops)
		}
		checkAlignment(t, ref, hyp)
	}
}

func TestAlignOfCharacters(t *testing.T) {
	a := Align([]rune("kitten"), []rune("sitting"))
	if want := (Counts{Hits: 4, Substitutions: 2, Insertions: 1}); a.Counts != want {
		t.Errorf("Align(kitten, sitting) = %+v, want %+v", a.Counts, want)
	}
}

// TestAlignInvariants runs over texts that are alike, unlike, skewed and repetitive.
func TestAlignInvariants(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		ref := randomText(draw, draw.IntN(60), 1+draw.IntN(12))
		hyp := randomText(draw, draw.IntN(60), 1+draw.IntN(12))
		if draw.IntN(2) == 0 {
			hyp = corrupted(draw, ref, draw.Float64())
		}
		checkAlignment(t, ref, hyp)
	}
}

// TestAlignInBlocks takes texts whose rows are not all kept.
func TestAlignInBlocks(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 4))
	for _, rate := range []float64{0.02, 0.3, 1} {
		ref := randomText(draw, 1200, 500)
		hyp := corrupted(draw, ref, rate)
		if len(ref)*len(hyp) <= 4*keptCells {
			t.Fatalf("%d x %d units fit few blocks", len(ref), len(hyp))
		}
		checkAlignment(t, ref, hyp)
	}
	checkAlignment(t, []string{"a"}, randomText(draw, 2*keptCells, 3))
	checkAlignment(t, randomText(draw, 2*keptCells, 3), []string{"w1"})
}

// TestAlignMemory holds Align to a twelfth of what all rows would take.
func TestAlignMemory(t *testing.T) {
	draw := rand.New(rand.NewPCG(5, 6))
	ref := randomText(draw, 4096, 1000)
	hyp := randomText(draw, 4096, 1000)
	for _, costs := range []Costs{Levenshtein, Sclite} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		AlignBy(costs, ref, hyp)
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(4*len(ref)*len(hyp)/12); got > most {
			t.Errorf("AlignBy(%v) of %d and %d units allocated %d bytes in all, want at most %d", costs, len(ref), len(hyp), got, most)
		}
	}
}

func FuzzAlign(f *testing.F) {
	f.Add("", "")
	f.Add("a b c", "a x c d")
	f.Add("the cat sat on the mat", "the cat sit on mat")
	f.Add("aaaaaaaaab", "baaaaaaaaa")
	f.Fuzz(func(t *testing.T, ref, hyp string) {
		if len(ref) > 500 || len(hyp) > 500 {
			t.Skip("longer texts say nothing more and take the reference implementation too long")
		}
		checkAlignment(t, strings.Fields(ref), strings.Fields(hyp))
		checkAlignment(t, []rune(ref), []rune(hyp))
	})
}

// checkAlignment holds Align and Count to what is true of every pair of texts.
func checkAlignment[T comparable](t *testing.T, ref, hyp []T) {
	t.Helper()
	shown := func() string {
		if len(ref)+len(hyp) > 200 {
			return fmt.Sprintf("%d and %d units", len(ref), len(hyp))
		}
		return fmt.Sprintf("%v, %v", ref, hyp)
	}
	a := Align(ref, hyp)
	if a.Reference() != len(ref) || a.Hypothesis() != len(hyp) {
		t.Errorf("%s: %+v are not counts of %d and %d units", shown(), a.Counts, len(ref), len(hyp))
	}
	if got := Count(ref, hyp); got != a.Counts {
		t.Errorf("%s: Count = %+v, Align = %+v", shown(), got, a.Counts)
	}
	edits, substitutions := leastEdits(ref, hyp)
	if len(ref) > 0 && len(hyp) > 0 {
		r, h := intern(ref, hyp)
		for _, slack := range []int{max(0, (edits-max(len(h)-len(r), len(r)-len(h)))/2), firstSlack, len(r) + len(h)} {
			bits := newBitTable(r, h, slack)
			e := bits.edits()
			if e < edits || slack >= (edits-max(len(h)-len(r), len(r)-len(h)))/2 && (e != edits || bits.substitutions() != substitutions) {
				t.Errorf("%s: in bits of slack %d, %d edits, want %d with %d substitutions", shown(), slack, e, edits, substitutions)
			}
		}
	}
	if a.Edits() != edits || a.Substitutions != substitutions {
		t.Errorf("%s: %+v, want %d edits and %d substitutions", shown(), a.Counts, edits, substitutions)
	}
	if s := AlignBy(Sclite, ref, hyp); s.Reference() != len(ref) || s.Hypothesis() != len(hyp) || !slices.Equal(replay(ref, hyp, s.Ops), hyp) {
		t.Errorf("%s: by sclite's costs %+v, %v", shown(), s.Counts, s.Ops)
	} else if got, most := scliteCost(s.Counts), scliteCost(a.Counts); got > most || s.Hits < a.Hits {
		t.Errorf("%s: by sclite's costs %+v costs %d, and %+v %d", shown(), s.Counts, got, a.Counts, most)
	}
	if same := Count(ref, ref); same != (Counts{Hits: len(ref)}) {
		t.Errorf("%s: reference against itself = %+v", shown(), same)
	}
	swapped := Counts{Hits: a.Hits, Substitutions: a.Substitutions, Deletions: a.Insertions, Insertions: a.Deletions}
	if got := Count(hyp, ref); got != swapped {
		t.Errorf("%s: the other way round = %+v, want %+v", shown(), got, swapped)
	}
	if !slices.Equal(replay(ref, hyp, a.Ops), hyp) {
		t.Errorf("%s: the steps %v do not lead from the reference to the hypothesis", shown(), a.Ops)
	}
}

// scliteCost returns what sclite weighs counts at.
func scliteCost(c Counts) int { return 4*c.Substitutions + 3*c.Deletions + 3*c.Insertions }

// replay returns what the steps make of ref, the units of insertions and substitutions taken from hyp; nil where a hit is none.
func replay[T comparable](ref, hyp []T, ops []Op) []T {
	out := make([]T, 0, len(hyp))
	for _, op := range ops {
		switch op {
		case Hit:
			if ref[0] != hyp[len(out)] {
				return nil
			}
			out, ref = append(out, ref[0]), ref[1:]
		case Substitution:
			if ref[0] == hyp[len(out)] {
				return nil
			}
			out, ref = append(out, hyp[len(out)]), ref[1:]
		case Deletion:
			ref = ref[1:]
		case Insertion:
			out = append(out, hyp[len(out)])
		}
	}
	return out
}

// leastEdits is the textbook recurrence (Wagner and Fischer 1974) over pairs (edits, substitutions) in lexicographic order.
func leastEdits[T comparable](ref, hyp []T) (edits, substitutions int) {
	type cost [2]int
	less := func(a, b cost) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }
	previous := make([]cost, len(hyp)+1)
	for j := range previous {
		previous[j] = cost{j, 0}
	}
	for i := range ref {
		current := make([]cost, len(hyp)+1)
		current[0] = cost{i + 1, 0}
		for j := range hyp {
			best := previous[j]
			if ref[i] != hyp[j] {
				best = cost{best[0] + 1, best[1] + 1}
			}
			if c := (cost{previous[j+1][0] + 1, previous[j+1][1]}); less(c, best) {
				best = c
			}
			if c := (cost{current[j][0] + 1, current[j][1]}); less(c, best) {
				best = c
			}
			current[j+1] = best
		}
		previous = current
	}
	return previous[len(hyp)][0], previous[len(hyp)][1]
}

// randomText returns n words of a vocabulary of the given size.
func randomText(draw *rand.Rand, n, vocabulary int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprint("w", draw.IntN(vocabulary))
	}
	return words
}

// corrupted returns words with about the given share of them substituted, deleted or followed by an insertion.
func corrupted(draw *rand.Rand, words []string, rate float64) []string {
	var out []string
	for _, w := range words {
		if draw.Float64() >= rate {
			out = append(out, w)
			continue
		}
		switch draw.IntN(3) {
		case 0:
			out = append(out, "x")
		case 1:
			out = append(out, w, "y")
		}
	}
	return out
}

// BenchmarkAlign, BenchmarkAlignSclite and BenchmarkCount report cells of the full table a second: what a band of few edits skips
// counts as done.
func BenchmarkAlign(b *testing.B) { benchmarkAlignment(b, func(r, h []string) { Align(r, h) }) }

func BenchmarkAlignSclite(b *testing.B) {
	benchmarkAlignment(b, func(r, h []string) { AlignBy(Sclite, r, h) })
}

func BenchmarkCount(b *testing.B) { benchmarkAlignment(b, func(r, h []string) { Count(r, h) }) }

func benchmarkAlignment(b *testing.B, align func(ref, hyp []string)) {
	for _, words := range []int{20, 10000} {
		for _, rate := range []float64{0.1, 0.5, 1} {
			b.Run(fmt.Sprintf("words=%d/wer=%g", words, rate), func(b *testing.B) {
				draw := rand.New(rand.NewPCG(7, 8))
				ref := randomText(draw, words, 5000)
				hyp := corrupted(draw, ref, rate)
				if rate == 1 {
					hyp = randomText(draw, words, 5000)
				}
				b.ReportAllocs()
				for b.Loop() {
					align(ref, hyp)
				}
				b.ReportMetric(float64(len(ref))*float64(len(hyp))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mcell/s")
			})
		}
	}
}
