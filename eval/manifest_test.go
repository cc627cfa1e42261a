package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestReadManifest(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "manifest.jsonl")
	elsewhere := filepath.Join(t.TempDir(), "b.wav")
	content := "\uFEFF" + `{"audio_filepath": "cs/a.flac", "duration": 1.5, "text": "Dobrý den.", "lang": "cs", "voice": {"id": 7}}` + "\r\n" +
		"\n" +
		`{"text": "", "audio_filepath": "` + filepath.ToSlash(elsewhere) + `", "TEXT": "no field of ours", "lang": null, "offset": 0.0}` + "\n" +
		`{"audio_filepath": "c.wav", "text": "x", "id": 12, "speaker": " Eva  N. ", "start": 2.5, "duration": 3}`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []Utterance{
		{AudioFilepath: filepath.Join(folder, "cs", "a.flac"), Duration: 1.5, Text: "Dobrý den.", Lang: "cs",
			Extra: map[string]json.RawMessage{"voice": json.RawMessage(`{"id": 7}`)}},
		{AudioFilepath: elsewhere, Part: true, Extra: map[string]json.RawMessage{"TEXT": json.RawMessage(`"no field of ours"`)}},
		{ID: "12", AudioFilepath: filepath.Join(folder, "c.wav"), Part: true, Start: 2.5, Duration: 3, Text: "x", Speaker: "Eva N."},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ReadManifest = %+v, want %+v", got, want)
	}
}

// TestManifestBadLines expects each fault with its file and line, and the good lines not to hide them.
func TestManifestBadLines(t *testing.T) {
	for _, c := range []struct{ line, reason string }{
		{`{"audio_filepath": "a.wav"`, "not a JSON object"},
		{`["a.wav", "text"]`, "not a JSON object"},
		{`null`, "null is not a JSON object"},
		{`{"text": "x"}`, "no audio_filepath"},
		{`{"audio_filepath": "", "text": "x"}`, "audio_filepath is empty"},
		{`{"audio_filepath": "a.wav"}`, "no text"},
		{`{"audio_filepath": "a.wav", "text": null}`, "no text"},
		{`{"audio_filepath": "a.wav", "text": 7}`, "text: json: cannot unmarshal number"},
		{`{"audio_filepath": "a.wav", "text": "x", "duration": -1}`, "duration of -1 seconds"},
		{`{"audio_filepath": "a.wav", "text": "x", "duration": "2"}`, "duration: json: cannot unmarshal string"},
		{`{"audio_filepath": "a.wav", "text": "x", "duration": 1e999}`, "duration: json: cannot unmarshal number"},
		{`{"audio_filepath": "a.wav", "text": "x", "lang": "c z"}`, "is not a language tag"},
		{`{"audio_filepath": "a.wav", "text": "x", "offset": -2.5}`, "offset of -2.5 seconds"},
		{`{"audio_filepath": "a.wav", "text": "x", "speaker": [1]}`, "speaker is neither a text nor a number"},
		{"{\"audio_filepath\": \"a.wav\", \"text\": \"\xff\"}", "not UTF-8"},
		{`{"audio_filepath": "a.wav", "text": "` + strings.Repeat("x", maxLine) + `"}`, "line of more than 1048576 bytes"},
	} {
		const good = `{"audio_filepath": "good.wav", "text": "good"}` + "\n"
		got, err := DecodeManifest(strings.NewReader(good+c.line+"\n"+good), "set/m.jsonl")
		if !errors.Is(err, ErrManifest) || got != nil {
			t.Errorf("%.60s: %v, %v, want ErrManifest", c.line, got, err)
			continue
		}
		if msg := err.Error(); !strings.HasPrefix(msg, "set/m.jsonl:2: ") || !strings.Contains(msg, c.reason) || strings.Contains(msg, "\n") {
			t.Errorf("%.60s: error %q, want line 2 and %q", c.line, msg, c.reason)
		}
	}
}

func TestManifestManyBadLines(t *testing.T) {
	_, err := DecodeManifest(strings.NewReader(strings.Repeat("x\n", maxReported+5)), "m.jsonl")
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxReported+1 || !strings.HasPrefix(lines[1], "m.jsonl:2: ") || !strings.Contains(lines[maxReported], "5 more bad lines") {
		t.Errorf("error of %d lines: %v", len(lines), err)
	}
}

func TestManifestUnreadable(t *testing.T) {
	folder := t.TempDir()
	if _, err := ReadManifest(filepath.Join(folder, "none.jsonl")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := ReadManifest(folder); err == nil || errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), folder) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := DecodeManifest(strings.NewReader("\n \n"), "m.jsonl"); !errors.Is(err, ErrManifest) {
		t.Errorf("no utterances: %v", err)
	}
}

func TestWriteManifest(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "manifest.jsonl")
	utterances := []Utterance{
		{AudioFilepath: filepath.Join(folder, "cs", "a.flac"), Duration: 1.25, Text: "a < b & \"c\"\n", Lang: "cs",
			Extra: map[string]json.RawMessage{"voice": json.RawMessage(`7`)}},
		{ID: "b", AudioFilepath: filepath.Join(filepath.Dir(folder), "b.wav"), Part: true, Start: 1.5, Speaker: "7"},
	}
	if err := WriteManifest(path, utterances); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"audio_filepath":"cs/a.flac","duration":1.25,"lang":"cs","text":"a < b & \"c\"\n","voice":7}` + "\n" +
		`{"audio_filepath":"../b.wav","id":"b","offset":1.5,"speaker":"7","text":""}` + "\n"
	if string(content) != want {
		t.Errorf("wrote\n%s\nwant\n%s", content, want)
	}
	if got, err := ReadManifest(path); err != nil || !reflect.DeepEqual(got, utterances) {
		t.Errorf("read back %+v, %v, want %+v", got, err, utterances)
	}
}

func TestWriteManifestRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.jsonl")
	for name, utterances := range map[string][]Utterance{
		"no utterances":     nil,
		"no path":           {{Text: "x"}},
		"negative duration": {{AudioFilepath: "a.wav", Duration: -1}},
		"a language name":   {{AudioFilepath: "a.wav", Lang: "Czech (Prague)"}},
		"text not UTF-8":    {{AudioFilepath: "a.wav", Text: "\xff"}},
		"name not UTF-8":    {{AudioFilepath: "a.wav", Extra: map[string]json.RawMessage{"\xff": json.RawMessage("1")}}},
		"extra is a field":  {{AudioFilepath: "a.wav", Extra: map[string]json.RawMessage{"text": json.RawMessage("1")}}},
		"extra not JSON":    {{AudioFilepath: "a.wav", Extra: map[string]json.RawMessage{"n": json.RawMessage("{")}}},
		"a very long line":  {{AudioFilepath: "a.wav", Text: strings.Repeat("x", maxLine)}},
	} {
		if err := WriteManifest(path, utterances); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v, want ErrManifest", name, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: a file was written", name)
		}
	}
}

// FuzzDecodeManifest expects no panic, checked utterances, and that what is read can be written and read again unchanged.
func FuzzDecodeManifest(f *testing.F) {
	f.Add([]byte(`{"audio_filepath": "a.wav", "duration": 1.5, "text": "x", "lang": "cs", "n": [1, {"a": null}]}`))
	f.Add([]byte("{\"audio_filepath\": \"../a.wav\", \"text\": \"\"}\r\n\n{\"audio_filepath\": \"/b\", \"text\": \"\\ud800\"}"))
	f.Add([]byte("\uFEFF{}\nnull\n[]\n{\"text\": \"\xff\"}"))
	f.Add([]byte(strings.Repeat("[", 20000)))
	f.Fuzz(func(t *testing.T, content []byte) {
		const path = "set/m.jsonl"
		utterances, err := DecodeManifest(bytes.NewReader(content), path)
		if err != nil {
			if !errors.Is(err, ErrManifest) || !strings.HasPrefix(err.Error(), path) || utterances != nil {
				t.Fatalf("utterances %v with error %v", utterances, err)
			}
			return
		}
		for _, u := range utterances {
			if err := u.check(); err != nil {
				t.Fatalf("%+v: %v", u, err)
			}
		}
		written, err := encodeManifest(filepath.Dir(path), utterances)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", utterances, err)
		}
		back, err := DecodeManifest(bytes.NewReader(written), path)
		if err != nil {
			t.Fatalf("%s cannot be read: %v", written, err)
		}
		rewritten, err := encodeManifest(filepath.Dir(path), back)
		if err != nil || !bytes.Equal(written, rewritten) {
			t.Fatalf("wrote %s, then %s, %v", written, rewritten, err)
		}
	})
}

func TestRecordingsNeedNoText(t *testing.T) {
	manifest := filepath.Join(t.TempDir(), "m.jsonl")
	if err := os.WriteFile(manifest, []byte(`{"audio_filepath": "a.wav", "lang": "cs"}`+"\n"+`{"audio_filepath": "b.wav", "text": "b", "duration": 2}`+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecordings(manifest)
	if err != nil || len(got) != 2 || got[0].Lang != "cs" || got[0].Text != "" || got[1].Duration != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ReadManifest(manifest); !errors.Is(err, ErrManifest) {
		t.Errorf("a manifest without a text: %v", err)
	}
}
