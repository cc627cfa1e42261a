package main

import (
	"bytes"
	"strings"
	"testing"

	"glossa/asr/ws"
)

// heardEvents are those of two segments.
var heardEvents = []ws.Event{
	{Type: ws.TypeSpeechStarted, Seq: 1},
	{Type: ws.TypePartial, Seq: 2, Tentative: " red"},
	{Type: ws.TypePartial, Seq: 3, Committed: " red", Tentative: " green"},
	{Type: ws.TypeFinal, Seq: 4, Text: " red green", StartMS: 500, EndMS: 1500, SpeechFinal: true},
	{Type: ws.TypeError, Code: "internal", Message: "a segment has no text"},
	{Type: ws.TypeFinal, Seq: 5, Text: " blue", StartMS: 3000, EndMS: 3250, SpeechFinal: true},
	{Type: ws.TypeFinal, Seq: 6, Text: ""},
	{Type: ws.TypeDone},
}

// printed returns what a printer writes of them.
func printed(t *testing.T, format string, columns int) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	p := newLivePrinter(newConsole(&out, &err), format)
	if columns > 0 {
		p.columns = func() int { return columns }
	}
	for _, e := range heardEvents {
		if err := p.event(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	return out.String(), err.String()
}

func TestListenPrints(t *testing.T) {
	for format, want := range map[string]string{
		"txt": "red green\nblue\n",
		"srt": "1\n00:00:00,500 --> 00:00:01,500\nred green\n\n2\n00:00:03,000 --> 00:00:03,250\nblue\n\n",
		"vtt": "WEBVTT\n\n00:00.500 --> 00:01.500\nred green\n\n00:03.000 --> 00:03.250\nblue\n\n",
	} {
		out, err := printed(t, format, 0)
		if out != want || err != "glossa: a segment has no text\n" {
			t.Errorf("%s: %q, stderr %q", format, out, err)
		}
	}
	out, _ := printed(t, "json", 80)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(heardEvents) || !strings.HasPrefix(lines[2], `{"type":"partial","seq":3,`) || !strings.Contains(lines[2], `"committed":" red"`) {
		t.Errorf("json: %q", lines)
	}
}

// TestListenPrintsInPlace checks what a terminal is sent: partials over each other, finals as lines.
func TestListenPrintsInPlace(t *testing.T) {
	out, _ := printed(t, "txt", 80)
	want := eraseLine + dim + " red" + plain +
		eraseLine + "red" + dim + " green" + plain +
		eraseLine + "red green\n" + "blue\n"
	if out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		committed, tentative string
		columns              int
		want                 string
	}{
		{"red green", " blue", 20, "red green| blue"},
		{"red green", " blue", 14, "red green| blue"},
		{"red green", " blue", 10, "…reen| blue"},
		{"red green", " blue", 6, "…| blue"},
		{"red green", " blue", 4, "|…lue"},
		{"日本語", "", 5, "…本語|"},
		{"नमस्ते", "", 3, "…स्ते|"},
	} {
		a, b := fit(c.committed, c.tentative, c.columns)
		if got := a + "|" + b; got != c.want {
			t.Errorf("%q %q in %d columns: %q, want %q", c.committed, c.tentative, c.columns, got, c.want)
		}
	}
}
