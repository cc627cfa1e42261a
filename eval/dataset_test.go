package eval

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// known knows a few languages.
func known(name string) (string, bool) {
	code, ok := map[string]string{"cs": "cs", "czech": "cs", "mr": "mr", "zh": "zh", "tl": "tl", "no": "no", "yue": "yue"}[strings.ToLower(name)]
	return code, ok
}

// writeFiles writes files by their paths in a new folder, which it returns.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestReadData reads each form of data set: the path in it, what is there, and what is read, as
// "path|language|text".
func TestReadData(t *testing.T) {
	const (
		commonVoice = "client_id\tpath\tsentence\tup_votes\tlocale\tsegment\n"
		fleursLine  = "1842\ta1.wav\tDobrý den.\tdobrý den\td o b r ý | d e n\t32000\tFEMALE\n"
	)
	for name, c := range map[string]struct {
		files map[string]string
		path  string
		lang  string
		want  []string
	}{
		"manifest": {map[string]string{"m.jsonl": `{"audio_filepath": "a.wav", "text": "x", "lang": "cs"}`}, "m.jsonl", "", []string{"a.wav|cs|x"}},
		"pairs": {map[string]string{
			"a.wav": "", "a.txt": "\uFEFFfirst\n line \r\n", "deep/mr/b.FLAC": "", "deep/mr/b.txt": "second", "deep/c.mp3": "", ".hidden/d.wav": "", ".hidden/d.txt": "",
		}, ".", "", []string{"a.wav||first line", "deep/mr/b.FLAC|mr|second"}},
		"pairs in a folder of a language": {map[string]string{"cs_cz/x/a.wav": "", "cs_cz/x/a.txt": "t"}, "cs_cz", "", []string{"cs_cz/x/a.wav|cs|t"}},
		"the option before the folder":    {map[string]string{"mr/a.wav": "", "mr/a.txt": "t"}, "mr", "czech", []string{"mr/a.wav|cs|t"}},
		"metadata.csv": {map[string]string{
			"set/metadata.csv": "file_name,speaker,Transcription\nclips/a.wav,7,\"one, \"\"two\"\"\"\n", "set/clips/a.wav": "",
		}, "set", "cs", []string{`set/clips/a.wav|cs|one, "two"`}},
		"metadata.jsonl": {map[string]string{
			"metadata.jsonl": "\uFEFF" + `{"sentence": "one", "file_name": "a.wav", "language": "cmn_hans_cn", "duration": 1.5}` + "\n\n" + `{"file_name": "b.wav", "sentence": "two", "language": null}`, "a.wav": "",
		}, ".", "", []string{"a.wav|zh|one", "b.wav||two"}},
		"Common Voice": {map[string]string{
			"cv/train.tsv": commonVoice + "c1\ta.mp3\t\"He said \"\"so\"\".\"\t2\tcs\t\nc2\tb.mp3\tThe \"end\"\t2\tcs\t\n", "cv/clips/a.mp3": "",
		}, "cv/train.tsv", "", []string{`cv/clips/a.mp3|cs|He said "so".`, `cv/clips/b.mp3|cs|The "end"`}},
		"a folder with one table": {map[string]string{"cv/only.tsv": commonVoice + "c1\ta.mp3\tx\t2\tcs\t\n", "cv/clips/a.mp3": ""}, "cv", "", []string{"cv/clips/a.mp3|cs|x"}},
		"FLEURS":                  {map[string]string{"mr_in/dev.tsv": fleursLine, "mr_in/audio/dev/a1.wav": ""}, "mr_in/dev.tsv", "", []string{"mr_in/audio/dev/a1.wav|mr|Dobrý den."}},
		"FLEURS as unpacked":      {map[string]string{"fil_ph/dev.tsv": fleursLine, "fil_ph/dev/a1.wav": ""}, "fil_ph/dev.tsv", "", []string{"fil_ph/dev/a1.wav|tl|Dobrý den."}},
		"macrolanguages":          {map[string]string{"m.csv": "path,text,locale\na.wav,x,nb-NO\na.wav,y,yue_hant_hk\na.wav,z,xx\n", "a.wav": ""}, "m.csv", "", []string{"a.wav|no|x", "a.wav|yue|y", "a.wav|xx|z"}},
	} {
		dir := writeFiles(t, c.files)
		got, err := ReadData(filepath.Join(dir, filepath.FromSlash(c.path)), DataOptions{Language: c.lang, Code: known})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var lines []string
		for _, u := range got {
			rel, err := filepath.Rel(dir, u.AudioFilepath)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, filepath.ToSlash(rel)+"|"+u.Lang+"|"+u.Text)
		}
		if !reflect.DeepEqual(lines, c.want) {
			t.Errorf("%s: read %q, want %q", name, lines, c.want)
		}
	}
}

func TestReadDataDurations(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"cs_cz/dev.tsv": "1\ta.wav\tx\tx\tx\t32000\tMALE\n", "cs_cz/dev/a.wav": "", "m.jsonl": `{"file_name": "cs_cz/dev/a.wav", "text": "x", "duration": 0.5}`,
	})
	for path, want := range map[string]float64{"cs_cz/dev.tsv": 2, "m.jsonl": 0.5} {
		us, err := ReadData(filepath.Join(dir, path), DataOptions{})
		if err != nil || len(us) != 1 || us[0].Duration != want {
			t.Errorf("%s: %+v, %v, want a duration of %v s", path, us, err, want)
		}
	}
}

// TestReadDataErrors expects each error to wrap ErrManifest and to say what to do.
func TestReadDataErrors(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		path  string
		want  []string
	}{
		"no text":      {map[string]string{"a.wav": ""}, ".", []string{"neither a table (metadata.jsonl, metadata.csv", ".txt files"}},
		"splits":       {map[string]string{"train.tsv": "x", "dev.tsv": "x", "other.tsv": "x"}, ".", []string{"name one of them: ", "train.tsv", "dev.tsv"}},
		"subfolders":   {map[string]string{"train/metadata.csv": "x", "test/metadata.csv": "x"}, ".", []string{"name one of them: ", "test/metadata.csv"}},
		"parquet":      {map[string]string{"a.parquet": "x"}, "a.parquet", []string{"unpack it"}},
		"no heading":   {map[string]string{"a.csv": "a.wav,one\n"}, "a.csv", []string{"a.csv:1: ", "file_name", "sentence"}},
		"no sound":     {map[string]string{"a.csv": "path,text\na.wav,one\n"}, "a.csv", []string{"a.wav is neither in ", "clips"}},
		"empty":        {map[string]string{"a.csv": "path,text\n"}, "a.csv", []string{"no utterances"}},
		"short row":    {map[string]string{"a.tsv": "path\ttext\na.wav\n", "a.wav": ""}, "a.tsv", []string{"a.tsv:2: ", "1 columns, at least 2"}},
		"quotation":    {map[string]string{"a.csv": "path,text\na.wav,\"one\n", "a.wav": ""}, "a.csv", []string{"a.csv:2: "}},
		"not JSON":     {map[string]string{"metadata.jsonl": "{\"file_name\": \"a.wav\", \"text\": \"x\"}\n{", "a.wav": ""}, ".", []string{"metadata.jsonl:2: ", "not a JSON object"}},
		"text binary":  {map[string]string{"a.wav": "", "a.txt": "\xff"}, ".", []string{"a.txt: ", "not UTF-8"}},
		"text endless": {map[string]string{"a.wav": "", "a.txt": strings.Repeat("x", maxLine+1)}, ".", []string{"a.txt: ", "more than 1048576 bytes"}},
	} {
		_, err := ReadData(filepath.Join(writeFiles(t, c.files), c.path), DataOptions{Code: known})
		if !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v, want ErrManifest", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(filepath.ToSlash(err.Error()), want) {
				t.Errorf("%s: error %q, want %q in it", name, err, want)
			}
		}
	}
	if _, err := ReadData(filepath.Join(t.TempDir(), "none"), DataOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestSoundWithoutTextIsTold(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.wav": "", "a.txt": "x", "b.wav": "", "c.ogg": ""})
	var told []string
	us, err := ReadData(dir, DataOptions{Warn: func(m string) { told = append(told, m) }})
	if err != nil || len(us) != 1 || len(told) != 1 || !strings.Contains(told[0], "2 sound files without a text") {
		t.Errorf("%d utterances, %v, told %q", len(us), err, told)
	}
}

// FuzzReadTable expects no panic, and utterances that may stand in a manifest or ErrManifest.
func FuzzReadTable(f *testing.F) {
	for _, ending := range []string{".csv", ".tsv", ".jsonl"} {
		f.Add([]byte("path,text\nt.wav,\"a\n"), ending)
		f.Add([]byte("path\ttext\nt.wav\t\"a\"\n"), ending)
		f.Add([]byte("\uFEFF{\"path\": \"t.wav\", \"text\": [1]}\n{}"), ending)
		f.Add([]byte("1\tt.wav\t\t\t\tNaN\t"), ending)
	}
	f.Fuzz(func(t *testing.T, content []byte, ending string) {
		if ending != ".csv" && ending != ".tsv" {
			ending = ".jsonl"
		}
		dir := writeFiles(t, map[string]string{"t" + ending: string(content), "t.wav": ""})
		us, err := ReadData(filepath.Join(dir, "t"+ending), DataOptions{Code: known})
		if err != nil && (!errors.Is(err, ErrManifest) || us != nil) {
			t.Fatalf("%v with error %v", us, err)
		}
		for _, u := range us {
			if err := u.check(); err != nil {
				t.Fatalf("%+v: %v", u, err)
			}
		}
	})
}

func TestSoundFiles(t *testing.T) {
	dir := writeFiles(t, map[string]string{"b.wav": "", "sub/a.FLAC": "", "sub/a.txt": "", ".hidden/c.wav": "", ".d.wav": "", "notes.md": ""})
	got, err := SoundFiles(dir)
	want := []string{filepath.Join(dir, "b.wav"), filepath.Join(dir, "sub", "a.FLAC")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := SoundFiles(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there")
	}
}

// TestTestSetsAsDownloaded reads folders as Common Voice 17 and FLEURS are unpacked: the split that is meant, and who speaks.
func TestTestSetsAsDownloaded(t *testing.T) {
	const commonVoice = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment\n"
	dir := writeFiles(t, map[string]string{
		"cv/cs/test.tsv":           commonVoice + "c1\tcommon_voice_cs_1.mp3\ts1\tDobrý den.\t\t2\t0\ttwenties\tfemale_feminine\t\t\tcs\t\n",
		"cv/cs/train.tsv":          commonVoice + "c2\tcommon_voice_cs_2.mp3\ts2\tAno.\t\t2\t0\t\t\t\t\tcs\t\n",
		"cv/cs/clip_durations.tsv": "clip\tduration[ms]\ncommon_voice_cs_1.mp3\t1500\n", "cv/cs/other.tsv": commonVoice,
		"cv/cs/clips/common_voice_cs_1.mp3": "", "cv/cs/clips/common_voice_cs_2.mp3": "",
		"fleurs/cs_cz/test.tsv": "1842\t9112.wav\tDobrý den.\tdobrý den\td o b r ý | d e n\t48000\tFEMALE\n" +
			"1842\t9113.wav\tDobrý den.\tdobrý den\td o b r ý | d e n\t64000\tMALE\n",
		"fleurs/cs_cz/dev.tsv": "1\t1.wav\tx\tx\tx\t1\tMALE\n", "fleurs/cs_cz/train.tsv": "1\t1.wav\tx\tx\tx\t1\tMALE\n",
		"fleurs/cs_cz/audio/test/9112.wav": "", "fleurs/cs_cz/audio/test/9113.wav": "",
	})
	o := DataOptions{Code: known, Split: "test"}
	for name, want := range map[string][]Utterance{
		"cv/cs": {{AudioFilepath: filepath.Join(dir, "cv/cs/clips/common_voice_cs_1.mp3"), Text: "Dobrý den.", Lang: "cs", Speaker: "c1"}},
		"fleurs/cs_cz": {
			{AudioFilepath: filepath.Join(dir, "fleurs/cs_cz/audio/test/9112.wav"), Duration: 3, Text: "Dobrý den.", Lang: "cs"},
			{AudioFilepath: filepath.Join(dir, "fleurs/cs_cz/audio/test/9113.wav"), Duration: 4, Text: "Dobrý den.", Lang: "cs"},
		},
	} {
		got, err := ReadData(filepath.Join(dir, name), o)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestPartsAreForThoseWhoReadThem(t *testing.T) {
	path := filepath.Join(writeFiles(t, map[string]string{"m.jsonl": `{"audio_filepath": "a.wav", "text": "x", "offset": 2, "voice": "v", "mood": "glad"}`}), "m.jsonl")
	if _, err := ReadData(path, DataOptions{}); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "whole files alone") {
		t.Errorf("without Parts: %v", err)
	}
	us, err := ReadData(path, DataOptions{Parts: true, NoExtra: true})
	if err != nil || len(us) != 1 || us[0].Start != 2 || !us[0].Part || us[0].Extra != nil {
		t.Errorf("%+v, %v", us, err)
	}
}
