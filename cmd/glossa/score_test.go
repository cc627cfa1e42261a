package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"glossa/eval"
)

// sclite returns SCTK's program as a command, as Debian installs it or as it is built.
func sclite(t *testing.T) []string {
	t.Helper()
	for _, command := range [][]string{{"sclite"}, {"sctk", "sclite"}} {
		if path, err := exec.LookPath(command[0]); err == nil {
			return append([]string{path}, command[1:]...)
		}
	}
	t.Skip("SKIP: sclite, absent (Debian package sctk)")
	return nil
}

// scliteSums matches the sums of sclite's output rsum.
var scliteSums = regexp.MustCompile(`\|\s*Sum\s*\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)`)

// TestScoreAgreesWithSclite scores the same files by both: a trn, in orders that differ, and a ctm against an stm.
func TestScoreAgreesWithSclite(t *testing.T) {
	program := sclite(t)
	dir := t.TempDir()
	writeScored(t, dir)
	for _, form := range [][2]string{{"trn", "trn"}, {"stm", "ctm"}} {
		ref, hyp := filepath.Join(dir, "ref."+form[0]), filepath.Join(dir, "hyp."+form[1])
		args := append(program[1:], "-r", ref, form[0], "-h", hyp, form[1], "-i", "spu_id", "-s", "-o", "rsum", "stdout")
		out, err := exec.CommandContext(t.Context(), program[0], args...).CombinedOutput()
		if err != nil {
			t.Fatalf("sclite: %v\n%s", err, out)
		}
		sums := scliteSums.FindSubmatch(out)
		if sums == nil {
			t.Fatalf("no sums in\n%s", out)
		}
		var stdout, stderr bytes.Buffer
		flags := []string{"score", "--ref", ref, "--hyp", hyp, "--json", "--normaliser", "none", "--alignment", "sclite", "--alternatives"}
		if status := run(context.Background(), flags, &stdout, &stderr); status != statusOK {
			t.Fatalf("status %d: %s", status, &stderr)
		}
		var report eval.Report
		if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		n := report.Total
		got := fmt.Sprint(n.Utterances, n.Words, n.Hits, n.Substitutions, n.Deletions, n.Insertions)
		if want := string(bytes.Join(sums[1:], []byte(" "))); got != want {
			t.Errorf("%v: utterances, words, C, S, D, I are %s, of sclite %s", form, got, want)
		}
	}
}

// writeScored writes 300 utterances as trn and as stm and ctm, with errors, alternatives, empty texts and words between segments.
func writeScored(t *testing.T, dir string) {
	t.Helper()
	r := rand.New(rand.NewPCG(8, 8))
	letters := strings.Fields("a b c d e f g ah oh नमस्ते è 日本")
	words := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = letters[r.IntN(len(letters))]
		}
		return list
	}
	var ref, hyp, stm, ctm []string
	for i := range 300 {
		said := words(r.IntN(12))
		var heard []string
		for _, w := range said {
			switch r.IntN(8) {
			case 0:
			case 1:
				heard = append(heard, words(2)...)
			default:
				heard = append(heard, w)
			}
		}
		written := strings.Join(said, " ")
		if len(said) > 0 && r.IntN(4) == 0 {
			written += " { um / uh ah / @ }"
		}
		id := fmt.Sprintf("s%d-%03d", i%7, i)
		ref = append(ref, fmt.Sprintf("%s (%s)", written, id))
		hyp = append(hyp, fmt.Sprintf("%s (%s)", strings.Join(heard, " "), id))

		recording, begin := fmt.Sprintf("rec%02d", i/30), float64(i%30)*10
		if i%10 == 9 {
			written = "IGNORE_TIME_SEGMENT_IN_SCORING"
		}
		stm = append(stm, strings.TrimSpace(fmt.Sprintf("%s 1 s%d %.2f %.2f %s", recording, i%7, begin, begin+8, written)))
		at := begin + r.Float64()*3 - 1.5
		for _, w := range heard {
			ctm = append(ctm, fmt.Sprintf("%s 1 %.2f 0.50 %s", recording, max(0, at), w))
			at += 0.8
		}
	}
	r.Shuffle(len(hyp), func(i, j int) { hyp[i], hyp[j] = hyp[j], hyp[i] })
	// sclite takes the words as they come; they are to be in order for both.
	sortCTM(ctm)
	for name, lines := range map[string][]string{"ref.trn": ref, "hyp.trn": hyp, "ref.stm": stm, "hyp.ctm": ctm} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScoreAll passes outcomes in the order of the pairs and ends at an error and with its consumer.
func TestScoreAll(t *testing.T) {
	const n = 3*scoreBatch + 7
	failed := fmt.Errorf("no more")
	pairs := func(end error) func(func(eval.Pair, error) bool) {
		return func(yield func(eval.Pair, error) bool) {
			for i := range n {
				if !yield(eval.Pair{ID: fmt.Sprint(i), Reference: "a b", Hypothesis: "a"}, nil) {
					return
				}
			}
			if end != nil {
				yield(eval.Pair{}, end)
			}
		}
	}
	for _, end := range []error{nil, failed} {
		i := 0
		var err error
		for o, e := range scoreAll(t.Context(), eval.Scorer{}, pairs(end)) {
			if e != nil {
				err = e
				continue
			}
			if o.ID != fmt.Sprint(i) || o.Words.Deletions != 1 {
				t.Fatalf("outcome %d is %+v", i, o)
			}
			i++
		}
		if i != n || err != end {
			t.Errorf("%d outcomes, %v", i, err)
		}
	}
	for range scoreAll(t.Context(), eval.Scorer{}, pairs(nil)) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	last := error(nil)
	for _, err := range scoreAll(ctx, eval.Scorer{}, pairs(nil)) {
		last = err
	}
	if last != context.Canceled {
		t.Errorf("cancelled: %v", last)
	}
}

func TestAlignmentsWrapAndColour(t *testing.T) {
	a := aligner{width: 30, colour: true}
	o, err := eval.Scorer{}.Score(eval.Pair{ID: "x\x1b", Reference: strings.Repeat("seven ", 6) + "a", Hypothesis: strings.Repeat("seven ", 6) + "b"})
	if err != nil {
		t.Fatal(err)
	}
	text := a.text(&o)
	if got := strings.Count(text, "REF: "); got != 2 {
		t.Errorf("%d parts:\n%s", got, text)
	}
	if !strings.Contains(text, "\x1b[33mA\x1b[0m") || strings.Contains(text, "x\x1b") {
		t.Errorf("colours: %q", text)
	}
}

// sortCTM sorts lines by recording and start.
func sortCTM(lines []string) {
	key := func(line string) (recording string, start float64) {
		var channel string
		fmt.Sscan(line, &recording, &channel, &start)
		return recording, start
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		ra, sa := key(a)
		rb, sb := key(b)
		return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(sa, sb))
	})
}
