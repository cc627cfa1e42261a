package eval

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// opsOf reads steps from their letters.
func opsOf(letters string) []Op {
	ops := make([]Op, len(letters))
	for i := range letters {
		ops[i] = Op(strings.IndexByte("CSDI", letters[i]))
	}
	return ops
}

// TestMAPSSWESegments pins where segments end.
func TestMAPSSWESegments(t *testing.T) {
	for _, c := range []struct {
		base, system string
		segments     int
		sum, squares int64
	}{
		{"", "", 0, 0, 0},
		{"CCCC", "CCCC", 0, 0, 0},
		{"CCSCCCC", "SCCCCCD", 2, -1, 1},      // (1-1) and (0-1): one good word between two errors does not end a segment
		{"SCCS", "CCCC", 2, 2, 2},             // two good words do
		{"SCICS", "CCCC", 1, 3, 9},            // unless a word is put in between
		{"SCCIC", "CCCC", 2, 2, 2},            // one put in behind them opens another
		{"CCI", "CC", 1, 1, 1},                // at the end
		{"CC", "CCII", 1, -2, 4},              // of the other system alone
		{"II", "", 1, 2, 4},                   // where nothing is said
		{"SC", "SC", 1, 0, 0},                 // an equal number of errors is a segment
		{"DDD", "CCC", 1, 3, 9},               // nothing recognised
		{"CSC", "CC", 1, 1, 1},                // references of another length: one segment
		{"ICCCC", "CCCD", 2, 0, 2},            // at the start
		{"SCSCCSC", "CCCCCCC", 2, 3, 2*2 + 1}, // both
	} {
		var m MAPSSWE
		m.Add(opsOf(c.base), opsOf(c.system))
		if m != (MAPSSWE{c.segments, c.sum, c.squares}) {
			t.Errorf("%q, %q: %+v, want %d segments, %d, %d", c.base, c.system, m, c.segments, c.sum, c.squares)
		}
		var back MAPSSWE
		back.Add(opsOf(c.system), opsOf(c.base))
		if back != (MAPSSWE{c.segments, -c.sum, c.squares}) {
			t.Errorf("%q, %q: the other way round %+v", c.base, c.system, back)
		}
	}
}

func TestMAPSSWEWithoutSpread(t *testing.T) {
	if p, ok := (MAPSSWE{}).P(); p != 1 || !ok {
		t.Errorf("no segments: %v, %v", p, ok)
	}
	if p, ok := (MAPSSWE{Segments: 5}).P(); p != 1 || !ok {
		t.Errorf("no differences: %v, %v", p, ok)
	}
	if _, ok := (MAPSSWE{Segments: 5, sum: 10, squares: 20}).P(); ok {
		t.Error("equal differences have a p-value")
	}
	// Differences 2, 0, 1, 1: mean 1, standard deviation √(2/3), Z = 1/(√(2/3)/2) = √6.
	if z, ok := (MAPSSWE{Segments: 4, sum: 4, squares: 6}).Z(); math.Abs(z-math.Sqrt(6)) > 1e-12 || !ok {
		t.Errorf("Z = %v, %v, want √6", z, ok)
	}
}

// sgmlOps reads the steps of each utterance from sclite's SGML.
func sgmlOps(t *testing.T, sgml []byte) map[string][]Op {
	t.Helper()
	out := make(map[string][]Op)
	id := ""
	for line := range strings.Lines(string(sgml)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "<PATH "):
			id = line[strings.Index(line, `"`)+1:]
			id = id[:strings.Index(id, `"`)]
			out[id] = nil
		case line != "" && line[0] != '<':
			for _, step := range strings.Split(line, ":") {
				out[id] = append(out[id], opsOf(step[:1])...)
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("no paths in the SGML")
	}
	return out
}

var matchedPairs = regexp.MustCompile(`MTCH_PR_RESULTS .*\(# segs: (\d+)\).*\(mean: +(-?[\d.]+)\) \(std dev: +([\d.]+)\) \(Z Stat: +(-?[\d.]+)\)`)

// checkMAPSSWE compares the test on sclite's alignments with what sc_stats printed.
func checkMAPSSWE(t *testing.T, base, system, printed []byte) MAPSSWE {
	t.Helper()
	match := matchedPairs.FindSubmatch(printed)
	if match == nil {
		t.Fatalf("no results of matched pairs in %s", printed)
	}
	var want [4]float64
	for i := range want {
		want[i], _ = strconv.ParseFloat(string(match[i+1]), 64)
	}
	a, b := sgmlOps(t, base), sgmlOps(t, system)
	var m MAPSSWE
	for id, ops := range a {
		m.Add(ops, b[id])
	}
	n := float64(m.Segments)
	mean := float64(m.sum) / n
	deviation := math.Sqrt((float64(m.squares) - n*mean*mean) / (n - 1))
	z, ok := m.Z()
	for i, got := range []float64{n, mean, deviation, z} {
		if !(math.Abs(got-want[i]) <= 0.00051) || !ok {
			t.Errorf("%s of %d segments: %v, sc_stats has %v", []string{"segments", "mean", "deviation", "Z"}[i], m.Segments, got, want[i])
		}
	}
	return m
}

func TestMAPSSWEAgreesWithScStats(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata/mapsswe", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	printed := read("sc_stats.txt")
	m := checkMAPSSWE(t, read("base.sgml"), read("system.sgml"), printed)
	p, _ := m.P()
	unified := regexp.MustCompile(`system +(0\.\d+)`).FindSubmatch(printed)
	if unified == nil || fmt.Sprintf("%.3f", p) != string(unified[1]) {
		t.Errorf("p = %.3f, sc_stats has %s", p, unified)
	}
}

// TestMAPSSWEFromTexts comes to sc_stats's numbers from the transcripts, by sclite's costs.
func TestMAPSSWEFromTexts(t *testing.T) {
	var texts [3]map[string]string
	for i, name := range []string{"ref.trn", "base.trn", "system.trn"} {
		data, err := os.ReadFile(filepath.Join("testdata/mapsswe", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = make(map[string]string)
		for line := range strings.Lines(string(data)) {
			at := strings.LastIndexByte(line, '(')
			texts[i][strings.TrimSpace(line[at:])] = line[:at]
		}
	}
	none, err := NormaliserNamed("none", nil)
	if err != nil {
		t.Fatal(err)
	}
	var m MAPSSWE
	for id, ref := range texts[0] {
		var ops [2][]Op
		for i := range ops {
			o, err := Scorer{Normaliser: none, Costs: Sclite}.Score(Pair{Reference: ref, Hypothesis: texts[1+i][id]})
			if err != nil {
				t.Fatal(err)
			}
			ops[i] = o.Ops
		}
		m.Add(ops[0], ops[1])
	}
	if z, ok := m.Z(); !ok || m.Segments != 242 || fmt.Sprintf("%.3f", z) != "2.362" {
		t.Errorf("%d segments, Z %.3f; sc_stats has 242 and 2.362", m.Segments, z)
	}
}

// TestMAPSSWEAgreesWithScStatsHere has the program judge systems that are made up anew.
func TestMAPSSWEAgreesWithScStatsHere(t *testing.T) {
	if _, err := exec.LookPath("sctk"); err != nil {
		t.Skip("SKIP: no sctk (Debian package sctk)")
	}
	draw := rand.New(rand.NewPCG(11, 12))
	for round, rates := range [][2]float64{{0.3, 0.2}, {0.05, 0.05}, {0.6, 0.1}} {
		dir := t.TempDir()
		var files [3]strings.Builder
		for i := range 150 {
			ref := randomText(draw, 1+draw.IntN(30), 40)
			hyps := [3][]string{ref, corrupted(draw, ref, rates[0]), corrupted(draw, ref, rates[1])}
			for k, words := range hyps {
				fmt.Fprintf(&files[k], "%s (s%d-%d)\n", strings.Join(words, " "), i%7, i)
			}
		}
		var sgml [3][]byte
		for k, name := range []string{"ref", "base", "system"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(files[k].String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if k > 0 {
				sgml[k] = sctk(t, dir, nil, "sclite", "-r", "ref", "trn", "-h", name, "trn", name, "-i", "spu_id", "-o", "sgml", "stdout")
			}
		}
		sctk(t, dir, bytes.Join(sgml[1:], nil), "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "out")
		printed, err := os.ReadFile(filepath.Join(dir, "out.stats.mapsswe"))
		if err != nil {
			t.Fatal(err)
		}
		if m := checkMAPSSWE(t, sgml[1], sgml[2], printed); m.Segments < 50 {
			t.Errorf("round %d: %d segments only", round, m.Segments)
		}
	}
}

// sctk runs a program of sctk and returns what it printed.
func sctk(t *testing.T, dir string, stdin []byte, args ...string) []byte {
	t.Helper()
	command := exec.Command("sctk", args...)
	command.Dir, command.Stdin = dir, bytes.NewReader(stdin)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("sctk %v: %v: %s", args, err, complaint.Bytes())
	}
	return out
}
