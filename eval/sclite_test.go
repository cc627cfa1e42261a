package eval

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// utterance is a reference, which may have alternatives, and a hypothesis.
type utterance struct{ ref, hyp string }

// TestAgreesWithSclite compares the counts of each of some hundred pairs with those of NIST's sclite.
func TestAgreesWithSclite(t *testing.T) {
	command := scliteCommand(t)
	pairs := append(handMadePairs(), generatedPairs()...)
	if len(pairs) < 200 {
		t.Fatalf("%d pairs are too few", len(pairs))
	}
	want := scliteCounts(t, command, pairs)
	scorer := Scorer{Normaliser: normaliserNamed(t, "none"), Costs: Sclite, Alternatives: true}
	for i, p := range pairs {
		o, err := scorer.Score(Pair{Reference: p.ref, Hypothesis: p.hyp})
		if err != nil {
			t.Errorf("%q: %v", p.ref, err)
		}
		if o.Words != want[i] {
			t.Errorf("ref %q, hyp %q: %+v, and sclite has %+v", p.ref, p.hyp, o.Words, want[i])
		}
		checkOutcome(t, o)
		if !strings.ContainsAny(p.ref, "{(@") {
			if got := AlignBy(Sclite, strings.Fields(p.ref), strings.Fields(p.hyp)).Counts; got != want[i] {
				t.Errorf("AlignBy(Sclite, %q, %q) = %+v, and sclite has %+v", p.ref, p.hyp, got, want[i])
			}
		}
	}
}

// normaliserNamed returns a normaliser that there is.
func normaliserNamed(t *testing.T, name string) *Normaliser {
	t.Helper()
	n, err := NormaliserNamed(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// scliteCommand returns how sclite is called here. Debian's package sctk has it as a command of the program sctk.
func scliteCommand(t *testing.T) []string {
	t.Helper()
	for _, command := range [][]string{{"sclite"}, {"sctk", "sclite"}} {
		if path, err := exec.LookPath(command[0]); err == nil {
			return append([]string{path}, command[1:]...)
		}
	}
	t.Skip("SKIP: sclite is not installed (Debian package sctk): counts are not compared with NIST's")
	return nil
}

// scliteCounts returns what sclite counts in each pair.
func scliteCounts(t *testing.T, command []string, pairs []utterance) []Counts {
	t.Helper()
	dir := t.TempDir()
	var ref, hyp bytes.Buffer
	for i, p := range pairs {
		fmt.Fprintf(&ref, "%s (spk-%05d)\n", p.ref, i)
		fmt.Fprintf(&hyp, "%s (spk-%05d)\n", p.hyp, i)
	}
	refFile, hypFile := filepath.Join(dir, "ref.trn"), filepath.Join(dir, "hyp.trn")
	for name, text := range map[string][]byte{refFile: ref.Bytes(), hypFile: hyp.Bytes()} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append(command[1:], "-r", refFile, "trn", "-h", hypFile, "trn", "-i", "spu_id", "-D", "-o", "pra", "stdout")
	out, err := exec.Command(command[0], args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	counts, found := make([]Counts, len(pairs)), make([]bool, len(pairs))
	id := -1
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		fmt.Sscanf(line, "id: (spk-%d)", &id)
		var c Counts
		if n, _ := fmt.Sscanf(line, "Scores: (#C #S #D #I) %d %d %d %d", &c.Hits, &c.Substitutions, &c.Deletions, &c.Insertions); n == 4 {
			counts[id], found[id] = c, true
		}
	}
	for i, ok := range found {
		if !ok {
			t.Fatalf("sclite says nothing of %q:\n%s", pairs[i], out)
		}
	}
	return counts
}

// handMadePairs returns pairs in which little decides: ties, alternatives within alternatives, words that may be left out.
func handMadePairs() []utterance {
	return []utterance{
		{"a b c", "a b c"}, {"a b c", "a x c"}, {"a b c", "a c"}, {"a c", "a b c"}, {"a b c", "b c d"}, {"a b", "c d"}, {"a b", "b c"},
		{"b c", "a b"}, {"a b c d", "x"}, {"x", "a b c d"}, {"a a a", "a"}, {"a", "a a a"}, {"a b a b a", "b a b"}, {"b a b", "a b a b a"},
		{"a b c d e", "e d c b a"}, {"a x x b", "a b"}, {"the cat sat on the mat", "the cat sit on mat"}, {"a b c", ""},
		{"one two three four", "two one four three"}, {"p q r s t u", "q p s r u t"}, {"a b c d", "b x y d"}, {"a b", "x y a"},
		// sclite takes more edits for more hits: three substitutions cost 12, two deletions and two insertions as much.
		{"a b c", "x y a"}, {"a b c d", "c d x y"}, {"a b c d e f", "d e f x y z"}, {"a b x c d", "x e f a b"},

		{"i've { um / uh / @ } as far as i'm concerned", "i've as far as i'm concerned"},
		{"i've { um / uh / @ } as far as i'm concerned", "i've uh as far as i'm concerned"},
		{"i've { um / uh / @ } as far as i'm concerned", "i've oh as far as i'm concerned"},
		{"{ a / b c / @ }", "b"}, {"{ a / b c / @ }", "b c"}, {"{ a / b c / @ }", "c b"}, {"{ a / b c / @ }", "x y z"},
		{"{ a / b } { b / a }", "a a"}, {"{ a / b } { b / a }", "x"}, {"{ a b / c d }", "b c"}, {"{ c d / a b }", "b c"},
		{"{ a b c / d }", "x y z"}, {"{ d / a b c }", "x y z"}, {"{ a b c / d }", "x"}, {"{ going to / gonna } go", "gonna go"},
		{"{ going to / gonna } go", "going go"}, {"x { a / { b / c d } e } y", "x c d e y"}, {"x { a / { b / c d } e } y", "x b d y"},
		{"{ a / @ } { a / @ } { a / @ }", "a"}, {"{ a / @ } { a / @ } { a / @ }", "a a a a"}, {"{ @ / a } b { @ / b }", "b"},
		{"@ a @", "a"}, {"@ a @", "b a c"}, {"@", "b"}, {"a @ b", ""}, {"{ @ / a } { @ / b } c", "a b"}, {"{a/b} c", "b c"},

		{"(uh) a b", "a b"}, {"(uh) a b", "uh a b"}, {"(uh) a b", "um a b"}, {"a (b) c", "a x"}, {"(a) (b) (c)", "b"}, {"(a) (b) (c)", "x"},
		{"(a) (b) (c)", ""}, {"a (b) { c / (d) e }", "a d e"}, {"a (b) { c / (d) e }", "a e"}, {"{ (a) / b } c", "c"}, {"(a) b (a)", "b a"},
	}
}

// generatedPairs returns pairs of few different words, so that many paths cost the same.
func generatedPairs() []utterance {
	draw := rand.New(rand.NewPCG(11, 12))
	var pairs []utterance
	for i := range 600 {
		vocabulary := 2 + draw.IntN(8)
		ref := randomText(draw, 1+draw.IntN(24), vocabulary)
		hyp := corrupted(draw, ref, draw.Float64())
		if i%3 == 0 {
			hyp = randomText(draw, draw.IntN(24), vocabulary)
		}
		if i%2 == 0 {
			ref = withAlternatives(draw, ref, vocabulary, 2)
		}
		pairs = append(pairs, utterance{strings.Join(ref, " "), strings.Join(hyp, " ")})
	}
	for range 6 { // longer than the first band
		ref := randomText(draw, 300, 40)
		pairs = append(pairs,
			utterance{strings.Join(ref, " "), strings.Join(corrupted(draw, ref, 0.3), " ")},
			utterance{strings.Join(ref, " "), strings.Join(randomText(draw, 150+draw.IntN(200), 40), " ")})
	}
	return pairs
}

// withAlternatives returns words with some of them made optional, or one of several.
func withAlternatives(draw *rand.Rand, words []string, vocabulary, depth int) []string {
	var out []string
	for _, w := range words {
		switch draw.IntN(6) {
		case 0:
			out = append(out, "("+w+")")
		case 1:
			out = append(out, "{", w)
			for range 1 + draw.IntN(3) {
				out = append(out, "/")
				switch other := randomText(draw, 1+draw.IntN(3), vocabulary); {
				case draw.IntN(4) == 0:
					out = append(out, "@")
				case depth > 0:
					out = append(out, withAlternatives(draw, other, vocabulary, depth-1)...)
				default:
					out = append(out, other...)
				}
			}
			out = append(out, "}")
		default:
			out = append(out, w)
		}
	}
	return out
}

// checkOutcome holds an outcome to what Outcome says of it.
func checkOutcome(t *testing.T, o Outcome) {
	t.Helper()
	var counted Counts
	for _, op := range o.Ops {
		counted.count(op)
	}
	if counted != o.Words || o.Words.Reference() != len(o.Ref) || o.Words.Hypothesis() != len(o.Hyp) {
		t.Errorf("%q, %q: %+v for %q and %q by %v", o.Reference, o.Hypothesis, o.Words, o.Ref, o.Hyp, o.Ops)
		return
	}
	ref, hyp := o.Ref, o.Hyp
	for _, op := range o.Ops {
		if op == Hit && ref[0] != hyp[0] && hyp[0] != "" || op == Substitution && ref[0] == hyp[0] {
			t.Errorf("%q, %q: %v takes %q for %q", o.Reference, o.Hypothesis, op, hyp[0], ref[0])
		}
		if op != Insertion {
			ref = ref[1:]
		}
		if op != Deletion {
			hyp = hyp[1:]
		}
	}
}
