package asr_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"glossa/asr"
	"glossa/whisper/goldentest"
)

// writerCall is what a kit's manifest says of a file that an upstream writer made.
var writerCall = regexp.MustCompile(`get_writer\('(\w+)'\) of transcribe case '(.*)', options (\{.*\})$`)

// TestGoldenWriters holds the formats against upstream's writers, with every set of options that the
// kit holds.
func TestGoldenWriters(t *testing.T) {
	k := goldentest.Open(t, backend(t), "..", "..", "shared", "golden", "public")
	var manifest struct {
		Files map[string]struct{ What string }
	}
	k.JSON(t, "manifest.json", &manifest)
	n := 0
	for name, file := range manifest.Files {
		if !strings.Contains(name, "/writers/") {
			continue
		}
		call := writerCall.FindStringSubmatch(file.What)
		if call == nil {
			t.Errorf("%s: unknown description %q", name, file.What)
			continue
		}
		n++
		r := resultOfCase(t, k, name[:strings.Index(name, "/")], call[2])
		want, err := os.ReadFile(filepath.Join(k.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		if err := asr.Write(&got, call[1], r, writerOptions(t, call[3])); err != nil {
			t.Fatal(err)
		}
		if call[1] == "json" {
			checkJSON(t, name, got.String(), want)
		} else if got.String() != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, &got, want)
		}
	}
	if n == 0 {
		t.Skip("SKIP: the kit has no writers")
	}
	t.Logf("%d files", n)
}

func resultOfCase(t *testing.T, k *goldentest.Kit, model, name string) *asr.Result {
	t.Helper()
	var cases []struct {
		Name   string
		Result asr.Result
	}
	k.JSON(t, model+"/transcribe.json", &cases)
	for _, c := range cases {
		if c.Name == name {
			return &c.Result
		}
	}
	t.Fatalf("the kit has no transcribe case %q of %s", name, model)
	return nil
}

// writerOptions reads a Python dictionary of upstream's options.
func writerOptions(t *testing.T, dictionary string) (o asr.SubtitleOptions) {
	t.Helper()
	text := strings.NewReplacer("'", `"`, "True", "true", "False", "false", "None", "null").Replace(dictionary)
	var options map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &options); err != nil {
		t.Fatal(err)
	}
	for name, raw := range options {
		field, ok := map[string]any{
			"max_line_width": &o.MaxLineWidth, "max_line_count": &o.MaxLineCount,
			"max_words_per_line": &o.MaxWordsPerLine, "highlight_words": &o.HighlightWords,
		}[name]
		if !ok {
			t.Fatalf("unknown option %s", name)
		}
		if err := json.Unmarshal(raw, field); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// checkJSON compares every field that upstream writes; we write more.
func checkJSON(t *testing.T, name, got string, want []byte) {
	t.Helper()
	var g, w map[string]any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	for field := range w {
		if !reflect.DeepEqual(g[field], w[field]) {
			t.Errorf("%s: %s is %v, want %v", name, field, g[field], w[field])
		}
	}
}
