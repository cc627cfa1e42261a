package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/eval"
)

// TestNanoTranscribesEveryLanguage transcribes the first utterance of each language of the test set
// by the embedded model, in one batch. The rates of the whole set are the README's; this one only
// has to be far from chance.
func TestNanoTranscribesEveryLanguage(t *testing.T) {
	manifest := filepath.Join("..", "..", "testdata", "multilingual", "manifest.jsonl")
	if _, err := os.Stat(manifest); err != nil {
		t.Skipf("SKIP: the multilingual test set, absent: %v", err)
	}
	if _, _, _, err := openNano(); err != nil {
		t.Skipf("SKIP: the embedded model, absent: %v", err)
	}
	utterances, err := eval.ReadManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var first []eval.Utterance
	seen := make(map[string]bool)
	args := []string{"transcribe"}
	for _, u := range utterances {
		if !seen[u.Lang] {
			seen[u.Lang] = true
			first, args = append(first, u), append(args, u.AudioFilepath)
		}
	}
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), args, &stdout, &stderr); status != statusOK {
		t.Fatalf("status %d: %s", status, &stderr)
	}
	lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
	if len(lines) != len(first) {
		t.Fatalf("%d lines for %d files:\n%s", len(lines), len(first), &stdout)
	}
	var sum eval.Score
	for i, u := range first {
		text, ok := strings.CutPrefix(lines[i], u.AudioFilepath+": ")
		if !ok {
			t.Fatalf("line %d is %q, want the text of %s", i, lines[i], u.AudioFilepath)
		}
		sum.Add(eval.ScoreUtterance(u.Text, text, u.Lang))
	}
	if sum.WER() > 0.4 {
		t.Errorf("WER %.2f over one utterance of each of %d languages:\n%s", sum.WER(), len(first), &stdout)
	}
}
