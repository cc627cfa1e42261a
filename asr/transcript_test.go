package asr

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// transcribed is what the commands of a transcript are given to, which may put another in its place. It writes what they come to.
type transcribed[W any] interface {
	command(words []string) W
	written() *strings.Builder
}

// testTranscripts runs the files that a pattern matches: comments, then commands behind which stands, after ----, what they come to.
func testTranscripts[W transcribed[W]](t *testing.T, pattern string, begin func() W) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := transcript(string(before), begin())
			if *update {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if after != string(before) {
				t.Errorf("%s comes to (with -update it is written)\n%s", file, after)
			}
		})
	}
}

// transcript returns the transcript with what its commands come to.
func transcript[W transcribed[W]](text string, w W) string {
	var out strings.Builder
	for part := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(part, "\n----")
		fmt.Fprintln(&out, commands)
		w.written().Reset()
		for line := range strings.Lines(commands) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				w = w.command(strings.Fields(line))
			}
		}
		if w.written().Len() > 0 {
			fmt.Fprintf(&out, "----\n%s", w.written())
		}
		fmt.Fprintln(&out)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
