package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/whisper"
	"glossa/whisper/nano"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// nanoEngine returns an engine of the embedded model.
func nanoEngine(t *testing.T) *asr.Engine {
	t.Helper()
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, adapters, byLanguage, err := nano.Open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := whisper.Load(c, b, tensor.F32)
	if err != nil {
		t.Fatal(err)
	}
	e, err := asr.New(m, b, adapters, byLanguage, asr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// clip is a recording of the test set and its text.
type clip struct {
	path, lang, text string
}

// clips returns those of the test set that are numbered so in each language.
func clips(t *testing.T, number string) (list []clip) {
	t.Helper()
	const dir = "../../testdata/multilingual"
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(manifest)) {
		var c struct {
			Path string `json:"audio_filepath"`
			Text string
			Lang string
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(c.Path, "/"+number+".flac") {
			list = append(list, clip{filepath.Join(dir, c.Path), c.Lang, c.Text})
		}
	}
	return list
}

// TestEmbeddedModel transcribes clips of all languages at once through the server, and checks that each is what it is alone, streamed or
// not, that adapters are those of the languages, and that most of the texts are right.
func TestEmbeddedModel(t *testing.T) {
	e := nanoEngine(t)
	s, url := newServer(t, e, httpapi.Options{})
	if err := s.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := clips(t, "00")
	verbose := make([]answer, len(list))
	streamed := make([]answer, len(list))
	atOnce := make([]answer, len(list))
	var wait sync.WaitGroup
	for i, c := range list {
		sound, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		file, format, lang := field{"file", string(sound)}, field{"response_format", "verbose_json"}, field{"language", c.lang}
		wait.Go(func() {
			verbose[i] = post(t, url+transcriptions, file, format, lang, field{"timestamp_granularities[]", "word"}, field{"timestamp_granularities[]", "segment"})
		})
		wait.Go(func() { streamed[i] = post(t, url+transcriptions, file, format, lang, field{"stream", "true"}) })
		wait.Go(func() { atOnce[i] = post(t, url+transcriptions, file, format, lang) })
	}
	for i := range 8 { // which harm nobody
		sound := tone(3)
		wait.Go(func() { post(t, url+transcriptions, field{"file", sound[:5000+i]}).failed(t, 400, "damaged_audio") })
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Millisecond)
			defer cancel()
			body, kind := formOf(t, field{"file", sound})
			r, _ := http.NewRequestWithContext(ctx, "POST", url+transcriptions, bytes.NewReader(body))
			r.Header.Set("Content-Type", kind)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
			}
		})
	}
	wait.Wait()
	right := 0
	for i, c := range list {
		var v struct {
			Text         string
			LanguageCode string `json:"language_code"`
			Adapter      *string
			Duration     float64
			Segments     []struct{ Start, End float64 }
			Words        []struct {
				Word       string
				Start, End float64
			}
		}
		if err := json.Unmarshal([]byte(verbose[i].body), &v); err != nil || verbose[i].status != 200 {
			t.Fatalf("%s: %d %s", c.path, verbose[i].status, verbose[i].body)
		}
		adapter := ""
		if v.Adapter != nil {
			adapter = *v.Adapter
		}
		if v.LanguageCode != c.lang || adapter != e.AdapterOf(c.lang) || v.Duration < 0.5 || len(v.Segments) == 0 || len(v.Words) == 0 {
			t.Errorf("%s: %s", c.path, verbose[i].body)
		}
		spoken := ""
		for _, w := range v.Words {
			spoken += w.Word + " "
		}
		if strings.TrimSpace(spoken) != v.Text {
			t.Errorf("%s: words %q of %q", c.path, spoken, v.Text)
		}
		text := ""
		for _, event := range events(t, streamed[i].body) {
			if delta, ok := event["delta"].(string); ok {
				text += delta
			}
		}
		var whole struct{ Text string }
		if err := json.Unmarshal([]byte(atOnce[i].body), &whole); err != nil || text != whole.Text {
			t.Errorf("%s: streamed %q, at once %q (%v)", c.path, text, whole.Text, err)
		}
		if v.Text == c.text {
			right++
		}
		t.Logf("%s %q, said is %q", c.lang, v.Text, c.text)
	}
	if right < len(list)/2 {
		t.Errorf("%d of %d texts are right", right, len(list))
	}
	post(t, url+transcriptions, field{"file", tone(1)}, field{"language", "klingon"}).failed(t, 400, "invalid_language")
	post(t, url+transcriptions, field{"file", tone(1)}, field{"adapter", "klingon"}).failed(t, 404, "adapter_not_found")
	post(t, url+transcriptions, field{"file", tone(1)}, field{"languages", "en,klingon"}).failed(t, 400, "invalid_language")
	silence := field{"file", wavHeader(64_000) + strings.Repeat("\x00", 64_000)}
	for _, more := range [][]field{nil, {{"vad_filter", "true"}}} {
		if a := post(t, url+transcriptions, append(more, silence)...); a.status != 200 || !strings.Contains(a.body, `"text":""`) {
			t.Errorf("silence, %v: %d %s", more, a.status, a.body)
		}
	}
}
