package transcript

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/eval"
)

// memory returns a source of files that are there in memory.
func memory(role Role, format Format, files ...string) Source {
	s := Source{Role: role, Format: format}
	content := make(map[string]string)
	for i := 0; i < len(files); i += 2 {
		s.Files = append(s.Files, files[i])
		content[files[i]] = files[i+1]
	}
	s.Open = func(name string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content[name])), nil }
	return s
}

// read returns the records of a source.
func read(s Source) (records []*Record, err error) {
	for r, err := range s.Records() {
		if err != nil {
			return records, err
		}
		records = append(records, r)
	}
	return records, nil
}

func TestRecords(t *testing.T) {
	begin, end := 0.1, 2.03
	for _, test := range []struct {
		name, file, content string
		role                Role
		want                []eval.Pair
	}{
		{"trn", "a.trn", "\uFEFF;; a comment\r\nuh (huh) yes (ann-b_1)\r\n\r\n (bob_2)\n{ um / @ } so (x)", Reference, []eval.Pair{
			{ID: "ann-b_1", Speaker: "ann", Reference: "uh (huh) yes"}, {ID: "bob_2", Speaker: "bob"}, {ID: "x", Reference: "{ um / @ } so"},
		}},
		{"trn by its look", "hyp", "a b (x-1)\nc (x-2)\n", Hypothesis, []eval.Pair{
			{ID: "x-1", Speaker: "x", Hypothesis: "a b"}, {ID: "x-2", Speaker: "x", Hypothesis: "c"},
		}},
		{"stm", "a.stm", ";; LABEL \"O\" \"all\" \"\"\nr 1 ann 0.10 2.03 <O,F> uh huh\nr 1 bob 2.5 3\n", Reference, []eval.Pair{
			{ID: "ann-r-1-0.10-2.03", Audio: "r", Speaker: "ann", Start: 0.1, Duration: end - begin, Reference: "uh huh"},
			{ID: "bob-r-1-2.5-3", Audio: "r", Speaker: "bob", Start: 2.5, Duration: 0.5},
		}},
		{"stm by its look", "hyp.txt", "r 1 ann 0.10 2.03 uh huh\n", Hypothesis, []eval.Pair{
			{ID: "ann-r-1-0.10-2.03", Audio: "r", Speaker: "ann", Start: 0.1, Duration: end - begin, Hypothesis: "uh huh"},
		}},
		{"ctm, a record for each channel", "a.ctm", "r A 1.0 0.5 b -6.7\nr A 0.0 0.5 a NA\nr B 0.5 0.5 c\ns A 0 1 d 0.9 lex ann\n", Hypothesis, []eval.Pair{
			{ID: "r", Audio: "r", Duration: 1.5, Hypothesis: "a b"}, {ID: "r", Audio: "r", Duration: 1, Hypothesis: "c"}, {ID: "s", Audio: "s", Duration: 1, Hypothesis: "d"},
		}},
		{"ctm by its look, with alternatives", "ref", "r A * * <ALT_BEGIN>\nr A 12.00 0.34 UM\nr A * * <ALT>\nr A 12 0.3 UH\nr A 12.3 0.3 HUH\nr A * * <ALT>\nr A * * <ALT_END>\nr A 13 1 so\n", Reference, []eval.Pair{
			{ID: "r", Audio: "r", Duration: 14, Reference: "{ UM / UH HUH / @ } so"},
		}},
		{"results", "a.jsonl", `{"audio_filepath":"a.wav","lang":"cs","detected":"sk","adapter":"cs","ref":"ahoj","hyp":"","wer":1}` + "\n\n" +
			`{"id":7,"adapter":null,"ref":"","hyp":"x","speaker":"s","start":1.5,"duration":2,"latency":0.3}`, Results, []eval.Pair{
			{Audio: "a.wav", Lang: "cs", Detected: "sk", Adapter: "cs", Reference: "ahoj"},
			{ID: "7", Hypothesis: "x", Speaker: "s", Start: 1.5, Duration: 2, Latency: 0.3},
		}},
		{"a manifest of NeMo", "a.json", `{"audio_filepath":"a.wav","offset":2,"duration":1,"text":"yes","pred_text":"jes"}`, Hypothesis, []eval.Pair{
			{Audio: "a.wav", Start: 2, Duration: 1, Hypothesis: "jes"},
		}},
		{"an utterance that failed", "a.jsonl", `{"id":"a","ref":"yes","error":"no such file"}`, Results, []eval.Pair{{ID: "a", Reference: "yes", Err: "no such file"}}},
		{"names of other programs", "x", `{"utt_id":"a","text":"yes","audio":{"path":"b.wav","bytes":null},"language":"en"}` + "\n", Reference, []eval.Pair{
			{ID: "a", Audio: "b.wav", Lang: "en", Reference: "yes"},
		}},
		{"escapes, and a name within a text", "x.json", `{ "te\u0078t" : "a\t\"text\": \u00e9" , "x":{"text":[{"a":"}"},"]"]}, "key":-1.5e3 }` + "\n{}\n", Hypothesis, []eval.Pair{
			{ID: "-1.5e3", Hypothesis: "a\t\"text\": é"},
		}},
		{"Kaldi's text", "data/text", "ann-1 uh  huh\nbob-2\n\n", Reference, []eval.Pair{{ID: "ann-1", Reference: "uh  huh"}, {ID: "bob-2"}}},
		{"plain text, blank lines too", "a.txt", "one two\n\n three", Reference, []eval.Pair{{Reference: "one two"}, {}, {Reference: "three"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			records, err := read(memory(test.role, Auto, test.file, test.content))
			if err != nil && !strings.Contains(test.content, "{}") {
				t.Fatal(err)
			}
			if len(records) != len(test.want) {
				t.Fatalf("%d records, want %d", len(records), len(test.want))
			}
			for i, r := range records {
				if r.Pair != test.want[i] {
					t.Errorf("record %d is %+v, want %+v", i, r.Pair, test.want[i])
				}
			}
		})
	}
}

func TestRecordErrors(t *testing.T) {
	for _, test := range []struct {
		role                Role
		file, content, want string
	}{
		{Reference, "a.trn", "a b (x)\nc d\n", "a.trn:2: transcript: bad input: no utterance identifier"},
		{Reference, "a.trn", "a b ()\n", "a.trn:1: transcript: bad input: an empty utterance identifier"},
		{Reference, "a.trn", "a b (x) c\n", `"c" behind the utterance identifier`},
		{Reference, "a.stm", ";;\nr 1 s 0 x\n", `a.stm:2: transcript: bad input: end "x" is not a time in seconds`},
		{Reference, "a.stm", "r 1 s 2 1 words\n", "ends before it begins"},
		{Reference, "a.stm", "r 1 s 2\n", "4 columns; an stm has"},
		{Reference, "a.ctm", "r 1 0 1\n", "4 columns; a ctm has"},
		{Reference, "a.ctm", "r 1 NaN 1 a\n", `start "NaN" is not a time`},
		{Reference, "a.ctm", "r 1 0 -1 a\n", `duration "-1" is not a time`},
		{Reference, "a.ctm", "r 1 0 1 a high\n", `confidence "high"`},
		{Reference, "a.ctm", "r 1 * * <ALT>\n", "<ALT> out of place"},
		{Reference, "a.ctm", "r 1 * * <ALT_BEGIN>\nr 1 0 1 a\n", "without <ALT_END>"},
		{Hypothesis, "a.ctm", "r 1 * * <ALT_BEGIN>\n", "a hypothesis can have no alternatives"},
		{Reference, "a.jsonl", "[\n", "jq -c"},
		{Reference, "a.jsonl", `{"id":"a"}`, "no reference: none of ref,"},
		{Hypothesis, "a.jsonl", `{"id":"a"}`, "no hypothesis: none of hyp,"},
		{Results, "a.jsonl", `{"id":"a","text":"b"}`, "no hypothesis beside the reference"},
		{Reference, "a.jsonl", `{"id":[],"text":"b"}`, "id: [] is no name"},
		{Reference, "a.jsonl", `{"text":7}`, "text: 7 is no text"},
		{Reference, "a.jsonl", `{"text":"b","duration":"long"}`, `duration: "long" is no number`},
		{Reference, "a.jsonl", `{"text":"b",}`, "invalid character"},
		{Reference, "a.jsonl", `{"text":"b","duration":-1}`, "a time of -1 seconds"},
		{Results, "a.trn", "a (x)\n", "references and hypotheses are to be named apart"},
		{Reference, "a.txt", "\xff\xfea\x00", "a.txt: transcript: bad input: UTF-16"},
		{Reference, "a.txt", "fine\ncaf\xe9\n", "a.txt:2: transcript: bad input: not UTF-8"},
		{Reference, "a.txt", strings.Repeat("a", maxLine+1), "a line of more than"},
		{Reference, "a.txt", "\x1f\x8bnot", "a.txt: transcript: bad input: "},
	} {
		_, err := read(memory(test.role, Auto, test.file, test.content))
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s of %.30q: %v, want %q", test.file, test.content, err, test.want)
		}
	}
	s := memory(Reference, Auto, "a.trn", "a (x)\n", "b.stm", "r 1 s 0 1 a\n")
	if _, err := read(s); err == nil || !strings.Contains(err.Error(), "b.stm: transcript: bad input: a file of format stm among those of format trn") {
		t.Errorf("files of two formats: %v", err)
	}
}

func TestFilesOfADisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.trn.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	long := strings.Repeat("word ", 100_000)
	fmt.Fprintf(z, "%s(x-1)\nb (x-2)\n", long)
	z.Close()
	if err := os.WriteFile(name, packed.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	records, err := read(Source{Files: []string{name}})
	if err != nil || len(records) != 2 || records[0].Reference != strings.TrimSpace(long) || records[1].Place != (Place{name, 2}) {
		t.Errorf("%d records, %v", len(records), err)
	}
	if _, err := read(Source{Files: []string{name + "x"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
}

// TestWritersAndReadersAgree writes pairs in each format and reads them again.
func TestWritersAndReadersAgree(t *testing.T) {
	pairs := []eval.Pair{
		{ID: "ann-1", Speaker: "ann", Audio: "dir/r.1.wav", Start: 1.5, Duration: 2, Lang: "hi", Reference: "<unk> नमस्ते (दुनिया)", Hypothesis: "नमस्ते  दुनिया {"},
		{ID: "ann-2", Speaker: "ann", Audio: "dir/r.1.wav", Start: 4, Duration: 0.25},
	}
	for _, format := range []Format{TRN, CTM, STM, JSONL, Kaldi, Text} {
		for _, role := range []Role{Reference, Hypothesis} {
			var out bytes.Buffer
			w, err := NewWriter(&out, format, role)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pairs {
				if err := w.Write(p); err != nil {
					t.Fatal(err)
				}
			}
			records, err := read(memory(role, format, "x", out.String()))
			if err != nil {
				t.Fatalf("%s: %v of\n%s", format, err, &out)
			}
			if format == CTM && len(records) == 1 {
				records = append(records, &Record{})
			}
			for i, r := range records {
				if got, want := oneLine(r.text(role)), oneLine((&Record{Pair: pairs[i]}).text(role)); got != want {
					t.Errorf("%s: text %q, want %q", format, got, want)
				}
				if format != CTM && format != Text && format != STM && r.ID != pairs[i].ID {
					t.Errorf("%s: id %q, want %q", format, r.ID, pairs[i].ID)
				}
				if format == STM && (r.Audio != "r.1" || r.Speaker != "ann" || r.Start != pairs[i].Start || r.Duration != pairs[i].Duration) {
					t.Errorf("stm: %+v", r)
				}
			}
		}
	}
	for _, w := range Spread("a bcd", 10, 2) {
		if w.Start < 10 || w.Start+w.Duration > 12 || !math.IsNaN(w.Confidence) {
			t.Errorf("spread: %+v", w)
		}
	}
	var out bytes.Buffer
	if err := WriteTRN(&out, "a (b)", ""); !errors.Is(err, ErrSyntax) {
		t.Errorf("an identifier with parentheses: %v", err)
	}
	if err := WriteCTM(&out, "a b", "1", []Word{{Text: "x"}}); !errors.Is(err, ErrSyntax) {
		t.Errorf("a recording of two words: %v", err)
	}
	if w, _ := NewWriter(&out, CTM, Hypothesis); !errors.Is(w.Write(eval.Pair{ID: "a", Hypothesis: "b"}), ErrSyntax) {
		t.Error("a ctm of words without times")
	}
	if out.Len() > 0 {
		t.Errorf("written: %q", &out)
	}
}
