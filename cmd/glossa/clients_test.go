package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/asr/web/nodetest"
)

// clientsDir are scripts for node that use the clients of others.
const clientsDir = "testdata/clients"

// clientServer starts a server with a key and a certificate, and returns what scripts need to know to have it transcribe a clip.
func clientServer(t *testing.T, clip string) []string {
	t.Helper()
	modules := nodetest.Modules(t, nodetest.OpenAI, nodetest.Deepgram, nodetest.WS)
	cert, key := newCertificate(t)
	base := startServer(t, "--tls-cert", cert, "--tls-key", key, "--api-key", "tester=sesame-open")
	wav := filepath.Join(t.TempDir(), "clip.wav")
	pcm, err := readAudio(t.Context(), filepath.Join(clipsDir, filepath.FromSlash(clip)))
	if err != nil {
		t.Fatal(err)
	}
	if err := writePCM(wav, pcm); err != nil {
		t.Fatal(err)
	}
	return []string{"BASE=" + base, "KEY=sesame-open", "CLIP=" + wav, "MODULES=" + modules, "NODE_EXTRA_CA_CERTS=" + cert}
}

// What the clients hear.
const (
	clientClip = "en/00.flac"
	clientText = "today is monday the twenty fourth"
)

// TestOpenAIClient has OpenAI's client for JavaScript transcribe by a server, files and live.
func TestOpenAIClient(t *testing.T) {
	environment := clientServer(t, clientClip)
	type text struct{ Text string }
	var got struct {
		Models  []string
		JSON    text
		Verbose struct {
			Text, Language string
			Duration       float64
			Segments       []text
			Words          []struct {
				Word       string
				Start, End float64
			}
		}
		SRT         string
		Stream      []struct{ Type, Delta, Text string }
		Translation text
		Error       struct {
			Name, Code string
			Status     int
		}
		Denied struct {
			Name   string
			Status int
		}
		Live struct {
			Types              []string
			Deltas, Transcript string
		}
	}
	nodetest.Run(t, time.Minute, &got, filepath.Join(clientsDir, "openai.mjs"), environment...)
	if !slices.Contains(got.Models, "nano") {
		t.Errorf("models %v", got.Models)
	}
	v := got.Verbose
	if got.JSON.Text != clientText || v.Text != clientText || v.Language != "english" || v.Duration < 2 || len(v.Segments) != 1 {
		t.Errorf("json %q, verbose_json %+v", got.JSON.Text, v)
	}
	if words := strings.Fields(clientText); len(v.Words) != len(words) || v.Words[0].Word != words[0] || v.Words[5].Start < 0.5 || v.Words[5].End > v.Duration {
		t.Errorf("words %+v", v.Words)
	}
	if !strings.HasPrefix(got.SRT, "1\n00:00:00,000 --> ") || !strings.Contains(got.SRT, clientText) {
		t.Errorf("srt %q", got.SRT)
	}
	deltas, done := "", ""
	for _, e := range got.Stream {
		switch e.Type {
		case "transcript.text.delta":
			deltas += e.Delta
		case "transcript.text.done":
			done = e.Text
		}
	}
	if deltas != clientText || done != clientText {
		t.Errorf("stream: deltas %q, done %q", deltas, done)
	}
	if got.Translation.Text == "" {
		t.Error("no translation") // into what the model makes of English
	}
	if e := got.Error; e.Name != "NotFoundError" || e.Status != 404 || e.Code != "model_not_found" {
		t.Errorf("error %+v", e)
	}
	if d := got.Denied; d.Name != "AuthenticationError" || d.Status != 401 {
		t.Errorf("denied: %+v", d)
	}
	if l := got.Live; strings.TrimSpace(l.Transcript) != clientText || strings.TrimSpace(l.Deltas) != clientText {
		t.Errorf("live: %q, deltas %q, events %v", l.Transcript, l.Deltas, l.Types)
	}
}

// TestDeepgramClient has Deepgram's client for JavaScript transcribe by a server, a file and live.
func TestDeepgramClient(t *testing.T) {
	environment := clientServer(t, clientClip)
	type channel struct {
		Alternatives []struct {
			Transcript string
			Confidence float64
			Words      []struct {
				Word       string
				Start, End float64
			}
		}
	}
	var got struct {
		File struct {
			Results  struct{ Channels []channel }
			Metadata struct{ Duration float64 }
		}
		Live []struct {
			Type        string
			Is_final    bool
			Start       float64
			Channel     json.RawMessage // of Results; of UtteranceEnd and SpeechStarted, its index
			SpeechFinal bool            `json:"speech_final"`
		}
	}
	nodetest.Run(t, time.Minute, &got, filepath.Join(clientsDir, "deepgram.mjs"), environment...)
	if c := got.File.Results.Channels; len(c) != 1 || len(c[0].Alternatives) != 1 || !strings.EqualFold(c[0].Alternatives[0].Transcript, clientText) || len(c[0].Alternatives[0].Words) != 6 {
		t.Errorf("file: %+v", got.File)
	}
	var finals []string
	types := make(map[string]int)
	interim := 0
	for _, m := range got.Live {
		types[m.Type]++
		if m.Type != "Results" {
			continue
		}
		var c channel
		if err := json.Unmarshal(m.Channel, &c); err != nil || len(c.Alternatives) != 1 {
			t.Fatalf("results: %s, %v", m.Channel, err)
		}
		switch text := strings.TrimSpace(c.Alternatives[0].Transcript); {
		case !m.Is_final:
			interim++
		case text != "":
			finals = append(finals, text)
		}
	}
	if text := strings.Join(finals, " "); text != clientText || interim == 0 {
		t.Errorf("live: %q, %d interim results, messages %v", text, interim, types)
	}
	for _, want := range []string{"SpeechStarted", "UtteranceEnd", "Metadata"} {
		if types[want] == 0 {
			t.Errorf("live: no %s; messages %v", want, types)
		}
	}
}
