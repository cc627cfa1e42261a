package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"glossa/asr"
)

// soundTree writes empty files into a new folder, manifests by their content, and goes there.
func soundTree(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		name = filepath.FromSlash(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(content), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSoundFiles(t *testing.T) {
	soundTree(t, map[string]string{
		"talk.wav": "four", "rec/a.flac": "", "rec/sub/b.MP3": "", "rec/notes.txt": "", "rec/.hidden.wav": "",
		"set/m.jsonl": `{"audio_filepath": "en/1.wav", "lang": "en", "duration": 2.5}` + "\n" + `{"audio_filepath": "../talk.wav"}` + "\n",
		"empty/x.txt": "", "bad.jsonl": "{}",
	})
	files, err := soundFiles([]string{"talk.wav", "rec", "set/m.jsonl", "nowhere.wav", "./talk.wav"})
	want := []soundFile{
		{path: "talk.wav", below: "talk.wav", size: 4},
		{path: "rec/a.flac", below: "a.flac"},
		{path: "rec/sub/b.MP3", below: "sub/b.MP3"},
		{path: "set/en/1.wav", below: "en/1.wav", language: "en", seconds: 2.5},
		{path: "nowhere.wav", below: "nowhere.wav"},
	}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("%+v, %v, want %+v", files, err, want)
	}
	var outputs []string
	for _, f := range files {
		outputs = append(outputs, f.output("", "txt"), f.output("out", "srt"))
	}
	if want := strings.Fields("talk.txt out/talk.srt rec/a.txt out/a.srt rec/sub/b.txt out/sub/b.srt set/en/1.txt out/en/1.srt nowhere.txt out/nowhere.srt"); !slices.Equal(outputs, want) {
		t.Errorf("outputs %q, want %q", outputs, want)
	}
	for arg, want := range map[string]string{"-": "the standard input cannot be a job", "empty": "there is no sound file in this folder", "bad.jsonl": "bad.jsonl:1: "} {
		if _, err := soundFiles([]string{arg}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", arg, err, want)
		}
	}
}

func TestSoundFileOfTwoLanguages(t *testing.T) {
	line := func(lang string) string { return `{"audio_filepath": "a.wav", "lang": "` + lang + `"}` + "\n" }
	soundTree(t, map[string]string{"m.jsonl": line("cs") + line("cs"), "n.jsonl": line("sk")})
	if files, err := soundFiles([]string{"m.jsonl"}); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := soundFiles([]string{"m.jsonl", "n.jsonl"}); err == nil || err.Error() != `a.wav is there twice, as "cs" and as "sk"` {
		t.Error(err)
	}
}

func TestOutputsOfTheirOwn(t *testing.T) {
	for _, c := range []struct {
		paths       string
		dir, format string
		want        string
	}{
		{"a.wav b.wav", "", "txt", ""},
		{"a.wav a.flac", "", "txt", "a.wav and a.flac would both be written to a.txt"},
		{"x/a.wav y/a.wav", "", "txt", ""},
		{"x/a.wav y/a.wav", "out", "srt", "x/a.wav and y/a.wav would both be written to out/a.srt"},
		{"a.wav ./a.flac", "", "txt", "a.wav and ./a.flac would both be written to a.txt"},
		{"a.wav ./a.json", "", "json", "the text of a.wav would be written over a.json"},
		{"a.wav a.json", "", "json", "the text of a.wav would be written over a.json"},
	} {
		var files []soundFile
		for path := range strings.FieldsSeq(c.paths) {
			files = append(files, soundFile{path: path, below: filepath.Base(path)})
		}
		got := ""
		if err := checkOutputs(files, c.dir, c.format); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.paths, got, c.want)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("usual", nil, 0o666), os.WriteFile("old", []byte("old"), 0o666), os.Symlink(os.DevNull, "device")); err != nil {
		t.Fatal(err)
	}
	usual, err := os.Stat("usual")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		err := replaceFile(name, []byte("text"))
		got, _ := os.ReadFile(name)
		if info, statErr := os.Stat(name); err != nil || statErr != nil || string(got) != "text" || info.Mode() != usual.Mode() {
			t.Errorf("%s: %q, %v %v, want the mode %v", name, got, info, err, usual.Mode())
		}
	}
	if err := replaceFile("device", []byte("text")); err != nil {
		t.Error(err)
	}
	if to, err := os.Readlink("device"); to != os.DevNull {
		t.Errorf("a device was replaced: %q, %v", to, err)
	}
	if left, err := filepath.Glob(".*"); err != nil || len(left) > 0 {
		t.Errorf("%q, %v is left", left, err)
	}
}

func TestOutputThatCannotBeReadStays(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("a.txt", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := writeOutput("a.txt", &asr.Result{Text: "text"}, "txt", asr.SubtitleOptions{}, false); !errors.Is(err, errOther) {
		t.Error(err)
	}
}

func TestParamsAreThoseThatWereGiven(t *testing.T) {
	for _, c := range []struct {
		args     string
		language string // of the manifest
		want     asr.Params
	}{
		{"", "", asr.Params{}},
		{"", "cs", asr.Params{"language": {"cs"}}},
		{"--language de", "cs", asr.Params{"language": {"de"}}},
		{"--language auto --languages cs,sk", "cs", asr.Params{"languages": {"cs", "sk"}}},
		{"--adapter none --task translate --words --vad builtin", "", asr.Params{
			"adapter": {"none"}, "task": {"translate"}, "timestamp_granularities": {"segment", "word"}, "vad_filter": {"true"},
		}},
		{"--vad none --beam-size 1 --no-condition-on-previous-text --no-speech-threshold none --logprob-threshold 0 --temperature 0.2 --seed 7", "", asr.Params{
			"vad_filter": {"false"}, "beam_size": {"1"}, "condition_on_previous_text": {"false"}, "no_speech_threshold": {"none"},
			"logprob_threshold": {"0"}, "temperature": {"0.2"}, "seed": {"7"},
		}},
	} {
		var got commands
		parser := parserOf(t, &got)
		if _, err := parser.Parse(append(append([]string{"submit"}, strings.Fields(c.args)...), "a.wav")); err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		p, err := got.Submit.params(c.language)
		if err != nil || !reflect.DeepEqual(p, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.args, p, err, c.want)
		}
	}
}

// TestParamsAreKnown checks that all params that submit sends are those that a worker reads.
func TestParamsAreKnown(t *testing.T) {
	var got commands
	args := strings.Fields(`submit --languages cs,sk --switch-language --adapter cs --task translate --words --vad builtin --initial-prompt x --hotwords y
		--no-condition-on-previous-text --beam-size 2 --patience 1 --best-of 2 --length-penalty 0.5 --temperature 0 --seed 1
		--compression-ratio-threshold none --logprob-threshold=-2 --no-speech-threshold 0.5 a.wav`)
	if _, err := parserOf(t, &got).Parse(args); err != nil {
		t.Fatal(err)
	}
	p, err := got.Submit.params("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readParams(p); err != nil {
		t.Error(err)
	}
	if len(p) < 17 {
		t.Errorf("%d params: %v", len(p), p)
	}
}
