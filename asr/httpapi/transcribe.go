package httpapi

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"strings"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
)

// transcription answers POST /v1/audio/transcriptions and translations.
func (s *Server) transcription(task string) http.Handler {
	return s.handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := s.readForm(w, r, s.options.Limits.RequestBytes)
		if err != nil {
			return err
		}
		defer form.close()
		want, err := s.wants(r.Context(), form, task)
		if err != nil {
			return err
		}
		want.request.Audio = s.sound(r.Context(), form.file)
		if want.stream {
			return s.stream(w, r, want)
		}
		result, err := s.engine.Transcribe(r.Context(), want.request)
		if err != nil {
			return err
		}
		return want.write(w, result)
	})
}

// sound returns what decodes a file.
func (s *Server) sound(ctx context.Context, file *spool) func() ([]float32, error) {
	return func() ([]float32, error) {
		pcm, err := audio.DecodeContext(ctx, file.reader(), audio.Limits{MaxDuration: s.options.Limits.Decoded})
		return pcm.Samples, err
	}
}

// usage is what a request is billed by, OpenAI's for models that are billed by duration.
type usage struct {
	Type    string  `json:"type"`
	Seconds float64 `json:"seconds"`
}

// transcription is the response in json. OpenAI's translations have no usage.
type transcription struct {
	Text  string `json:"text"`
	Usage *usage `json:"usage,omitempty"`
}

// verboseTranscription is the response in verbose_json: OpenAI's, and behind it what it has not.
type verboseTranscription struct {
	Task     string           `json:"task"`
	Language string           `json:"language"` // the English name in lower case, as OpenAI's
	Duration float64          `json:"duration"`
	Text     string           `json:"text"`
	Segments []verboseSegment `json:"segments,omitzero"`
	Words    []word           `json:"words,omitzero"`
	Usage    *usage           `json:"usage,omitempty"`

	LanguageCode        string  `json:"language_code"`
	LanguageProbability float64 `json:"language_probability,omitempty"`
	Adapter             *string `json:"adapter"` // null for the base model
	AdapterHash         string  `json:"adapter_hash,omitempty"`
}

type verboseSegment struct {
	ID               int     `json:"id"`
	Seek             int     `json:"seek"`
	Start            float64 `json:"start"`
	End              float64 `json:"end"`
	Text             string  `json:"text"`
	Tokens           []int32 `json:"tokens"`
	Temperature      float64 `json:"temperature"`
	AvgLogProb       float64 `json:"avg_logprob"`
	CompressionRatio float64 `json:"compression_ratio"`
	NoSpeechProb     float64 `json:"no_speech_prob"`

	Language string  `json:"language"` // a code
	Adapter  *string `json:"adapter"`
}

type word struct {
	Word  string  `json:"word"` // without the space before it
	Start float64 `json:"start"`
	End   float64 `json:"end"`

	Probability float64 `json:"probability"`
}

// write answers with a result in the format that is wanted.
func (want *wanted) write(w http.ResponseWriter, r *asr.Result) error {
	var b bytes.Buffer
	switch want.format {
	case formatJSON:
		return writeJSON(w, http.StatusOK, transcription{r.Text, want.usage(r)})
	case formatVerbose:
		return writeJSON(w, http.StatusOK, want.verbose(r))
	case formatText:
		return writeBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte(r.Text+"\n"))
	}
	if err := asr.Write(&b, want.format, r, asr.SubtitleOptions{}); err != nil {
		return err
	}
	return writeBody(w, http.StatusOK, subtitleTypes[want.format], b.Bytes())
}

var subtitleTypes = map[string]string{
	formatSRT: "application/x-subrip; charset=utf-8",
	formatVTT: "text/vtt; charset=utf-8",
	formatTSV: "text/tab-separated-values; charset=utf-8",
}

// usage returns the usage of a transcription, nil of a translation.
func (want *wanted) usage(r *asr.Result) *usage {
	if want.request.Task == "translate" {
		return nil
	}
	return &usage{Type: "duration", Seconds: r.Duration}
}

// verbose returns a result as verbose_json.
func (want *wanted) verbose(r *asr.Result) verboseTranscription {
	v := verboseTranscription{
		Task: want.request.Task, Language: languageName(r.Language), Duration: r.Duration, Text: r.Text, Usage: want.usage(r),
		LanguageCode: r.Language, LanguageProbability: r.LanguageProb, Adapter: nullable(r.Adapter), AdapterHash: r.AdapterHash,
	}
	if want.request.Task == "translate" {
		v.Language = "english" // that of the text, as OpenAI has it
	}
	if want.segments {
		v.Segments = []verboseSegment{}
	}
	if want.words {
		v.Words = []word{}
	}
	for _, s := range r.Segments {
		if want.segments {
			v.Segments = append(v.Segments, want.verboseSegment(s, r.Language, r.Adapter))
		}
		if want.words {
			v.Words = append(v.Words, words(s)...)
		}
	}
	return v
}

// verboseSegment returns a segment. Language and adapter are those of the recording, unless it may switch them.
func (want *wanted) verboseSegment(s asr.Segment, language, adapter string) verboseSegment {
	if want.request.SwitchLanguage {
		language, adapter = s.Language, s.Adapter
	}
	return verboseSegment{
		ID: s.ID, Seek: s.Seek, Start: s.Start, End: s.End, Text: s.Text, Tokens: append([]int32{}, s.Tokens...),
		Temperature: s.Temperature, AvgLogProb: finite(s.AvgLogProb), CompressionRatio: finite(s.CompressionRatio),
		NoSpeechProb: finite(s.NoSpeechProb), Language: language, Adapter: nullable(adapter),
	}
}

func words(s asr.Segment) []word {
	list := []word{}
	for _, w := range s.Words {
		list = append(list, word{strings.TrimSpace(w.Word), w.Start, w.End, finite(w.Probability)})
	}
	return list
}

// languageName returns the English name of a language in lower case, the code where it has none.
func languageName(code string) string {
	for _, l := range whisper.Languages() {
		if l.Code == code {
			return strings.ToLower(l.Name)
		}
	}
	return code
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// finite returns x, or the greatest number in its place where JSON has none for it.
func finite(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return max(-math.MaxFloat64, min(x, math.MaxFloat64))
}
