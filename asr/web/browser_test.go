package web_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr/web/nodetest"
	"glossa/audio"
)

// clip is what the browser's microphone hears.
const clip = "../../testdata/multilingual/en/01.flac"

// TestModules runs those tests of the page's modules that need no browser.
func TestModules(t *testing.T) {
	nodetest.Report(t, script(t, "modules.mjs", "ASSETS="+absolute(t, "assets")))
}

// TestPagesInABrowser runs testdata/behaviour.mjs in headless Chromium against a fake server. GLOSSA_SHOTS may name a folder for
// screenshots, and -short leaves the test out.
func TestPagesInABrowser(t *testing.T) {
	environment := browserEnvironment(t)
	var bases []string
	for range 4 { // most of the time is waited for sound
		_, server := newFake(t)
		bases = append(bases, server.URL+"/")
	}
	nodetest.Report(t, script(t, "behaviour.mjs", append(environment, "BASES="+strings.Join(bases, " "))...))
}

// TestListenScript runs the script that can be pointed at any server.
func TestListenScript(t *testing.T) {
	environment := browserEnvironment(t)
	fake, server := newFake(t)
	var got struct {
		Committed                   string
		Retracted, Faults, Problems []any
		Files                       map[string]string
	}
	out := script(t, "listen.mjs", append(environment, "BASE="+server.URL+"/", "SECONDS=4")...)
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.HasPrefix(got.Committed, spoken[0].text) || len(got.Retracted)+len(got.Faults)+len(got.Problems) > 0 {
		t.Errorf("%s", out)
	}
	if !strings.Contains(got.Files["srt"], "00:00:00,300 --> ") || len(got.Files) != 4 {
		t.Errorf("files: %v", got.Files)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	for _, s := range fake.sessions {
		if s.rate != 16_000 || len(s.sound) < 3*s.rate {
			t.Fatalf("%d samples at %d Hz", len(s.sound), s.rate)
		}
		var heard []float64 // a browser that has no processor for a moment loses a little
		for at := s.rate; at < 3*s.rate; at += s.rate / 2 {
			heard = append(heard, likeness(s.sound[at:at+s.rate/4], samples(t)))
		}
		if slices.Sort(heard); heard[len(heard)/2] < 0.95 {
			t.Errorf("pieces of what the microphone heard are like the clip by %.3f", heard)
		}
	}
}

// likeness is the greatest correlation of a piece of sound with those of its length in a recording that is played over and over.
func likeness(piece []float64, recording []float32) float64 {
	best := 0.0
	for lag := range recording {
		var xy, xx, yy float64
		for i, x := range piece {
			y := float64(recording[(lag+i)%len(recording)])
			xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
		}
		if xx > 0 && yy > 0 {
			best = max(best, xy/math.Sqrt(xx*yy))
		}
	}
	return best
}

// script runs a script of testdata, and returns what it wrote.
func script(t *testing.T, name string, environment ...string) []byte {
	t.Helper()
	return nodetest.Output(t, 5*time.Minute, filepath.Join("testdata", name), environment...)
}

// browserEnvironment is what testdata/browser.mjs needs to know. The test is skipped where there is no browser.
func browserEnvironment(t *testing.T) []string {
	t.Helper()
	modules := nodetest.Modules(t, nodetest.Playwright)
	return []string{"CHROMIUM=" + nodetest.Chromium(t), "PLAYWRIGHT=" + modules, "CLIP=" + wavClip(t), "SHOTS=" + os.Getenv("GLOSSA_SHOTS")}
}

// samples are those of the clip.
func samples(t *testing.T) []float32 {
	t.Helper()
	f, err := os.Open(clip)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pcm, err := audio.Decode(f, audio.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return pcm.Samples
}

// wavClip writes the clip as the WAV file that Chromium reads its microphone from.
func wavClip(t *testing.T) string {
	t.Helper()
	pcm := samples(t)
	const rate = 16_000
	var b bytes.Buffer
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, uint32(36+2*len(pcm)))
	b.WriteString("WAVEfmt ")
	binary.Write(&b, binary.LittleEndian, []uint32{16, 1 | 1<<16, rate, 2 * rate, 2 | 16<<16})
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, uint32(2*len(pcm)))
	for _, x := range pcm {
		binary.Write(&b, binary.LittleEndian, int16(max(-1, min(1, x))*32767))
	}
	name := filepath.Join(t.TempDir(), "clip.wav")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
