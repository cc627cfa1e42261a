package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
	"glossa/flora"
)

// wanted is what a form asks for.
type wanted struct {
	request asr.Request
	format  string // one of formats
	stream  bool

	// Of verbose_json.
	segments, words bool
}

// The formats of a response. What they are called here, the client asks for by name.
const (
	formatJSON    = "json"
	formatText    = "text"
	formatSRT     = "srt"
	formatVTT     = "vtt"
	formatVerbose = "verbose_json"
	formatTSV     = "tsv"
)

var formats = []string{formatJSON, formatText, formatSRT, formatVTT, formatVerbose, formatTSV, "diarized_json"}

// Greatest values of what makes decoding costly.
const (
	maxBeams   = 16
	maxSamples = 16
)

// wants returns what a form asks for, without the sound. The error is an *apiError.
func (s *Server) wants(ctx context.Context, form *form, task string) (*wanted, error) {
	f := &fields{values: maps.Clone(form.fields)}
	w := &wanted{request: asr.Request{Task: task, Client: asr.ClientOf(ctx), Decoding: s.options.Decoding}}
	q := &w.request
	s.model(f, q)
	w.shape(f)
	s.languages(f, q)
	decoding(f, &q.Decoding)
	s.speech(ctx, f, q)
	if f.choice("priority", asr.Normal.String(), asr.Bulk.String()) == asr.Bulk.String() {
		q.Priority = asr.Bulk
	}
	f.refuse("this server does not tell speakers apart", "known_speaker_names", "known_speaker_references")
	f.rest()
	switch {
	case f.err != nil:
		return nil, f.err
	case form.file == nil:
		return nil, &apiError{status: http.StatusBadRequest, param: "file", code: "missing_parameter", message: "the field file, the sound, is missing"}
	case form.file.len() == 0:
		return nil, &apiError{status: http.StatusBadRequest, param: "file", code: "empty_audio", message: "the file is empty"}
	}
	return w, nil
}

// openAIModels are the models of OpenAI's API for transcription, whose names clients have built in.
var openAIModels = []string{"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-03-20", "gpt-4o-mini-transcribe-2025-12-15"}

// isModel reports whether a name is the model's.
func (s *Server) isModel(name string) bool {
	return slices.Contains(s.options.Models, name) || slices.Contains(openAIModels, name)
}

// model takes the model that a form names, and the adapter: a model may be an adapter by name, as in vLLM.
func (s *Server) model(f *fields, q *asr.Request) {
	q.Adapter, _ = f.text("adapter")
	name, ok := f.text("model")
	if !ok || s.isModel(name) {
		return
	}
	if s.adapter(q.Client, name) == nil {
		if f.err == nil {
			f.err = noModel(name)
		}
		return
	}
	if q.Adapter != "" && q.Adapter != asr.Auto && q.Adapter != name {
		f.fail("adapter", "the model %q is another adapter", clip(name))
	}
	q.Adapter = name
}

func noModel(name string) *apiError {
	return &apiError{status: http.StatusNotFound, param: "model", code: "model_not_found", message: fmt.Sprintf("there is no model %q; /v1/models lists those that there are", clip(name))}
}

// adapter returns the adapter of a name, nil where there is none that the client may have.
func (s *Server) adapter(client, name string) *flora.AdapterInfo {
	if !s.engine.Allows(client, name) {
		return nil
	}
	info, err := s.engine.Adapter(name)
	if err != nil {
		return nil
	}
	return &info
}

// shape takes how a form wants the response.
func (w *wanted) shape(f *fields) {
	w.format = f.choice("response_format", formats...)
	if w.format == "diarized_json" {
		f.fail("response_format", "this server does not tell speakers apart; verbose_json has segments and words")
	}
	f.flag("stream", &w.stream)
	if w.stream && w.format != formatJSON && w.format != formatText && w.format != formatVerbose {
		f.fail("stream", "%s cannot be streamed; json, text and verbose_json can", w.format)
	}
	granularities := f.list("timestamp_granularities")
	if len(granularities) > 0 && w.format != formatVerbose {
		f.fail("timestamp_granularities", "the response_format must be verbose_json")
	}
	for _, g := range granularities {
		switch g {
		case "segment":
			w.segments = true
		case "word":
			w.words = true
		default:
			f.fail("timestamp_granularities", "%q is neither word nor segment", clip(g))
		}
	}
	w.segments = w.segments || len(granularities) == 0
	w.request.Timestamps = w.format != formatJSON && w.format != formatText
	if w.words {
		w.request.Words = &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}
	}
	for _, what := range f.list("include") {
		if what != "logprobs" {
			f.fail("include", "%q is nothing that can be included", clip(what))
		} else {
			f.fail("include", "log probabilities of tokens are not to be had; verbose_json has those of segments, and of words their probabilities")
		}
	}
}

// languages takes the language, or those that it is one of.
func (s *Server) languages(f *fields, q *asr.Request) {
	q.Language, _ = f.text("language")
	q.Languages = f.list("languages")
	f.flag("switch_language", &q.SwitchLanguage)
	if named := q.Language != "" && q.Language != asr.Auto; named && len(q.Languages) > 0 {
		f.fail("languages", "the language is not looked for where language names it")
	} else if named && q.SwitchLanguage {
		f.fail("switch_language", "the language does not change where language names it")
	}
}

// decoding takes how windows are decoded.
func decoding(f *fields, d *asr.Decoding) {
	d.InitialPrompt = joined(f, "prompt", " ", d.InitialPrompt)
	d.Hotwords = joined(f, "hotwords", ", ", d.Hotwords)
	temperature := 0.0
	if f.number("temperature", 0, 1, &temperature); temperature > 0 {
		d.Temperatures = []float64{temperature} // at 0 it rises where a text is not taken, as OpenAI's does
	}
	f.count("beam_size", 1, maxBeams, &d.BeamSize)
	f.count("best_of", 1, maxSamples, &d.BestOf)
	f.number("patience", 0.1, 4, &d.Patience)
	f.number("length_penalty", 0, 1, &d.LengthPenalty)
	seed := int(d.Seed)
	f.count("seed", 0, 1<<53, &seed)
	d.Seed = uint64(seed)
	conditioned := !d.Unconditioned
	f.flag("condition_on_previous_text", &conditioned)
	d.Unconditioned = !conditioned
	f.threshold("compression_ratio_threshold", &d.CompressionRatioThreshold)
	f.threshold("log_prob_threshold", &d.LogProbThreshold)
	f.threshold("logprob_threshold", &d.LogProbThreshold)
	f.threshold("no_speech_threshold", &d.NoSpeechThreshold)
}

// joined returns the values of a field as one text.
func joined(f *fields, name, separator, otherwise string) string {
	if values := f.all(name); len(values) > 0 {
		return strings.Join(values, separator)
	}
	return otherwise
}

// vadConfig is OpenAI's server_vad.
type vadConfig struct {
	Type              string   `json:"type"`
	PrefixPaddingMS   *float64 `json:"prefix_padding_ms"`
	SilenceDurationMS *float64 `json:"silence_duration_ms"`
	Threshold         *float64 `json:"threshold"`
}

// speech sets what finds speech, where a form asks for it: vad_filter does, and OpenAI's chunking_strategy, which is
// auto, or server_vad with its parameters, as an object in JSON or as fields of their own. Where it says nothing, a recording
// without any speech is not decoded: Whisper hears text in noise.
func (s *Server) speech(ctx context.Context, f *fields, q *asr.Request) {
	const field = "chunking_strategy"
	var filter bool
	said := len(f.values["vad_filter"]) > 0
	f.flag("vad_filter", &filter)
	var c vadConfig
	strategy, _ := f.text(field)
	switch {
	case strings.HasPrefix(strings.TrimSpace(strategy), "{"):
		d := json.NewDecoder(strings.NewReader(strategy))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			f.fail(field, "this is not the object that is wanted: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		filter = true
	case strategy == "auto":
		filter = true
	case strategy != "" && strategy != "null":
		f.fail(field, "%q is neither auto nor an object of type server_vad", clip(strategy))
	}
	if t, ok := f.text(field + "[type]"); ok {
		c.Type, filter = t, true
	}
	for name, to := range map[string]**float64{"prefix_padding_ms": &c.PrefixPaddingMS, "silence_duration_ms": &c.SilenceDurationMS, "threshold": &c.Threshold} {
		var x float64
		if name := field + "[" + name + "]"; len(f.values[name]) > 0 {
			f.number(name, 0, 1e6, &x)
			*to = &x
		}
	}
	if c != (vadConfig{}) && c.Type != "server_vad" {
		f.fail(field, "the type %q is not server_vad", clip(c.Type))
	}
	o := s.speechOptions(f, c)
	switch {
	case filter:
		q.Speech = func(pcm []float32) ([]audio.Span, error) {
			return audio.FindSpeechContext(ctx, s.options.Detector(), pcm, o)
		}
	case !said:
		o.MinSpeech = shortestWord
		q.Silent = func(pcm []float32) (bool, error) {
			spans, err := audio.FindSpeechContext(ctx, s.options.Detector(), pcm, o)
			return len(spans) == 0, err
		}
	}
}

// shortestWord is the least speech for which a recording is decoded.
const shortestWord = 100 * time.Millisecond

// speechOptions returns how speech is found: padded and cut as faster-whisper's vad_filter does, where the client does not say
// otherwise.
func (s *Server) speechOptions(f *fields, c vadConfig) audio.SpeechOptions {
	o := audio.DefaultSpeechOptions()
	o.MinSilence, o.SpeechPad, o.MaxSpeech = 160*time.Millisecond, 400*time.Millisecond, s.window
	milliseconds := func(ms *float64, to *time.Duration) {
		const most = 10_000
		if ms != nil && !(*ms >= 0 && *ms <= most) {
			f.fail("chunking_strategy", "%v ms are not from 0 to %d", *ms, most)
		} else if ms != nil {
			*to = time.Duration(*ms * float64(time.Millisecond))
		}
	}
	milliseconds(c.PrefixPaddingMS, &o.SpeechPad)
	milliseconds(c.SilenceDurationMS, &o.MinSilence)
	if c.Threshold != nil {
		o.Threshold, o.NegThreshold = float32(*c.Threshold), 0
	}
	if err := o.Check(); err != nil {
		f.fail("chunking_strategy", "%s", plain(err))
	}
	return o
}
