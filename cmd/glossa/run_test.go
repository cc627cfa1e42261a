package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// newFiles returns the paths of a model and of two sound files.
func newFiles(t *testing.T) (model, a, b string) {
	t.Helper()
	dir := t.TempDir()
	model, a, b = filepath.Join(dir, "m"), filepath.Join(dir, "a.wav"), filepath.Join(dir, "b.wav")
	if err := errors.Join(writeModel(model, 16, ""), writeTone(a, 300, 0.5), writeTone(b, 500, 5)); err != nil {
		t.Fatal(err)
	}
	return model, a, b
}

func TestRunEndsWhenInterrupted(t *testing.T) {
	model, a, b := newFiles(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"transcribe", "--model", model, a, b}, &stdout, &stderr)
	if status != statusInterrupted || stdout.Len() > 0 || stderr.String() != "glossa: interrupted\n" {
		t.Errorf("status %d, stdout %q, stderr %q", status, &stdout, &stderr)
	}
}

// fullDisk is a writer that takes a number of writes.
type fullDisk struct{ room int }

var errFull = errors.New("no space left on device")

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.room--; f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestRunEndsWhenItsOutputCannotBeWritten(t *testing.T) {
	model, a, b := newFiles(t)
	var stderr bytes.Buffer
	status := run(t.Context(), []string{"transcribe", "--model", model, "--language", "en", "--batch", "1", a, b}, &fullDisk{room: 1}, &stderr)
	if want := "glossa: " + errFull.Error() + "\n"; status != statusFailed || stderr.String() != want {
		t.Errorf("status %d, stderr %q, want %d, %q", status, &stderr, statusFailed, want)
	}
}

// TestBarStandsAside checks that results and notes never stand in the line of the progress bar.
func TestBarStandsAside(t *testing.T) {
	var screen bytes.Buffer
	c := newConsole(&screen, &screen)
	c.terminal = true
	c.start(2)
	c.advance(1, "half")
	if !strings.Contains(screen.String(), "half") {
		t.Errorf("no bar: %q", &screen)
	}
	if err := c.print("text\n"); err != nil {
		t.Fatal(err)
	}
	c.advance(2, "all")
	c.note("a note")
	c.stop()
	for _, line := range strings.Split(screen.String(), "\n") {
		if at := strings.LastIndexByte(line, '\r'); strings.Contains(line[at+1:], "text") && line[at+1:] != "text" {
			t.Errorf("a result in the line of the bar: %q", line)
		}
	}
	if !strings.Contains(screen.String(), "\rtext\n") || !strings.Contains(screen.String(), "\ra note\n") {
		t.Errorf("screen %q", &screen)
	}
}

func TestNoBarOffTheTerminal(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out, &out)
	c.start(2)
	c.advance(1, "half")
	c.stop()
	if out.Len() > 0 {
		t.Errorf("wrote %q", &out)
	}
}
