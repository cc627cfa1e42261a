package params_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
)

// of returns params of names and values in turn.
func of(pairs ...string) asr.Params {
	p := make(asr.Params)
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = append(p[pairs[i]], pairs[i+1])
	}
	return p
}

// TestRequest checks what each param asks for.
func TestRequest(t *testing.T) {
	words := &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}
	r := params.Reader{Decoding: asr.Decoding{BeamSize: 5, Hotwords: "Praha", Unconditioned: true}}
	for _, c := range []struct {
		params asr.Params
		want   func(q *asr.Request)
	}{
		{nil, func(*asr.Request) {}},
		{of("language", "cs", "adapter", "none", "task", "translate", "priority", "bulk"), func(q *asr.Request) {
			q.Language, q.Adapter, q.Task, q.Priority = "cs", "none", "translate", asr.Bulk
		}},
		{of("languages", "cs", "languages", " sk,, pl "), func(q *asr.Request) { q.Languages = []string{"cs", "sk", "pl"} }},
		{of("switch_language", "TRUE", "language", "auto"), func(q *asr.Request) { q.SwitchLanguage, q.Language = true, "auto" }},
		{of("timestamp_granularities", "segment"), func(*asr.Request) {}},
		{of("timestamp_granularities", "segment,word"), func(q *asr.Request) { q.Words = words }},
		{of("prompt", "a", "prompt", "b", "hotwords", "Brno", "hotwords", "Olomouc"), func(q *asr.Request) {
			q.Decoding.InitialPrompt, q.Decoding.Hotwords = "a b", "Brno, Olomouc"
		}},
		{of("temperature", "0", "beam_size", "2", "best_of", "3", "patience", "2", "length_penalty", "0.5", "seed", "7"), func(q *asr.Request) {
			d := &q.Decoding
			d.BeamSize, d.BestOf, d.Patience, d.LengthPenalty, d.Seed = 2, 3, 2, 0.5, 7
		}},
		{of("temperature", "0.4", "condition_on_previous_text", "true"), func(q *asr.Request) {
			q.Decoding.Temperatures, q.Decoding.Unconditioned = []float64{0.4}, false
		}},
		{of("compression_ratio_threshold", "2", "logprob_threshold", "-0.5", "no_speech_threshold", "0"), func(q *asr.Request) {
			d := &q.Decoding
			d.CompressionRatioThreshold, d.LogProbThreshold, d.NoSpeechThreshold = 2, -0.5, math.SmallestNonzeroFloat64
		}},
		{of("language", "", "beam_size", "", "vad_filter", "", "chunking_strategy", "null", "chunking_strategy[threshold]", ""), func(*asr.Request) {}},
	} {
		got, err := r.Request(t.Context(), c.params)
		if err != nil {
			t.Errorf("%v: %v", c.params, err)
			continue
		}
		want := asr.Request{Task: "transcribe", Timestamps: true, Decoding: r.Decoding}
		c.want(&want)
		if got.Silent == nil || got.Speech != nil {
			t.Errorf("%v: speech alone is heard, or silence not told", c.params)
		}
		if got.Silent = nil; !reflect.DeepEqual(got, want) {
			t.Errorf("%v:\n%+v, want\n%+v", c.params, got, want)
		}
	}
	q, err := r.Request(t.Context(), of("log_prob_threshold", "None"))
	if err != nil || !math.IsNaN(q.Decoding.LogProbThreshold) {
		t.Errorf("no threshold is %v, %v", q.Decoding.LogProbThreshold, err)
	}
}

// TestParamsAreNotChanged checks that what a client sent can be kept, and read again, as text in JSON.
func TestParamsAreNotChanged(t *testing.T) {
	p := of("language", "cs", "beam_size", "2", "hotwords", "a", "hotwords", "")
	before, _ := json.Marshal(p)
	first, err := params.Reader{}.Request(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	after, _ := json.Marshal(p)
	if string(before) != string(after) {
		t.Errorf("%s has become %s", before, after)
	}
	var kept asr.Params
	if err := json.Unmarshal(after, &kept); err != nil {
		t.Fatal(err)
	}
	again, err := params.Reader{}.Request(t.Context(), kept)
	if first.Silent, again.Silent = nil, nil; err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("%+v, kept %+v, %v", first, again, err)
	}
}

// levels is a detector that takes the first sample of each 10 ms for the probability of speech.
type levels struct{}

func (levels) FrameSamples() int { return audio.SampleRate / 100 }
func (l levels) Push(probs, pcm []float32) []float32 {
	for i := 0; i < len(pcm); i += l.FrameSamples() {
		probs = append(probs, pcm[i])
	}
	return probs
}
func (levels) Flush(probs []float32) []float32 { return probs }

// TestSpeech checks which sound is heard: of 4 s, one that holds speech from 1 s to 2 s with a probability of 0.6, and one of 0.2 s.
func TestSpeech(t *testing.T) {
	long, short := make([]float32, 4*audio.SampleRate), make([]float32, 4*audio.SampleRate)
	for i := range audio.SampleRate {
		long[audio.SampleRate+i] = 0.6
	}
	for i := range audio.SampleRate / 5 {
		short[audio.SampleRate+i] = 0.6
	}
	r := params.Reader{Detector: func() audio.Detector { return levels{} }}
	at := func(s float64) int { return int(s * audio.SampleRate) }
	for _, c := range []struct {
		params asr.Params
		want   []audio.Span // of the long one
	}{
		{of("vad_filter", "true", "chunking_strategy[type]", "server_vad", "chunking_strategy[prefix_padding_ms]", "100", "chunking_strategy[silence_duration_ms]", "200"),
			[]audio.Span{{Start: at(0.9), End: at(2.1)}}},
		{of("chunking_strategy", "auto"), []audio.Span{{Start: at(0.6), End: at(2.4)}}},
		{of("chunking_strategy", ` {"type":"server_vad","threshold":0.7}`), nil},
	} {
		q, err := r.Request(t.Context(), c.params)
		if err != nil || q.Speech == nil || q.Silent != nil {
			t.Errorf("%v: speech is not looked for: %v", c.params, err)
			continue
		}
		if got, err := q.Speech(long); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: speech at %v, want %v, %v", c.params, got, c.want, err)
		}
	}
	q, err := r.Request(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, pcm := range map[bool][]float32{false: short, true: make([]float32, audio.SampleRate)} {
		if silent, err := q.Silent(pcm); err != nil || silent != want {
			t.Errorf("silent: %v, %v, want %v", silent, err, want)
		}
	}
	r.Dims.NAudioCtx = 55 // 1.1 s
	if q, err = r.Request(t.Context(), of("vad_filter", "true")); err != nil {
		t.Fatal(err)
	}
	if got, err := q.Speech(long); err != nil || len(got) != 3 {
		t.Errorf("in windows of 1.1 s there is speech at %v, %v", got, err)
	}
	if q, err = r.Request(t.Context(), of("vad_filter", "false")); err != nil || q.Silent != nil || q.Speech != nil {
		t.Errorf("vad_filter=false looks for speech, %v", err)
	}
	r.Dims.Unpadded = true
	if q, err = r.Request(t.Context(), nil); err != nil || q.Speech == nil || q.Silent != nil {
		t.Errorf("a model of single utterances does not hear speech alone, %v", err)
	}
	if q, err = r.Request(t.Context(), of("vad_filter", "false")); err != nil || q.Speech != nil || q.Silent != nil {
		t.Errorf("a model of single utterances does not hear all where it is told to, %v", err)
	}
}

// TestErrors checks what is said of params that are wrong.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		params               asr.Params
		param, code, message string
	}{
		{of("beam_size", "99"), "beam_size", params.InvalidValue, `beam_size: "99" is not a whole number from 1 to 16`},
		{of("temperature", "NaN"), "temperature", params.InvalidValue, `temperature: "NaN" is not a number from 0 to 1`},
		{of("seed", "1", "seed", "2"), "seed", params.InvalidValue, "seed: this is here 2 times, which one is meant?"},
		{of("task", "summarize"), "task", params.InvalidValue, `task: "summarize" is none of transcribe, translate`},
		{of("priority", "live"), "priority", params.InvalidValue, `priority: "live" is none of normal, bulk`},
		{of("timestamp_granularities", "letter"), "timestamp_granularities", params.InvalidValue, `timestamp_granularities: "letter" is neither word nor segment`},
		{of("language", "cs", "languages", "sk"), "languages", params.InvalidValue, "languages: the language is not looked for where language names it"},
		{of("language", "cs", "switch_language", "1"), "switch_language", params.InvalidValue, "switch_language: the language does not change where language names it"},
		{of("vad_filter", "maybe"), "vad_filter", params.InvalidValue, `vad_filter: "maybe" is neither true nor false`},
		{of("no_speech_threshold", "high"), "no_speech_threshold", params.InvalidValue, `no_speech_threshold: "high" is neither a number nor none`},
		{of("chunking_strategy", "always"), "chunking_strategy", params.InvalidValue, `chunking_strategy: "always" is neither auto nor an object of type server_vad`},
		{of("chunking_strategy", `{"type":"semantic_vad"}`), "chunking_strategy", params.InvalidValue, `chunking_strategy: the type "semantic_vad" is not server_vad`},
		{of("chunking_strategy[threshold]", "0.5"), "chunking_strategy", params.InvalidValue, `chunking_strategy: the type "" is not server_vad`},
		{of("beam_size", "x", "unknown", "1"), "beam_size", params.InvalidValue, `beam_size: "x" is not a whole number from 1 to 16`},
		{of("zeta", "1", "alpha", "1"), "alpha", params.Unknown, `unknown field "alpha"`},
	} {
		_, err := params.Reader{}.Request(t.Context(), c.params)
		var e *params.Error
		if !errors.As(err, &e) || !errors.Is(err, asr.ErrInvalid) || *e != (params.Error{Param: c.param, Code: c.code, Message: c.message}) {
			t.Errorf("%v: %+v, want %s %s %s", c.params, err, c.param, c.code, c.message)
		}
	}
}

// TestFields checks that a transport takes what is its own, and that the rest is left.
func TestFields(t *testing.T) {
	p := of("stream", "yes?", "model", "nano", "speakers", "2", "language", "cs", "timestamp_granularities", "word, segment")
	f := params.NewFields(p)
	if model, ok := f.Text("model"); model != "nano" || !ok {
		t.Errorf("%q", model)
	}
	if got := f.Peek(params.Granularities); !reflect.DeepEqual(got, []string{"word", "segment"}) {
		t.Errorf("%q", got)
	}
	f.Set("language", "de")
	stream := false
	if !f.Flag("stream", &stream) {
		t.Error("stream is not there")
	}
	f.Refuse("there are none", "speakers")
	if want := of("language", "de", "timestamp_granularities", "word, segment"); !reflect.DeepEqual(f.Rest(), want) {
		t.Errorf("left is %v, want %v", f.Rest(), want)
	}
	if err := f.End(); err == nil || err.Error() != `stream: "yes?" is neither true nor false` {
		t.Error(err)
	}
	f = params.NewFields(p)
	f.Refuse("there are none", "speakers", "names")
	var e *params.Error
	if err := f.End(); !errors.As(err, &e) || *e != (params.Error{Param: "speakers", Code: params.Unsupported, Message: "speakers: there are none"}) {
		t.Errorf("%+v", e)
	}
	if len(p) != 5 {
		t.Errorf("the params have become %v", p)
	}
}

// FuzzRequest checks that no params make the reader panic, that their errors are told by name, and that what is taken is within bounds and
// taken again after it was kept.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"language":"cs","beam_size":[5],"temperature":0.2,"vad_filter":true}`, `{"languages":["cs","sk,pl"],"switch_language":true}`,
		`{"chunking_strategy":"{\"type\":\"server_vad\",\"threshold\":0.5}"}`, `{"chunking_strategy[type]":"server_vad","chunking_strategy[silence_duration_ms]":1e5}`,
		`{"timestamp_granularities":["word"],"seed":-1}`, `{"log_prob_threshold":"none","no_speech_threshold":0}`, `{"":null}`, `[]`, `{"prompt":{}}`,
		`{"temperature":"1e-400","patience":"0x1p1","seed":9007199254740992}`,
	} {
		f.Add(seed)
	}
	r := params.Reader{Detector: func() audio.Detector { return levels{} }}
	f.Fuzz(func(t *testing.T, text string) {
		var p asr.Params
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		q, err := r.Request(t.Context(), p)
		if err != nil {
			var e *params.Error
			if !errors.As(err, &e) || !errors.Is(err, asr.ErrInvalid) || e.Message == "" || e.Code == "" {
				t.Errorf("%q: %+v", text, err)
			}
			return
		}
		d := q.Decoding
		if d.BeamSize < 0 || d.BeamSize > params.MaxBeams || d.BestOf < 0 || d.BestOf > params.MaxSamples || len(d.Temperatures) > 1 || q.Task == "" || q.Priority == asr.Live {
			t.Errorf("%q: %+v", text, q)
		}
		if q.Speech != nil {
			if spans, err := q.Speech(make([]float32, audio.SampleRate)); err != nil || len(spans) > 0 {
				t.Errorf("%q: in silence there is speech at %v, %v", text, spans, err)
			}
		}
		kept, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back asr.Params
		if err := json.Unmarshal(kept, &back); err != nil {
			t.Fatalf("%s: %v", kept, err)
		}
		again, err := r.Request(t.Context(), back)
		q.Speech, q.Silent, again.Speech, again.Silent = nil, nil, nil, nil
		a, _ := json.Marshal(printable(q))
		b, _ := json.Marshal(printable(again))
		if err != nil || string(a) != string(b) {
			t.Errorf("%q: %s, and when it was kept %s, %v", text, a, b, err)
		}
	})
}

// printable returns what a request says in a form in which numbers that are none are equal.
func printable(q asr.Request) any {
	d := q.Decoding
	off := [3]bool{math.IsNaN(d.CompressionRatioThreshold), math.IsNaN(d.LogProbThreshold), math.IsNaN(d.NoSpeechThreshold)}
	thresholds := [3]string{}
	for i, x := range []float64{d.CompressionRatioThreshold, d.LogProbThreshold, d.NoSpeechThreshold} {
		if b, err := json.Marshal(x); err == nil {
			thresholds[i] = string(b)
		}
	}
	d.CompressionRatioThreshold, d.LogProbThreshold, d.NoSpeechThreshold = 0, 0, 0
	return []any{q.Language, q.Languages, q.SwitchLanguage, q.Adapter, q.Task, q.Timestamps, q.Words, q.Priority, d, off, thresholds}
}
