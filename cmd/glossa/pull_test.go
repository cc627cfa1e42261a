package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glossa/flora"
	"glossa/whisper/hub/hubtest"
)

const hubCommit = "0123456789abcdef0123456789abcdef01234567"

// newHub serves the models and adapters that the scripts pull: o/speaker and an adapter of it, o/cs, which wants a token;
// o/ggml, which has single files; and o/bert, which is no Whisper.
func newHub(t *testing.T) *hubtest.Hub {
	t.Helper()
	dir := t.TempDir()
	speaker, cs := filepath.Join(dir, "speaker"), filepath.Join(dir, "cs")
	if err := errors.Join(writeModel(speaker, 16, ""), writeAdapter(cs, speaker, flora.FLoRA, 1)); err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"model_type": "bert"}`)
	hub := hubtest.New(map[string]*hubtest.Repo{
		"o/speaker": {Commit: hubCommit, Files: filesOf(t, speaker)},
		"o/cs":      {Commit: hubCommit, Files: filesOf(t, cs), Revisions: []string{"main", "v1"}, Token: "hf_cs"},
		"o/ggml":    {Commit: hubCommit, Files: map[string][]byte{"ggml-tiny.bin": text, "ggml-base.bin": text}},
		"o/bert": {Commit: hubCommit, Files: map[string][]byte{
			"config.json": text, "tokenizer.json": text, "model.safetensors": text}},
	})
	t.Cleanup(hub.Close)
	return hub
}

// filesOf reads the files in a folder.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// useHub makes the hub and an empty cache those of the environment.
func useHub(t *testing.T, hub *hubtest.Hub) {
	t.Helper()
	for name, value := range map[string]string{"HF_ENDPOINT": hub.URL, "HF_HUB_CACHE": t.TempDir(), "HF_HUB_OFFLINE": "", "HF_TOKEN": ""} {
		t.Setenv(name, value)
	}
}

func TestPullEndsWhenInterruptedAndGoesOn(t *testing.T) {
	hub := newHub(t)
	useHub(t, hub)
	ctx, cancel := context.WithCancel(t.Context())
	hub.Fault = func(w http.ResponseWriter, r *http.Request, q hubtest.Request) bool {
		if !q.Elsewhere {
			return false
		}
		w.Header().Set("Content-Length", "1000000")
		w.Write(make([]byte, 1000))
		cancel()
		<-r.Context().Done()
		return true
	}
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"pull", "o/speaker"}, &stdout, &stderr)
	want := "what has come of o/speaker is kept: the same command goes on with it\nglossa: interrupted\n"
	if status != statusInterrupted || stdout.Len() > 0 || stderr.String() != want {
		t.Fatalf("status %d, stdout %q, stderr %q", status, &stdout, &stderr)
	}
	hub.Fault = nil
	stderr.Reset()
	if status := run(t.Context(), []string{"pull", "o/speaker"}, &stdout, &stderr); status != statusOK {
		t.Fatalf("status %d, stderr %q", status, &stderr)
	}
	dir := strings.TrimSpace(stdout.String())
	if text, err := fs.ReadFile(os.DirFS(dir), "config.json"); err != nil || len(text) == 0 {
		t.Errorf("%s was printed: %v", dir, err)
	}
}

func TestPullDrawsABar(t *testing.T) {
	useHub(t, newHub(t))
	var screen bytes.Buffer
	c := newConsole(&screen, &screen)
	c.terminal = true
	if err := (&pullCommand{Names: []string{"o/speaker"}}).Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(screen.String(), "config.json   0% |") {
		t.Errorf("no bar: %q", &screen)
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 5: "5 B", 999: "999 B", 1000: "1.0 kB", 9949: "9.9 kB", 9950: "10 kB", 151e6: "151 MB",
		999_499: "999 kB", 999_500: "1.0 MB", 3_087_000_000: "3.1 GB", 2e15: "2000 TB"} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
