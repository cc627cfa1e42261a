package transcript

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glossa/eval"
)

// pairs returns what Pairs yields, as "id adapter: ref | hyp", and what it warns of.
func pairs(o Options, ref Source, hyps ...Source) (got, warnings []string, err error) {
	o.Warn = func(m string) { warnings = append(warnings, m) }
	for p, err := range Pairs(ref, hyps, o) {
		if err != nil {
			return got, warnings, err
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s: %s | %s", p.ID, p.Adapter, p.Reference, p.Hypothesis)))
	}
	return got, warnings, nil
}

func named(name string, s Source) Source {
	s.Name = name
	return s
}

func TestPairs(t *testing.T) {
	trn := memory(Reference, Auto, "r.trn", "a b (x-1)\nc (x-2)\nd (x-3)\n")
	for _, test := range []struct {
		name string
		o    Options
		ref  Source
		hyps []Source
		want []string
		warn string
	}{
		{"by identifiers, in any order", Options{}, trn, []Source{memory(0, Auto, "h.trn", "d (x-3)\na (x-1)\nc c (x-2)\n")},
			[]string{"x-1 : a b | a", "x-2 : c | c c", "x-3 : d | d"}, ""},
		{"two systems beside each other", Options{}, trn, []Source{
			named("one", memory(0, Auto, "h.trn", "d (x-3)\na (x-1)\nc c (x-2)\n")), named("two", memory(0, Kaldi, "text", "x-1 e\nx-2 f\nx-3\n")),
		}, []string{"x-1 one: a b | a", "x-1 two: a b | e", "x-2 one: c | c c", "x-2 two: c | f", "x-3 one: d | d", "x-3 two: d |"}, ""},
		{"missing hypotheses", Options{}, trn, []Source{memory(0, Auto, "h.trn", "c (x-2)\n")},
			[]string{"x-2 : c | c", "x-1 : a b |", "x-3 : d |"}, "r.trn:1: 2 of 3 references are not in the hypotheses and count as empty; the first is utterance x-1"},
		{"missing ones left out", Options{Missing: Skip}, trn, []Source{memory(0, Auto, "h.trn", "c (x-2)\n")},
			[]string{"x-2 : c | c"}, "2 of 3 references are not in the hypotheses and are left out"},
		{"extra ones left out", Options{Extra: Skip}, trn, []Source{memory(0, Auto, "h.trn", "a (x-1)\nq (y)\nc (x-2)\nd (x-3)")},
			[]string{"x-1 : a b | a", "x-2 : c | c", "x-3 : d | d"}, "h.trn:2: 1 of 4 of the hypotheses are not among the references and are left out; the first is utterance y"},
		{"by lines", Options{}, memory(0, Auto, "r.txt", "a\n\nb\n"), []Source{memory(0, Auto, "h.txt", "\nb\nc")},
			[]string{"1 : a |", "2 :  | b", "3 : b | c"}, ""},
		{"lines to identifiers", Options{}, trn, []Source{memory(0, Auto, "h.txt", "a\nc\nd\n")},
			[]string{"x-1 : a b | a", "x-2 : c | c", "x-3 : d | d"}, ""},
		{"by sound", Options{}, memory(0, Auto, "r.jsonl", `{"audio_filepath":"a/1.wav","text":"x"}`+"\n"+`{"audio_filepath":"b/1.wav","text":"y"}`),
			[]Source{memory(0, Auto, "h.jsonl", `{"audio_filepath":"b/1.wav","pred_text":"z"}`+"\n"+`{"audio_filepath":"a/1.wav","text":"w"}`)},
			[]string{": x | w", ": y | z"}, ""},
		{"by the names of sound", Options{}, memory(0, Auto, "r.jsonl", `{"audio_filepath":"a/u-1.wav","text":"x"}`),
			[]Source{memory(0, Auto, "h.trn", `z (u-1)`)}, []string{"u-1 : x | z"}, ""},
		{"by the names of sound in other folders", Options{}, memory(0, Auto, "r.jsonl", `{"audio_filepath":"u-1.wav","text":"x"}`),
			[]Source{memory(0, Auto, "h.jsonl", `{"audio_filepath":"data/u-1.wav","text":"z"}`)}, []string{": x | z"}, ""},
		{"a recording to its words", Options{}, memory(0, Auto, "r.trn", "a b (r)\n"), []Source{memory(0, Auto, "h.ctm", "r 1 0 1 a\nr 1 1 1 c\n")},
			[]string{"r : a b | a c"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, warnings, err := pairs(test.o, test.ref, test.hyps...)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(test.name, "any order") || strings.Contains(test.name, "sound") || strings.Contains(test.name, "beside") {
				slices.Sort(got)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if all := strings.Join(warnings, "\n"); !strings.Contains(all, test.warn) || test.warn == "" && all != "" {
				t.Errorf("warnings %q, want %q", all, test.warn)
			}
		})
	}
}

func TestPairErrors(t *testing.T) {
	trn := memory(Reference, Auto, "r.trn", "a b (x-1)\nc (x-2)\n")
	results := `{"id":"x-1","adapter":null,"ref":"","hyp":"a"}` + "\n" + `{"id":"x-1","adapter":"cs","ref":"","hyp":"a"}` + "\n"
	for _, test := range []struct {
		o    Options
		ref  Source
		hyp  Source
		want string
	}{
		{Options{}, trn, memory(0, Auto, "h.trn", "a (x-1)\nb (x-1)\n"), "h.trn:2: transcript: sources do not match: utterance x-1 comes twice"},
		{Options{}, memory(0, Auto, "r.trn", "a (x-1)\nb (x-2)\nc (x-2)"), memory(0, Auto, "h.trn", "a (x-1)\n"), "r.trn:3: transcript: sources do not match: utterance x-2 comes twice; before at r.trn:2"},
		{Options{}, trn, memory(0, Auto, "h.trn", "a (x-1)\nb (x-3)\n"), "h.trn:2: transcript: sources do not match: utterance x-3 is not among the references"},
		{Options{}, trn, memory(0, Auto, "h.trn", "a (y1)\nb (y2)\n"), "nothing in the hypotheses is among the references: there it is utterance x-1, here utterance y1"},
		{Options{Missing: Fail}, trn, memory(0, Auto, "h.trn", "a (x-1)\n"), "r.trn:2: transcript: sources do not match: utterance x-2 is not in the hypotheses"},
		{Options{}, trn, memory(0, Auto, "h.txt", "a\n"), "2 references in r.trn, 1 hypotheses in h.txt, where line is put to line"},
		{Options{}, memory(0, Auto, "r.trn", "\n"), memory(0, Auto, "h.trn", "a (x-1)\n"), "r.trn: transcript: sources do not match: no references"},
		{Options{}, trn, memory(0, Auto, "h.jsonl", results), "of results of several adapters one has to be chosen"},
		{Options{}, memory(0, Auto, "r.stm", "r 1 s 0 1 a\nq 1 s 0 1 b\nr 1 s 1 2 c\n"), memory(0, Auto, "h.ctm", "r 1 0 1 a\nq 1 0 1 b\n"), "have to be together"},
		{Options{}, memory(0, Auto, "r.stm", "r 1 s 0 1 a\n"), memory(0, Auto, "h.ctm", "r 2 0 1 a\n"), "here channel 2 of recording r"},
	} {
		_, _, err := pairs(test.o, test.ref, test.hyp)
		if !errors.Is(err, ErrUnpaired) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
	cs := ""
	chosen := memory(0, Auto, "h.jsonl", results)
	chosen.Adapter = &cs
	if got, _, err := pairs(Options{}, memory(0, Auto, "r.trn", "a b (x-1)\n"), chosen); err != nil || !slices.Equal(got, []string{"x-1 : a b | a"}) {
		t.Errorf("of one adapter: %q, %v", got, err)
	}
}

// TestWordsGoToSegmentsByTime follows segment_hyp_for_utt of sclite's stm2ctm.c.
func TestWordsGoToSegmentsByTime(t *testing.T) {
	stm := memory(0, Auto, "r.stm", `;; sorted by the reader
r 1 ann 2.0 3.0 second
r 1 ann 1.0 2.0 first
r 1 noise 3.0 4.0 IGNORE_TIME_SEGMENT_IN_SCORING
r 1 bob 5.0 6.0 last
r 2 ann 0 9
q 1 ann 0 1 gone
`)
	ctm := memory(0, Auto, "h.ctm", `r 1 0.0 0.2 before
r 1 1.8 0.3 ends-in-second
r 1 1.9 0.2 middle-on-border
r 1 3.1 0.2 ignored
r 1 4.2 0.2 between
r 1 5.2 0.2 in-last
r 1 7.0 0.2 behind
r 2 1 1 silence
`)
	got, warnings, err := pairs(Options{}, stm, ctm)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ann-r-1-1.0-2.0 : first | before ends-in-second", "ann-r-1-2.0-3.0 : second | middle-on-border",
		"bob-r-1-5.0-6.0 : last | between in-last behind", "ann-r-2-0-9 :  | silence", "ann-q-1-0-1 : gone |",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "channel 1 of recording q") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestPairsHoldWhatIsBetween reads files that are in the same order but for one early utterance, and looks at what waits.
func TestPairsHoldWhatIsBetween(t *testing.T) {
	const n = 2000
	lines := func(skip int) Source {
		s := Source{Files: []string{"x.trn"}}
		s.Open = func(string) (io.ReadCloser, error) {
			r, w := io.Pipe()
			go func() {
				for i := range n {
					if i != skip {
						fmt.Fprintf(w, "a b (s-%d)\n", i)
					}
				}
				w.Close()
			}()
			return r, nil
		}
		return s
	}
	j := &join{}
	seen, most := 0, 0
	for _, err := range Pairs(lines(-1), []Source{lines(10)}, Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d pairs of %d", seen, n)
	}
	j = newJoin(1, Options{Missing: Empty, Extra: Fail}, func(eval.Pair, error) bool {
		most = max(most, len(j.pending.packed))
		return true
	})
	defer j.close()
	if err := j.open(lines(-1), []Source{lines(10)}); err != nil {
		t.Fatal(err)
	}
	if err := j.run(); err != nil {
		t.Fatal(err)
	}
	if most > 3 {
		t.Errorf("%d utterances waited", most)
	}
}

func TestPairsEndWhenTheConsumerHasEnough(t *testing.T) {
	for range Pairs(memory(0, Auto, "r.txt", "a\nb\n"), []Source{memory(0, Auto, "h.txt", "a\nb\n")}, Options{}) {
		break
	}
}

func TestResultPairs(t *testing.T) {
	results := `{"id":"a","lang":"cs","adapter":null,"ref":"x","hyp":"y"}
{"id":"a","lang":"cs","adapter":"cs","ref":"x","hyp":"x"}
{"id":"a","lang":"fi","ref":"z","hyp":"z"}
{"ref":"","hyp":""}
{"ref":"","hyp":""}
`
	n := 0
	for p, err := range ResultPairs(memory(0, Auto, "r.jsonl", results)) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 && (p.Adapter != "cs" || p.Hypothesis != "x") {
			t.Errorf("%+v", p)
		}
	}
	if n != 5 {
		t.Errorf("%d pairs", n)
	}
	for _, err := range ResultPairs(memory(0, Auto, "r.jsonl", results+`{"id":"a","lang":"fi","ref":"z","hyp":"z"}`)) {
		if n--; n < 0 && (!errors.Is(err, ErrUnpaired) || !strings.Contains(err.Error(), "r.jsonl:6: ")) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzRecords reads anything as each format: no input panics, and what was read is of the file's lines.
func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		"a b (x-1)\n", "r 1 ann 0.1 2 <O> a\n", "r A * * <ALT_BEGIN>\nr A 1 1 a\nr A * * <ALT>\nr A * * <ALT_END>\n", `{"id":1,"ref":"a","hyp":"b"}` + "\n",
		"x a b\n", "\uFEFF;; c\r\n", "\x1f\x8b\x08", "(((", "{\"text\":\"a\",\"hyp\":null,\"error\":\"x\"}",
	} {
		f.Add(seed, uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, content string, format, role uint8) {
		s := memory(Role(role%3), Formats()[int(format)%len(Formats())], "x", content)
		records, err := read(s)
		if err != nil && !errors.Is(err, ErrSyntax) {
			t.Errorf("%v is not of the syntax", err)
		}
		lines := strings.Count(content, "\n") + 1
		if !strings.HasPrefix(content, "\x1f\x8b") && len(records) > lines {
			t.Errorf("%d records of %d lines", len(records), lines)
		}
	})
}

// FuzzPairs puts two files together that have lines in common: each reference has its pair, or there is an error.
func FuzzPairs(f *testing.F) {
	f.Add("a (x)\nb (y)\n", "b (y)\n", uint64(1))
	f.Add("r 1 s 0 1 a\nr 1 s 1 2 b\n", "r 1 0 1 a\nr 1 1 1 b\n", uint64(2))
	f.Fuzz(func(t *testing.T, ref, hyp string, seed uint64) {
		lines := strings.Split(ref+"\n"+hyp, "\n")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		for _, other := range []string{hyp, strings.Join(lines, "\n")} {
			got, _, err := pairs(Options{Extra: Skip}, memory(0, Auto, "r", ref), memory(0, Auto, "h", other))
			if err != nil {
				if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrUnpaired) {
					t.Errorf("%v", err)
				}
				continue
			}
			records, err := read(memory(Reference, Auto, "r", ref))
			if err != nil {
				continue // read as a ctm's segments it was well
			}
			want := 0
			for _, r := range records {
				if !r.Ignored {
					want++
				}
			}
			if len(got) != want {
				t.Errorf("%d pairs of %d references", len(got), want)
			}
		}
	})
}

// TestKaldiBesideItself has one file told by its name, and the other by the first.
func TestKaldiBesideItself(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, other := write("text", "u1 one two\nu2 three\n"), write("other", "u2 three\nu1 one\n")
	pairs := func(ref, hyp Source) (list []string, err error) {
		for p, err := range Pairs(ref, []Source{hyp}, Options{}) {
			if err != nil {
				return nil, err
			}
			list = append(list, p.ID+": "+p.Reference+" / "+p.Hypothesis)
		}
		slices.Sort(list)
		return list, nil
	}
	named, looked := Source{Files: []string{text}}, Source{Files: []string{other}}
	if got, err := pairs(named, looked); err != nil || !slices.Equal(got, []string{"u1: one two / one", "u2: three / three"}) {
		t.Errorf("hypotheses beside Kaldi's references: %q, %v", got, err)
	}
	if got, err := pairs(looked, named); err != nil || !slices.Equal(got, []string{"u1: one / one two", "u2: three / three"}) {
		t.Errorf("references beside Kaldi's hypotheses: %q, %v", got, err)
	}
	looked.Format = Text
	if got, err := pairs(named, looked); err != nil || !slices.Equal(got, []string{"u1: one two / u2 three", "u2: three / u1 one"}) {
		t.Errorf("plain text as such: %q, %v", got, err)
	}
}
