package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// upstreamCase is what a normaliser of openai/whisper made of a text.
type upstreamCase struct{ Normaliser, Text, Want string }

// upstreamCases reads a table of them, one JSON object a line.
func upstreamCases(t *testing.T, path string) []upstreamCase {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []upstreamCase
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var c upstreamCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestAgreesWithUpstream compares the normalisers with what openai/whisper's make of the same texts, white space at the ends apart.
func TestAgreesWithUpstream(t *testing.T) {
	spellings, err := ReadSpellings("testdata/normalizer.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := upstreamCases(t, "testdata/upstream.jsonl")
	if len(cases) < 500 {
		t.Fatalf("%d cases are too few", len(cases))
	}
	for _, c := range cases {
		n, err := NormaliserNamed(c.Normaliser, spellings)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := n.Normalise(c.Text, ""), strings.TrimSpace(c.Want); got != want {
			t.Errorf("%s: %q becomes %q, upstream has %q", c.Normaliser, c.Text, got, want)
		}
	}
}

func TestNormaliserNamed(t *testing.T) {
	spellings := map[string]string{"colour": "color"}
	for _, c := range []struct{ name, text, want string }{
		{"glossa", "Don't — नमस्ते!", "don t नमस्ते"},
		{"basic", "नमस्ते कौन", "नमस त क न"}, // by hand: the signs े, ्, ौ are marks
		{"basic", "मराठी", "मर ठ"},
		{"basic-diacritics", "Čeština", "cestina"},
		{"english", "The colour's £5 and a half.", "the color is £5 and a half"},
		{"english", "Twenty-one colours, five and a half", "21 colours 5.5"},
		{"none", " Don't\t [x] — ", "Don't [x] —"},
	} {
		n, err := NormaliserNamed(c.name, spellings)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Normalise(c.text, "en"); got != c.want {
			t.Errorf("%s: %q becomes %q, want %q", c.name, c.text, got, c.want)
		}
		if n.Name != c.name || n.Version == "" || n.String() != n.Name+" "+n.Version {
			t.Errorf("%q is reported as %q", c.name, n)
		}
	}
	for _, name := range Normalisers() {
		if _, err := NormaliserNamed(name, nil); err != nil {
			t.Error(err)
		}
	}
	with, _ := NormaliserNamed("english", spellings)
	other, _ := NormaliserNamed("english", map[string]string{"grey": "gray"})
	without, _ := NormaliserNamed("english", nil)
	if with.String() == other.String() || with.String() == without.String() || without.Normalise("colour", "en") != "colour" {
		t.Errorf("names with two maps and without one: %q, %q, %q", with, other, without)
	}
	if _, err := NormaliserNamed("klingon", nil); err == nil || !strings.Contains(err.Error(), "basic-diacritics") {
		t.Errorf("of an unknown name: %v", err)
	}
}

func TestReadSpellings(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		`{"grey": "gray", "colour": "color"}`: "",
		`["grey"]`:                            "not one JSON object",
		`{"grey": 1}`:                         "not one JSON object",
		`{"grey": "gray"} x`:                  "not one JSON object",
		`{}`:                                  "has none",
		``:                                    "not one JSON object",
	} {
		path := filepath.Join(dir, "normalizer.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		spellings, err := ReadSpellings(path)
		switch {
		case want == "" && (err != nil || spellings["grey"] != "gray"):
			t.Errorf("%s: %v, %v", text, spellings, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want one of %q", text, err, want)
		}
	}
	if _, err := ReadSpellings(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of an absent file: %v", err)
	}
}

// FuzzNormalisers checks that no text makes a normaliser panic, that all are of single spaces and valid, and that those are
// idempotent that promise it. (English is not: "one" becomes 1, which is written "one", and "ten s" 10s, then "10 s".)
func FuzzNormalisers(f *testing.F) {
	for _, s := range []string{"Don't, Mr. O'Neill's!", "two dollars and seventy cents", "minus point .5 १.५ million", "नमस्ते", "\xff\x00 \u2028İ", "1. and a half", "$0€0123", "ß½Ⅷ"} {
		f.Add(s)
	}
	var normalisers []*Normaliser
	for _, name := range Normalisers() {
		n, err := NormaliserNamed(name, map[string]string{"grey": "gray"})
		if err != nil {
			f.Fatal(err)
		}
		normalisers = append(normalisers, n)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range normalisers {
			got := n.Normalise(text, "en")
			if got != strings.ToValidUTF8(got, "") || got != strings.Join(strings.Fields(got), " ") {
				t.Errorf("%s: %q becomes %q", n, text, got)
			}
			if n.Name == "glossa" || n.Name == "none" {
				if again := n.Normalise(got, "en"); again != got {
					t.Errorf("%s: %q becomes %q, and that %q", n, text, got, again)
				}
			}
		}
	})
}
