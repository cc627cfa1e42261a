package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// clientScripts returns a folder with the scripts of testdata/clients and the packages that they use.
func clientScripts(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIP: the program %s, absent: %v", program, err)
		}
	}
	if testing.Short() {
		t.Skip("SKIP: packages of npm are not installed in a short run: absent")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/clients")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--silent", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Skipf("SKIP: the packages @deepgram/sdk and openai, absent: npm install: %v\n%s", err, out)
	}
	return dir
}

// runScript runs a script, and reads the line that it prints.
func runScript(t *testing.T, dir string, into any, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", args...)
	node.Dir = dir
	node.Env = append(os.Environ(), "NODE_TLS_REJECT_UNAUTHORIZED=0")
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
}

// TestOtherClients transcribes by the clients that Deepgram and OpenAI publish, as they are.
func TestOtherClients(t *testing.T) {
	dir := clientScripts(t)
	e, err := nanoEngine()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Listen: Engine(e), Transcribe: e.Transcribe, Model: "nano"})
	plainServer, secure := httptest.NewServer(s.Handler()), httptest.NewTLSServer(s.Handler())
	defer plainServer.Close()
	defer secure.Close()
	defer s.Drain(t.Context())

	clip := spoken[1]
	sound := spokenSound(t, clip.file)
	file, err := filepath.Abs("../../testdata/multilingual/" + clip.file)
	if err != nil {
		t.Fatal(err)
	}
	raw, fast := filepath.Join(dir, "16k.raw"), filepath.Join(dir, "24k.raw")
	if err := os.WriteFile(raw, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fast, at24k(sound), 0o600); err != nil {
		t.Fatal(err)
	}

	var d struct {
		File, Live string
		Types      []string
		Code       int
	}
	runScript(t, dir, &d, "deepgram.mjs", plainServer.URL, file, raw)
	if plainWords(d.File) != clip.text || plainWords(d.Live) != clip.text || d.Code != 1000 ||
		!slices.Contains(d.Types, "SpeechStarted") || d.Types[len(d.Types)-1] != "Metadata" {
		t.Errorf("Deepgram's client: %+v", d)
	}
	var o struct {
		Text, Deltas string
		Types        []string
	}
	runScript(t, dir, &o, "openai.mjs", secure.URL, fast) // it speaks over TLS alone
	if plainWords(o.Text) != clip.text || strings.TrimSpace(o.Deltas) != o.Text || !slices.Contains(o.Types, "input_audio_buffer.speech_started") {
		t.Errorf("OpenAI's client: %+v", o)
	}
}

// at24k interpolates 16-bit samples at 16 kHz: three for two.
func at24k(sound []byte) []byte {
	le := binary.LittleEndian
	n := len(sound) / 2
	at := func(i int) float64 { return float64(int16(le.Uint16(sound[2*min(i, n-1):]))) }
	var b []byte
	for k := range n * 3 / 2 {
		x := float64(k) * 2 / 3
		i := int(x)
		b = le.AppendUint16(b, uint16(int16(at(i)+(x-float64(i))*(at(i+1)-at(i)))))
	}
	return b
}
