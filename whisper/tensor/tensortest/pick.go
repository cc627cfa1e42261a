package tensortest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// testPick holds the choice of tokens, where the backend is a [tensor.Picker] its own and else that of
// the host by the backend's kernels, to the reference.
func (s *suite) testPick(t *testing.T) {
	b := s.backend.Backend
	if h, ok := b.(*hosted); ok { // logits are uploaded here
		b = h.Device
	}
	p := picks{tensor.NewOps(b)}
	defer p.o.Free()
	t.Run("Random", p.testRandom)
	t.Run("Ties", p.testTies)
	t.Run("Timestamps", p.testTimestamps)
	t.Run("NotFinite", p.testNotFinite)
	t.Run("Draws", p.testDraws)
	t.Run("Boundaries", p.testBoundaries)
	t.Run("Edges", p.testEdges)
	t.Run("Wide", p.testWide)
	t.Run("Alone", p.testAlone)
}

// picks chooses tokens on a backend.
type picks struct{ o *tensor.Ops }

// pick answers choices from the rows of x, which it leaves as they are.
func (p picks) pick(t *testing.T, x tensor.Mat, choices []tensor.Choice) {
	t.Helper()
	p.o.Reset()
	if err := p.o.Pick(p.o.Upload(x.Rows, x.Cols, x.Data), choices); err != nil {
		t.Fatal(err)
	}
}

// agree answers choices from the rows of x, and compares the answers with the reference's, but for the tokens
// drawn: those it finds within a rounding of where the reference has them.
func (p picks) agree(t *testing.T, what string, x tensor.Mat, choices []tensor.Choice) {
	t.Helper()
	want := slices.Clone(choices)
	if err := (ref.Picker{}).Pick(x, want); err != nil {
		t.Fatal(err)
	}
	p.pick(t, x, choices)
	for i := range choices {
		agreeing(t, fmt.Sprintf("%s: row %d", what, i), x.Row(i), &choices[i], &want[i])
	}
}

func agreeing(t *testing.T, what string, row []float32, got, want *tensor.Choice) {
	t.Helper()
	identical(t, what+": logits of named tokens", got.NamedLogits, want.NamedLogits)
	if got.Answered() != want.Answered() || want.Answered() && math.Abs(got.Total-want.Total) > 2e-5 {
		t.Errorf("%s: total %v, want %v", what, got.Total, want.Total)
		return
	}
	if len(got.IDs) != len(want.IDs) || len(got.Logits) != len(want.IDs) {
		t.Errorf("%s: %d tokens, %d logits, want %d", what, len(got.IDs), len(got.Logits), len(want.IDs))
		return
	}
	n := len(want.IDs)
	if want.Answered() {
		n -= len(want.Draws)
	}
	if !slices.Equal(got.IDs[:n], want.IDs[:n]) {
		t.Errorf("%s: likeliest %v, want %v", what, got.IDs[:n], want.IDs[:n])
	}
	for i, id := range got.IDs {
		if got.Logits[i] != row[id] {
			t.Errorf("%s: logit %v of token %d, want %v", what, got.Logits[i], id, row[id])
		}
	}
	for i, id := range got.IDs[n:] {
		if u := want.Draws[i]; id != want.IDs[n+i] && !drawnNear(row, want, id, u) {
			t.Errorf("%s: drew token %d at %v, want %d", what, id, u, want.IDs[n+i])
		}
	}
}

// drawnNear reports whether the reference draws token id at some part within a rounding of u.
func drawnNear(row []float32, c *tensor.Choice, id int32, u float64) bool {
	const rounding = 2e-5
	near := *c
	near.Likeliest, near.Draws = 0, []float64{max(u-rounding, math.SmallestNonzeroFloat64), min(u+rounding, 1)}
	choices := []tensor.Choice{near}
	if err := (ref.Picker{}).Pick(tensor.Vector(row), choices); err != nil {
		return false
	}
	return row[id] > negInfinity && choices[0].IDs[0] <= id && (id <= choices[0].IDs[1] || u+rounding >= 1)
}

// testRandom asks at random, of rows of many lengths.
func (p picks) testRandom(t *testing.T) {
	lengths := append([]int{511, 512, 513, 2047, 2048, 2049, 4100}, colCounts...)
	if !raceDetector {
		lengths = append(lengths, 51866)
	}
	for _, n := range lengths {
		rng := rand.New(rand.NewPCG(uint64(n), 90))
		x := tensor.Zeros(min(9, 200_000/n), n)
		choices := make([]tensor.Choice, x.Rows)
		for i := range choices {
			for j := range x.Row(i) {
				x.Row(i)[j] = float32(3 * rng.NormFloat64())
			}
			ask(rng, &choices[i], n)
		}
		p.agree(t, fmt.Sprintf("%d logits", n), x, choices)
	}
}

// ask asks for anything of n logits.
func ask(rng *rand.Rand, c *tensor.Choice, n int) {
	for range rng.IntN(8) {
		c.Suppressed = append(c.Suppressed, rng.Int32N(int32(n)))
	}
	for range rng.IntN(4) { // maybe empty
		from := rng.IntN(n + 1)
		c.Exclude(int32(from), int32(from+rng.IntN(n+1-from)/3))
	}
	if at := rng.Int32N(int32(n + 1)); rng.IntN(3) > 0 && at < int32(n) {
		c.Timestamps = at
		c.Exclude(at, at)     // empty
		c.Exclude(at/2, at/2) // empty
		c.Exclude(at-at/9, at)
	}
	c.Likeliest = []int{0, 1, 2, 6, 101}[rng.IntN(5)]
	if rng.IntN(2) > 0 {
		c.Temperature = 0.1 + 2*rng.Float64()
		for range rng.IntN(6) {
			c.Draws = append(c.Draws, 1-rng.Float64())
		}
	}
	for range rng.IntN(3) {
		c.Named = append(c.Named, rng.Int32N(int32(n)))
	}
}

// testTies finds the first of equal logits, and asks for more tokens than are possible.
func (p picks) testTies(t *testing.T) {
	for _, n := range []int{1, 40, 513, 2500, 5003} {
		x := tensor.Zeros(4, n)
		rng := rand.New(rand.NewPCG(uint64(n), 91))
		for j := range n {
			x.Row(1)[j] = float32(rng.IntN(3)) // few values
			x.Row(2)[j] = negInfinity
			x.Row(3)[j] = float32(j / 7)
		}
		x.Row(2)[n-1], x.Row(2)[n/2] = -5, -5
		for _, likeliest := range []int{1, 2, 8, n, n + 3} {
			choices := make([]tensor.Choice, x.Rows)
			for i := range choices {
				choices[i].Likeliest = min(likeliest, 300)
			}
			choices[0].Suppressed = []int32{0, int32(n - 1)}
			if n == 1 {
				choices[0].Suppressed = nil
			}
			p.agree(t, fmt.Sprintf("%d of %d", likeliest, n), x, choices)
		}
	}
}

// testTimestamps checks both sides of the rule that compares timestamps together with the likeliest
// token of text, and ranges that leave nothing of one of them.
func (p picks) testTimestamps(t *testing.T) {
	const n, first = 5003, 3500
	stamps := float32(math.Log(n - first)) // what all of them are above each
	for _, c := range []struct {
		what      string
		text      float32 // greatest logit
		excluded  [2]int32
		stampWins bool
	}{
		{"timestamps together are likelier", stamps - 0.01, [2]int32{}, true},
		{"text is likelier", stamps + 0.01, [2]int32{}, false},
		{"no text", 9, [2]int32{0, first}, true},
		{"no timestamps", -90, [2]int32{first, n}, false},
		{"as likely as the one timestamp", 0, [2]int32{first, n - 1}, false},
		{"all but one timestamp", -1, [2]int32{0, n - 1}, true},
	} {
		x := tensor.Zeros(2, n)
		for i := range first {
			x.Row(0)[i], x.Row(1)[i] = c.text-30, c.text-30
		}
		x.Row(0)[first-1], x.Row(1)[first-1] = c.text, c.text
		choices := make([]tensor.Choice, 2)
		for i := range choices {
			choices[i].Timestamps, choices[i].Likeliest = first, 3
			choices[i].Exclude(c.excluded[0], c.excluded[1])
		}
		choices[1].Draws, choices[1].Temperature = []float64{1e-9, 0.5, 1}, 1
		p.agree(t, c.what, x, choices)
		for i := range choices {
			for _, id := range choices[i].IDs {
				if c.stampWins && id < first {
					t.Errorf("%s: token %d of text was chosen", c.what, id)
				}
			}
		}
		if !c.stampWins && choices[0].IDs[0] != first-1 {
			t.Errorf("%s: token %d was chosen", c.what, choices[0].IDs[0])
		}
	}
}

// testNotFinite checks that NaN, +Inf and rows of nothing but -Inf are told, where they are not
// excluded, and trouble no other row.
func (p picks) testNotFinite(t *testing.T) {
	for _, n := range []int{3, 700, 5003} {
		for _, at := range []int{0, n / 2, n - 1} {
			for _, v := range []float32{nan, infinity} {
				x := tensor.Zeros(5, n)
				for i := range x.Data {
					x.Data[i] = float32(i%17) / 4
				}
				x.Row(1)[at], x.Row(2)[at] = v, v
				for j := range n {
					x.Row(3)[j] = negInfinity
				}
				choices := make([]tensor.Choice, x.Rows)
				for i := range choices {
					choices[i].Likeliest, choices[i].Temperature, choices[i].Draws = 2, 1, []float64{0.5}
					choices[i].Named = []int32{int32(at)}
				}
				choices[2].Suppressed = []int32{int32(at)}
				choices[4].Exclude(0, int32(n))
				p.agree(t, fmt.Sprintf("%v at %d of %d", v, at, n), x, choices)
			}
		}
	}
}

// testDraws draws from rows in which few tokens are likely, at temperatures down to the smallest.
func (p picks) testDraws(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 92))
	for _, n := range []int{2, 511, 5003} {
		for _, temperature := range []float64{5e-324, 1e-40, 1e-4, 0.2, 1, 1.7, 1e30} {
			x := tensor.Zeros(4, n)
			choices := make([]tensor.Choice, x.Rows)
			for i := range choices {
				for j := range x.Row(i) {
					x.Row(i)[j] = float32(rng.NormFloat64() * []float64{0.1, 1, 5, 20}[i])
				}
				choices[i].Temperature = temperature
				choices[i].Exclude(int32(n/3), int32(n/2))
				choices[i].Draws = []float64{1, 5e-324, 0.5, rng.Float64() + 1e-9}
			}
			p.agree(t, fmt.Sprintf("%d logits at temperature %v", n, temperature), x, choices)
		}
	}
}

// testBoundaries draws where sums are exact whatever their order: at a part that a token reaches just
// so, that token is drawn.
func (p picks) testBoundaries(t *testing.T) {
	const n = 5003
	for _, at := range [][4]int32{{0, 1, 2, 3}, {0, 511, 512, n - 1}, {2047, 2048, 2049, 4096}, {n - 4, n - 3, n - 2, n - 1}} {
		for _, temperature := range []float64{5e-324, 1e-40, 0.5, 1} {
			x := tensor.Zeros(1, n)
			for i := range x.Data {
				x.Data[i] = negInfinity
			}
			for _, id := range at {
				x.Data[id] = -3.25
			}
			choices := []tensor.Choice{{Temperature: temperature, Draws: []float64{5e-324, 0.25, 0.2500001, 0.5, 0.5000001, 0.75, 0.7500001, 1}}}
			p.pick(t, x, choices)
			if got, want := choices[0].IDs, []int32{at[0], at[0], at[1], at[1], at[2], at[2], at[3], at[3]}; !slices.Equal(got, want) {
				t.Errorf("temperature %v: drew %v, want %v", temperature, got, want)
			}
		}
	}
}

// testEdges excludes and finds tokens on both sides of the edges at which a backend may divide a row: multiples of a power of two, counted
// from the first token and from the first timestamp, and the ends.
func (p picks) testEdges(t *testing.T) {
	const n, stamps = 5003, 2100
	var edges []int32
	for _, at := range []int32{0, 256, 512, 1024, 2048, stamps, stamps + 256, stamps + 1024, stamps + 2048, n} {
		for id := at - 1; id <= at+1; id++ {
			if id >= 0 && id < n {
				edges = append(edges, id)
			}
		}
	}
	for _, timestamps := range []int32{0, 1, stamps} {
		for _, id := range edges {
			x := tensor.Zeros(4, n)
			for i := range x.Data {
				x.Data[i] = float32(i%n%13) / 4
			}
			for i := range x.Rows {
				x.Row(i)[id] = 9 // the likeliest but where it is excluded
			}
			choices := make([]tensor.Choice, x.Rows)
			for i := range choices {
				choices[i].Timestamps, choices[i].Likeliest = timestamps, 3
				choices[i].Named, choices[i].Temperature, choices[i].Draws = []int32{id}, 1, []float64{0.999, 1}
			}
			choices[1].Suppressed = []int32{id}
			choices[2].Exclude(id, id+1)
			choices[3].Exclude(0, id) // all before it
			p.agree(t, fmt.Sprintf("timestamps from %d, token %d", timestamps, id), x, choices)
		}
	}
}

// testWide finds the first of equal logits in a row of more than 2^18 logits, which a backend may divide among threads twice.
func (p picks) testWide(t *testing.T) {
	const n, apart = 1<<18 + 2000, 1 << 18
	x := tensor.Zeros(1, n)
	for _, id := range []int{7, apart + 7, apart + 1500} {
		x.Data[id] = 5
	}
	choices := []tensor.Choice{{Likeliest: 4}}
	p.agree(t, "a wide row", x, choices)
}

// testAlone checks that an answer has the same bits alone, beside others, and in memory that was used
// before, in which nothing is allocated.
func (p picks) testAlone(t *testing.T) {
	const n = 5003
	rng := rand.New(rand.NewPCG(5, 93))
	x := tensor.Zeros(21, n)
	for i := range x.Data {
		x.Data[i] = float32(2 * rng.NormFloat64())
	}
	together := make([]tensor.Choice, x.Rows)
	for i := range together {
		ask(rng, &together[i], n)
	}
	p.pick(t, x, together)
	used := make([]tensor.Choice, 1)
	for i := range together {
		used[0].Reset()
		c := &together[i]
		used[0].Suppressed, used[0].Timestamps, used[0].Likeliest, used[0].Named = c.Suppressed, c.Timestamps, c.Likeliest, c.Named
		used[0].Excluded, used[0].Draws, used[0].Temperature = append(used[0].Excluded, c.Excluded...), append(used[0].Draws, c.Draws...), c.Temperature
		p.pick(t, x.Slice(i, i+1), used)
		if u := &used[0]; u.Total != c.Total || !slices.Equal(u.IDs, c.IDs) || !slices.Equal(u.Logits, c.Logits) || !slices.Equal(u.NamedLogits, c.NamedLogits) {
			t.Errorf("row %d alone: %v %v, beside others %v %v", i, u.Total, u.IDs, c.Total, c.IDs)
		}
	}
}

// testPickAllocations checks that choices in memory that was used before allocate nothing.
func (s *suite) testPickAllocations(t *testing.T) {
	const nRow, n = 12, 3000
	o := tensor.NewOps(s.backend.Backend)
	defer o.Free()
	rng := rand.New(rand.NewPCG(6, 94))
	x := make([]float32, nRow*n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	choices := make([]tensor.Choice, nRow)
	step := func() {
		o.Reset()
		for i := range choices {
			c := &choices[i]
			c.Reset()
			c.Exclude(0, 20)
			c.Timestamps = n - 100
			if c.Likeliest = i % 7; i%2 > 0 {
				c.Temperature, c.Draws = 1, append(c.Draws, 0.3, 0.6)
			}
		}
		if err := o.Pick(o.Upload(nRow, n, x), choices); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n != 0 {
		t.Errorf("%g allocations a step, want 0", n)
	}
}
