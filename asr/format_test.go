package asr

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// example is a result with times beyond an hour and texts that would break a subtitle.
func example() *Result {
	return &Result{
		Text: "One. 1 --> 2 three", Language: "en", Adapter: "en", Duration: 4000,
		Segments: []Segment{
			{Start: 0, End: 1.5, Text: " One."},
			{ID: 1, Start: 61.0005, End: 3599.9996, Text: " 1 --> 2"},
			{ID: 2, Start: 3661.25, End: 3662, Text: "\tthree\t<b> "},
		},
	}
}

func TestWrite(t *testing.T) {
	for format, want := range map[string]string{
		"txt": "One.\n1 --> 2\nthree\t<b>\n",
		"srt": "1\n00:00:00,000 --> 00:00:01,500\nOne.\n\n" +
			"2\n00:01:01,000 --> 01:00:00,000\n1 -> 2\n\n" +
			"3\n01:01:01,250 --> 01:01:02,000\nthree\t<b>\n\n",
		"vtt": "WEBVTT\n\n00:00.000 --> 00:01.500\nOne.\n\n" +
			"01:01.000 --> 01:00:00.000\n1 -> 2\n\n" +
			"01:01:01.250 --> 01:01:02.000\nthree\t<b>\n\n",
		"tsv": "start\tend\ttext\n0\t1500\tOne.\n61000\t3600000\t1 --> 2\n3661250\t3662000\tthree <b>\n",
	} {
		var b strings.Builder
		if err := Write(&b, format, example(), SubtitleOptions{}); err != nil || b.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, &b, want)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "json", example(), SubtitleOptions{}); err != nil {
		t.Fatal(err)
	}
	var back Result
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || !reflect.DeepEqual(&back, example()) {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if strings.Count(b.String(), "\n") != 1 || !strings.Contains(b.String(), "<b>") {
		t.Errorf("not one readable line: %s", &b)
	}
	b.Reset()
	if err := Write(&b, "json", &Result{}, SubtitleOptions{}); err != nil || !strings.Contains(b.String(), `"segments":[]`) {
		t.Errorf("of nothing: %s, %v", &b, err)
	}
}

// TestWriteEmpty checks that a result without speech is a valid file of each format.
func TestWriteEmpty(t *testing.T) {
	for format, want := range map[string]string{"txt": "", "srt": "", "vtt": "WEBVTT\n\n", "tsv": "start\tend\ttext\n"} {
		var b strings.Builder
		if err := Write(&b, format, &Result{}, SubtitleOptions{}); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", format, &b, err, want)
		}
	}
}

func TestWriteRefusesUnknownFormats(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "docx", example(), SubtitleOptions{}); !errors.Is(err, ErrInvalid) || b.Len() > 0 {
		t.Errorf("wrote %q, %v", &b, err)
	}
}
