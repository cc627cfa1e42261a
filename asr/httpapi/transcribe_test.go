package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"glossa/asr"
	"glossa/asr/httpapi"
	"glossa/audio"
	"glossa/flora"
)

const transcriptions = "/v1/audio/transcriptions"

// TestFormats checks each format of a response, as it is sent.
func TestFormats(t *testing.T) {
	_, url := newServer(t, newFakeEngine(), httpapi.Options{})
	file := field{"file", tone(0.5)}
	segments := `"segments":[` +
		`{"id":0,"seek":0,"start":0,"end":1.5,"text":" Ahoj,","tokens":[1,2],"temperature":0.2,"avg_logprob":-0.25,"compression_ratio":0.9,"no_speech_prob":0.01,"language":"cs","adapter":"cs"},` +
		`{"id":1,"seek":150,"start":1.5,"end":2.25,"text":" světe \u0026 \u003cspol\u003e","tokens":[3],"temperature":0,"avg_logprob":0,"compression_ratio":0,"no_speech_prob":0,"language":"cs","adapter":"cs"}]`
	words := `"words":[{"word":"Ahoj,","start":0.1,"end":1.4,"probability":0.9},{"word":"světe","start":1.5,"end":2,"probability":0},{"word":"\u0026 \u003cspol\u003e","start":2,"end":2.25,"probability":0}]`
	head := `{"task":"transcribe","language":"czech","duration":0.5,"text":"Ahoj, světe \u0026 \u003cspol\u003e",`
	tail := `"usage":{"type":"duration","seconds":0.5},"language_code":"cs","language_probability":0.75,"adapter":"cs","adapter_hash":"abc"}` + "\n"
	verbose := field{"response_format", "verbose_json"}
	for name, c := range map[string]struct {
		path   string
		fields []field
		kind   string
		want   string
	}{
		"default": {transcriptions, nil, "application/json", `{"text":"Ahoj, světe \u0026 \u003cspol\u003e","usage":{"type":"duration","seconds":0.5}}` + "\n"},
		"text":    {transcriptions, []field{{"response_format", "text"}}, "text/plain; charset=utf-8", fakeText + "\n"},
		"srt": {transcriptions, []field{{"response_format", "srt"}}, "application/x-subrip; charset=utf-8",
			"1\n00:00:00,000 --> 00:00:01,500\nAhoj,\n\n2\n00:00:01,500 --> 00:00:02,250\nsvěte & <spol>\n\n"},
		"vtt": {transcriptions, []field{{"response_format", "vtt"}}, "text/vtt; charset=utf-8",
			"WEBVTT\n\n00:00.000 --> 00:01.500\nAhoj,\n\n00:01.500 --> 00:02.250\nsvěte & <spol>\n\n"},
		"tsv": {transcriptions, []field{{"response_format", "tsv"}}, "text/tab-separated-values; charset=utf-8",
			"start\tend\ttext\n0\t1500\tAhoj,\n1500\t2250\tsvěte & <spol>\n"},
		"verbose":         {transcriptions, []field{verbose}, "application/json", head + segments + "," + tail},
		"words":           {transcriptions, []field{verbose, {"timestamp_granularities[]", "word"}}, "application/json", head + words + "," + tail},
		"both":            {transcriptions, []field{verbose, {"timestamp_granularities[]", "word"}, {"timestamp_granularities[]", "segment"}}, "application/json", head + segments + "," + words + "," + tail},
		"translation":     {"/v1/audio/translations", nil, "application/json", `{"text":"Ahoj, světe \u0026 \u003cspol\u003e"}` + "\n"},
		"switch_language": {transcriptions, []field{verbose, {"switch_language", "true"}}, "application/json", head + segments + "," + tail},
		"translation, verbose": {"/v1/audio/translations", []field{verbose}, "application/json",
			strings.Replace(strings.Replace(head, "transcribe", "translate", 1), "czech", "english", 1) + segments + "," + strings.TrimPrefix(tail, `"usage":{"type":"duration","seconds":0.5},`)},
	} {
		a := post(t, url+c.path, append(c.fields, file)...)
		if a.status != 200 || a.header.Get("Content-Type") != c.kind || a.body != c.want {
			t.Errorf("%s: status %d, %s:\n%s, want %s:\n%s", name, a.status, a.header.Get("Content-Type"), a.body, c.kind, c.want)
		}
	}
}

// TestFields checks what each field asks of the engine.
func TestFields(t *testing.T) {
	e := newFakeEngine()
	base := asr.Decoding{BeamSize: 5, BestOf: 5}
	_, url := newServer(t, e, httpapi.Options{Decoding: base, Models: []string{"nano", "other/name"}})
	file := field{"file", tone(0.5)}
	words := &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}
	verbose := field{"response_format", "verbose_json"}
	for name, c := range map[string]struct {
		fields []field
		want   func(q *asr.Request)
	}{
		"nothing":     {nil, func(*asr.Request) {}},
		"whisper-1":   {[]field{{"model", "whisper-1"}}, func(*asr.Request) {}},
		"its model":   {[]field{{"model", "other/name"}}, func(*asr.Request) {}},
		"an adapter":  {[]field{{"model", "cs"}}, func(q *asr.Request) { q.Adapter = "cs" }},
		"adapter":     {[]field{{"adapter", "none"}, {"model", "nano"}}, func(q *asr.Request) { q.Adapter = "none" }},
		"language":    {[]field{{"language", "cs"}, {"prompt", "Dobrý den."}}, func(q *asr.Request) { q.Language, q.Decoding.InitialPrompt = "cs", "Dobrý den." }},
		"languages":   {[]field{{"languages[]", "cs"}, {"languages[]", "sk, pl"}}, func(q *asr.Request) { q.Languages = []string{"cs", "sk", "pl"} }},
		"switching":   {[]field{{"switch_language", "1"}, {"language", "auto"}}, func(q *asr.Request) { q.SwitchLanguage, q.Language = true, "auto" }},
		"empty":       {[]field{{"language", ""}, {"prompt", ""}, {"temperature", ""}, {"model", ""}}, func(*asr.Request) {}},
		"temperature": {[]field{{"temperature", "0.4"}}, func(q *asr.Request) { q.Decoding.Temperatures = []float64{0.4} }},
		"at 0":        {[]field{{"temperature", "0"}}, func(*asr.Request) {}},
		"search": {[]field{{"beam_size", "1"}, {"best_of", "2"}, {"patience", "2"}, {"length_penalty", "0.5"}, {"seed", "7"}}, func(q *asr.Request) {
			q.Decoding = asr.Decoding{BeamSize: 1, BestOf: 2, Patience: 2, LengthPenalty: 0.5, Seed: 7}
		}},
		"thresholds": {[]field{{"compression_ratio_threshold", "2"}, {"log_prob_threshold", "-0.5"}, {"no_speech_threshold", "0"}}, func(q *asr.Request) {
			d := &q.Decoding
			d.CompressionRatioThreshold, d.LogProbThreshold, d.NoSpeechThreshold = 2, -0.5, math.SmallestNonzeroFloat64
		}},
		"hotwords":      {[]field{{"hotwords", "Brno"}, {"hotwords", "Olomouc"}}, func(q *asr.Request) { q.Decoding.Hotwords = "Brno, Olomouc" }},
		"unconditioned": {[]field{{"condition_on_previous_text", "False"}}, func(q *asr.Request) { q.Decoding.Unconditioned = true }},
		"bulk":          {[]field{{"priority", "bulk"}}, func(q *asr.Request) { q.Priority = asr.Bulk }},
		"subtitles":     {[]field{{"response_format", "srt"}}, func(q *asr.Request) { q.Timestamps = true }},
		"words":         {[]field{verbose, {"timestamp_granularities[]", "word"}}, func(q *asr.Request) { q.Timestamps, q.Words = true, words }},
		"no chunking":   {[]field{{"chunking_strategy", "null"}, {"vad_filter", "false"}, {"stream", "false"}}, func(*asr.Request) {}},
	} {
		a := post(t, url+transcriptions, append(c.fields, file)...)
		if a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			continue
		}
		got := e.last()
		want := asr.Request{Task: "transcribe", Decoding: base}
		c.want(&want)
		if pcm, err := got.Audio(); err == nil && len(pcm) != audio.SampleRate/2 {
			t.Errorf("%s: %d samples", name, len(pcm))
		}
		if silent := got.Silent != nil; silent == (name == "no chunking") {
			t.Errorf("%s: silence is looked for: %t", name, silent)
		}
		got.Audio, got.Silent = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, want)
		}
	}
	post(t, url+transcriptions, file, field{"log_prob_threshold", "none"})
	if x := e.last().Decoding.LogProbThreshold; !math.IsNaN(x) {
		t.Errorf("no threshold is %v", x)
	}
	post(t, url+"/v1/audio/translations", file)
	if task := e.last().Task; task != "translate" {
		t.Errorf("the task of a translation is %q", task)
	}
}

// TestSpeechIsLookedFor checks the ways to ask for it, on silence with a tone in it.
func TestSpeechIsLookedFor(t *testing.T) {
	e := newFakeEngine()
	_, url := newServer(t, e, httpapi.Options{})
	for _, fields := range [][]field{
		{{"vad_filter", "true"}},
		{{"chunking_strategy", "auto"}},
		{{"chunking_strategy", `{"type":"server_vad","prefix_padding_ms":0,"silence_duration_ms":200,"threshold":0.5}`}},
		{{"chunking_strategy[type]", "server_vad"}, {"chunking_strategy[silence_duration_ms]", "300"}, {"chunking_strategy[threshold]", "0.4"}},
	} {
		a := post(t, url+transcriptions, append(fields, field{"file", tone(1)})...)
		if a.status != 200 || e.last().Speech == nil || e.last().Silent != nil {
			t.Errorf("%v: %d %s", fields, a.status, a.body)
			continue
		}
		if spans, err := e.last().Speech(make([]float32, 2*audio.SampleRate)); err == nil && len(spans) != 0 {
			t.Errorf("%v: in silence there is speech at %v", fields, spans)
		}
	}
}

// TestWrongFields checks that what is wrong with a field is told by its name.
func TestWrongFields(t *testing.T) {
	e := newFakeEngine()
	_, url := newServer(t, e, httpapi.Options{})
	file := field{"file", tone(0.1)}
	for _, c := range []struct {
		fields []field
		param  string
		status int
		code   string
	}{
		{[]field{file, {"model", "gpt-4o-transcribe-diarize"}}, "model", 404, "model_not_found"},
		{[]field{file, {"model", "secret"}}, "model", 404, "model_not_found"},
		{[]field{file, {"model", "cs"}, {"adapter", "fi"}}, "adapter", 400, "invalid_value"},
		{[]field{file, {"response_format", "xml"}}, "response_format", 400, "invalid_value"},
		{[]field{file, {"response_format", "diarized_json"}}, "response_format", 400, "invalid_value"},
		{[]field{file, {"known_speaker_names[]", "agent"}}, "known_speaker_names", 400, "unsupported_parameter"},
		{[]field{file, {"include[]", "logprobs"}}, "include", 400, "invalid_value"},
		{[]field{file, {"timestamp_granularities[]", "word"}}, "timestamp_granularities", 400, "invalid_value"},
		{[]field{file, {"response_format", "verbose_json"}, {"timestamp_granularities[]", "letter"}}, "timestamp_granularities", 400, "invalid_value"},
		{[]field{file, {"temperature", "1.5"}}, "temperature", 400, "invalid_value"},
		{[]field{file, {"temperature", "NaN"}}, "temperature", 400, "invalid_value"},
		{[]field{file, {"temperature", "0"}, {"temperature", "1"}}, "temperature", 400, "invalid_value"},
		{[]field{file, {"beam_size", "1000"}}, "beam_size", 400, "invalid_value"},
		{[]field{file, {"stream", "perhaps"}}, "stream", 400, "invalid_value"},
		{[]field{file, {"stream", "true"}, {"response_format", "srt"}}, "stream", 400, "invalid_value"},
		{[]field{file, {"language", "cs"}, {"languages", "cs,sk"}}, "languages", 400, "invalid_value"},
		{[]field{file, {"language", "cs"}, {"switch_language", "true"}}, "switch_language", 400, "invalid_value"},
		{[]field{file, {"no_speech_threshold", "high"}}, "no_speech_threshold", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy", "always"}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy", `{"type":"semantic_vad"}`}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy", `{"type":"server_vad","eagerness":1}`}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy", `{"type":"server_vad","threshold":7}`}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy", `{"type":"server_vad","silence_duration_ms":1e300}`}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"chunking_strategy[threshold]", "0.5"}}, "chunking_strategy", 400, "invalid_value"},
		{[]field{file, {"priority", "live"}}, "priority", 400, "invalid_value"},
		{[]field{file, {"beam_siez", "4"}}, "beam_siez", 400, "unknown_parameter"},
		{[]field{{"language", "cs"}}, "file", 400, "missing_parameter"},
		{[]field{{"file", ""}}, "file", 400, "empty_audio"},
		{[]field{file, file}, "file", 400, "invalid_value"},
		{[]field{{"file", "no sound, a text"}}, "file", 400, "unsupported_audio"},
		{[]field{{"file", tone(0.5)[:1000]}}, "file", 400, "damaged_audio"},
		{[]field{{"file", "\x00\x00\x00\x20ftypM4A then nothing"}}, "file", 400, "unsupported_audio"},
	} {
		got := post(t, url+transcriptions, c.fields...).failed(t, c.status, c.code)
		if got.Param == nil || *got.Param != c.param {
			t.Errorf("%.60v: %+v, want the param %s", c.fields, got, c.param)
		}
	}
}

// TestErrorsOfTheEngine checks the status of each, and that what is internal is logged and not sent.
func TestErrorsOfTheEngine(t *testing.T) {
	e := newFakeEngine()
	var log logBuffer
	_, url := newServer(t, e, httpapi.Options{Logger: log.logger()})
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("%w: clips [2 1]", asr.ErrInvalid), 400, "invalid_request"},
		{fmt.Errorf("%w: %w: %q", asr.ErrNotFound, flora.ErrUnknown, "fi"), 404, "adapter_not_found"},
		{asr.ErrBusy, 429, "busy"},
		{asr.ErrCancelled, 503, "draining"},
		{fmt.Errorf("%w: %w", asr.ErrInternal, errDisk), 500, "internal_error"},
		{errDisk, 500, "internal_error"},
		{fmt.Errorf("%w: more than 4h", audio.ErrTooLong), 413, "audio_too_long"},
	} {
		e.err = c.err
		for _, stream := range []string{"false", "true"} {
			a := post(t, url+transcriptions, field{"file", tone(0.1)}, field{"stream", stream})
			got := a.failed(t, c.status, c.code)
			if strings.Contains(a.body, "sda3") || strings.Contains(got.Message, "asr:") {
				t.Errorf("what is internal is sent: %s", a.body)
			}
			if wait := a.header.Get("Retry-After"); (wait != "") != (c.status == 429 || c.status == 503) {
				t.Errorf("%v: Retry-After %q", c.err, wait)
			}
			if id := a.header.Get("X-Request-Id"); c.status == 500 && !strings.Contains(log.String(), id) {
				t.Errorf("%v: nothing is logged of request %s", c.err, id)
			}
		}
	}
	if !strings.Contains(log.String(), "sda3") {
		t.Errorf("what is internal is not logged:\n%s", &log)
	}
}

// events returns the objects of a stream of events.
func events(t testing.TB, body string) (list []map[string]any) {
	t.Helper()
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(block, "data: ")
		if !ok {
			t.Fatalf("an event that is no data: %q", block)
		}
		var event map[string]any
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		list = append(list, event)
	}
	return list
}

// TestStream checks the events of each format that can be streamed.
func TestStream(t *testing.T) {
	_, url := newServer(t, newFakeEngine(), httpapi.Options{})
	for _, format := range []string{"json", "text", "verbose_json"} {
		a := post(t, url+transcriptions, field{"file", tone(0.5)}, field{"stream", "true"}, field{"response_format", format})
		if a.status != 200 || a.header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
			t.Fatalf("%s: %d, %s: %s", format, a.status, a.header.Get("Content-Type"), a.body)
		}
		text, types := "", ""
		list := events(t, a.body)
		for _, event := range list {
			types += strings.TrimPrefix(event["type"].(string), "transcript.text.") + " "
			if delta, ok := event["delta"].(string); ok {
				text += delta
			}
		}
		want := "delta delta done "
		if format == "verbose_json" {
			want = "delta segment delta segment done "
		}
		done := list[len(list)-1]
		if types != want || text != fakeText || done["text"] != fakeText {
			t.Errorf("%s: events %s, deltas %q: %s", format, types, text, a.body)
		}
		usage := done["usage"].(map[string]any)
		if usage["type"] != "tokens" || usage["input_tokens"] != 25. || usage["output_tokens"] != 3. || usage["total_tokens"] != 28. || usage["seconds"] != 0.5 {
			t.Errorf("%s: usage %v", format, usage)
		}
		if _, ok := done["segments"]; ok != (format == "verbose_json") {
			t.Errorf("%s: the last event is %v", format, done)
		}
	}
}

// TestCodecs checks that sound of every kind that is read comes to the engine.
func TestCodecs(t *testing.T) {
	_, url := newServer(t, newFakeEngine(), httpapi.Options{})
	for _, name := range []string{"audio/testdata/chirp.mp3", "audio/testdata/chirp.ogg", "audio/testdata/chirp.opus", "audio/testdata/chirp.webm", "testdata/multilingual/cs/00.flac"} {
		sound, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		a := post(t, url+transcriptions, field{"response_format", "verbose_json"}, field{"file", string(sound)})
		var v struct{ Duration float64 }
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 || v.Duration < 0.5 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// TestStreamFailsWithAnEvent checks an error after the first segment.
func TestStreamFailsWithAnEvent(t *testing.T) {
	var log logBuffer
	_, url := newServer(t, failsLate{newFakeEngine()}, httpapi.Options{Logger: log.logger()})
	a := post(t, url+transcriptions, field{"file", tone(0.1)}, field{"stream", "true"})
	list := events(t, a.body)
	if fault, ok := list[len(list)-1]["error"].(map[string]any); a.status != 200 || !ok || fault["code"] != "internal_error" || !strings.Contains(log.String(), errDisk.Error()) {
		t.Errorf("%d %s, log\n%s", a.status, a.body, &log)
	}
	if strings.Contains(a.body, "sda3") {
		t.Errorf("what is internal is sent: %s", a.body)
	}
}

// TestStreamIsKeptAlive checks that a stream on which nothing happens says that it is alive.
func TestStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine()
		e.hold = make(chan struct{})
		s, err := httpapi.New(e, httpapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		body, kind := formOf(t, field{"file", tone(0.1)}, field{"stream", "true"})
		r := httptest.NewRequest("POST", transcriptions, bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		time.AfterFunc(31*time.Second, func() { close(e.hold) })
		s.Handler().ServeHTTP(w, r)
		got, beats := strings.CutPrefix(w.Body.String(), ": still at it\n\n: still at it\n\ndata: {")
		if !beats || !strings.Contains(got, "transcript.text.done") || !w.Flushed {
			t.Errorf("%s", w.Body)
		}
	})
}

// TestStreamComesAtOnce checks that a segment is sent when it is there, not when all are.
func TestStreamComesAtOnce(t *testing.T) {
	e := slowlyTold{newFakeEngine(), make(chan struct{})}
	_, url := newServer(t, e, httpapi.Options{})
	body, kind := formOf(t, field{"file", tone(0.1)}, field{"stream", "true"})
	resp, err := http.Post(url+transcriptions, kind, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	first, err := lines.ReadString('\n')
	if want := `data: {"type":"transcript.text.delta","delta":"Ahoj,"}` + "\n"; err != nil || first != want {
		t.Errorf("%q, %v, want %q", first, err, want)
	}
	close(e.goOn)
	if rest, err := io.ReadAll(lines); err != nil || !bytes.Contains(rest, []byte("transcript.text.done")) {
		t.Errorf("%s, %v", rest, err)
	}
}
