package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"glossa/asr"
	"glossa/asr/params"
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

// wants returns what a form asks for, without the sound.
func (s *Server) wants(ctx context.Context, form *form, task string) (*wanted, error) {
	f := params.NewFields(form.fields)
	client := asr.ClientOf(ctx)
	if err := s.model(f, client); err != nil {
		return nil, err
	}
	f.Set("task", f.Choice("task", task))
	w := shape(f)
	refused(f)
	w.request = s.reader().Read(ctx, f)
	w.request.Client = client
	w.request.Timestamps = w.format != formatJSON && w.format != formatText
	w.words = w.request.Words != nil
	if err := f.End(); err != nil {
		return nil, err
	}
	switch {
	case form.file == nil:
		return nil, &apiError{status: http.StatusBadRequest, param: "file", code: "missing_parameter", message: "the field file, the sound, is missing"}
	case form.file.len() == 0:
		return nil, &apiError{status: http.StatusBadRequest, param: "file", code: "empty_audio", message: "the file is empty"}
	}
	return w, nil
}

// reader returns what reads the fields that all transports have.
func (s *Server) reader() params.Reader {
	return params.Reader{Decoding: s.options.Decoding, Detector: s.options.Detector, Dims: s.dims}
}

// openAIModels are the models of OpenAI's API for transcription, whose names clients have built in.
var openAIModels = []string{"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe-2025-03-20", "gpt-4o-mini-transcribe-2025-12-15"}

// isModel reports whether a name is the model's.
func (s *Server) isModel(name string) bool {
	return slices.Contains(s.options.Models, name) || slices.Contains(openAIModels, name)
}

// model takes the model that a form names. It may be an adapter by name, as in vLLM, and then is the field adapter.
func (s *Server) model(f *params.Fields, client string) error {
	name, ok := f.Text("model")
	if !ok || s.isModel(name) {
		return nil
	}
	if s.adapter(client, name) == nil {
		return noModel(name)
	}
	for _, other := range f.Peek("adapter") {
		if other != asr.Auto && other != name {
			f.Fail("adapter", "the model %q is another adapter", params.Clip(name))
		}
	}
	f.Set("adapter", name)
	return nil
}

func noModel(name string) *apiError {
	return &apiError{status: http.StatusNotFound, param: "model", code: "model_not_found", message: fmt.Sprintf("there is no model %q; /v1/models lists those that there are", params.Clip(name))}
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
func shape(f *params.Fields) *wanted {
	w := &wanted{format: f.Choice("response_format", formats...)}
	if w.format == "diarized_json" {
		f.Fail("response_format", "this server does not tell speakers apart; verbose_json has segments and words")
	}
	f.Flag("stream", &w.stream)
	if w.stream && w.format != formatJSON && w.format != formatText && w.format != formatVerbose {
		f.Fail("stream", "%s cannot be streamed; json, text and verbose_json can", w.format)
	}
	granularities := f.Peek(params.Granularities)
	if len(granularities) > 0 && w.format != formatVerbose {
		f.Fail(params.Granularities, "the response_format must be verbose_json")
	}
	w.segments = len(granularities) == 0 || slices.Contains(granularities, "segment")
	return w
}

// refused takes fields of OpenAI's API that are not to be had here.
func refused(f *params.Fields) {
	for _, what := range f.List("include") {
		if what != "logprobs" {
			f.Fail("include", "%q is nothing that can be included", params.Clip(what))
		} else {
			f.Fail("include", "log probabilities of tokens are not to be had; verbose_json has those of segments, and of words their probabilities")
		}
	}
	f.Refuse("this server does not tell speakers apart", "known_speaker_names", "known_speaker_references")
}
