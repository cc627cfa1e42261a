package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glossa/asr/web/nodetest"
)

// pageScript speaks into the page of a server with a browser, and says what came of it.
const pageScript = "../../asr/web/testdata/listen.mjs"

// TestPageWithABrowser has headless Chromium open the page of a server of the embedded model, its microphone hear a clip again and again,
// and checks that the clip's text is committed, never taken back, and in what the page saves. GLOSSA_SHOTS may name a folder for
// screenshots.
func TestPageWithABrowser(t *testing.T) {
	modules, chromium := nodetest.Modules(t, nodetest.Playwright), nodetest.Chromium(t)
	shots := os.Getenv("GLOSSA_SHOTS")
	base := startServer(t)
	pcm, err := readAudio(t.Context(), filepath.Join(clipsDir, filepath.FromSlash(clientClip)))
	if err != nil {
		t.Fatal(err)
	}
	const pause = 24_000 // samples
	clip := filepath.Join(t.TempDir(), "clip.wav")
	if err := writePCM(clip, append(pcm, make([]float32, pause)...)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Committed                   string
		Retracted, Faults, Problems []any
		State, Notice, Language     string
		Files                       map[string]string
	}
	nodetest.Run(t, time.Minute, &got, pageScript, "BASE="+base+"/", "CHROMIUM="+chromium, "PLAYWRIGHT="+modules, "CLIP="+clip, "SECONDS=9", "SHOTS="+shots)
	if !strings.Contains(got.Committed, clientText) || len(got.Retracted)+len(got.Faults)+len(got.Problems) > 0 {
		t.Errorf("%+v", got)
	}
	if n := strings.Count(got.Committed, clientText); n < 2 || len(got.Committed) > (n+2)*(len(clientText)+1) {
		t.Errorf("heard %d times, and %q", n, got.Committed)
	}
	if !strings.Contains(strings.ToLower(got.Language), "english") && got.Language != "en" {
		t.Errorf("language %q", got.Language)
	}
	for _, format := range []string{"srt", "vtt", "txt", "json"} {
		if !strings.Contains(got.Files[format], clientText) {
			t.Errorf("%s: %q", format, got.Files[format])
		}
	}
}
