// Package params says what a client asks of a recording, by names and values: fields of a form over HTTP, params of a job. One vocabulary
// serves all transports.
//
//	language, languages, switch_language     the language, those that it is one of, whether each window has its own
//	task                                     transcribe or translate
//	adapter                                  auto, none, a name or name@hash
//	priority                                 normal or bulk
//	timestamp_granularities                  segment, word: what has times
//	prompt, hotwords                         text before the first words, and words to expect
//	temperature, beam_size, best_of, patience, length_penalty, seed
//	condition_on_previous_text
//	compression_ratio_threshold, log_prob_threshold (logprob_threshold), no_speech_threshold   numbers, or none
//	vad_filter, chunking_strategy            whether speech alone is heard
//
// Names and values are OpenAI's, faster-whisper's and upstream's, as far as these have them. Params are kept as the text that a client
// sent, and a job that is kept is read again when it is done: what is taken once has to be taken, and mean the same, in all versions.
//
// A transport that has fields of its own takes those of [Fields] first, and leaves the others to a [Reader].
package params

import (
	"context"
	"strings"

	"glossa/asr"
	"glossa/audio"
	"glossa/whisper"
)

// Codes of an [Error], by OpenAI's names.
const (
	InvalidValue = "invalid_value"
	Unknown      = "unknown_parameter"
	Unsupported  = "unsupported_parameter" // others have it
)

// Error says what is wrong with a param. It wraps asr.ErrInvalid.
type Error struct {
	Param   string
	Code    string
	Message string // for the client
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns asr.ErrInvalid.
func (e *Error) Unwrap() error { return asr.ErrInvalid }

// Greatest values of what makes decoding costly.
const (
	MaxBeams   = 16
	MaxSamples = 16
)

// Reader reads params. The zero value begins with upstream's decoding, windows of 30 s and the built-in detector.
type Reader struct {
	// Decoding is what decoding begins with where params do not say otherwise. The default value is upstream's.
	Decoding asr.Decoding

	// Detector returns what finds speech. The default value is nil: [audio.NewLongTermDetector].
	Detector func() audio.Detector

	// Dims are those of the model. Where they are Unpadded, params that say nothing of it mean vad_filter: such a model was trained on
	// single utterances. The default value is zero: windows of 30 s, and recordings that hold any speech are heard whole.
	Dims whisper.Dims
}

// Request returns what params ask of a recording, without its sound. Times of segments are asked for in any case, so that the result can
// have any format. ctx ends the search for speech. The error, an *Error, is that of the first param that is wrong or that nobody knows.
func (r Reader) Request(ctx context.Context, p asr.Params) (asr.Request, error) {
	f := NewFields(p)
	q := r.Read(ctx, f)
	if err := f.End(); err != nil {
		return asr.Request{}, err
	}
	return q, nil
}

// Read is Request of fields of which others have taken theirs. What is wrong, End of the fields tells.
func (r Reader) Read(ctx context.Context, f *Fields) asr.Request {
	q := asr.Request{Decoding: r.Decoding}
	q.Adapter, _ = f.Text("adapter")
	q.Task = f.Choice("task", "transcribe", "translate")
	times(f, &q)
	languages(f, &q)
	decoding(f, &q.Decoding)
	r.speech(ctx, f, &q)
	if f.Choice("priority", asr.Normal.String(), asr.Bulk.String()) == asr.Bulk.String() {
		q.Priority = asr.Bulk
	}
	return q
}

// Granularities is the param that says what has times: the values of [Fields.Peek] are segment and word.
const Granularities = "timestamp_granularities"

// times takes what has times.
func times(f *Fields, q *asr.Request) {
	q.Timestamps = true
	for _, g := range f.List(Granularities) {
		switch g {
		case "segment":
		case "word":
			q.Words = &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}
		default:
			f.Fail(Granularities, "%q is neither word nor segment", Clip(g))
		}
	}
}

// languages takes the language, or those that it is one of.
func languages(f *Fields, q *asr.Request) {
	q.Language, _ = f.Text("language")
	q.Languages = f.List("languages")
	f.Flag("switch_language", &q.SwitchLanguage)
	if named := q.Language != "" && q.Language != asr.Auto; named && len(q.Languages) > 0 {
		f.Fail("languages", "the language is not looked for where language names it")
	} else if named && q.SwitchLanguage {
		f.Fail("switch_language", "the language does not change where language names it")
	}
}

// decoding takes how windows are decoded.
func decoding(f *Fields, d *asr.Decoding) {
	d.InitialPrompt = joined(f, "prompt", " ", d.InitialPrompt)
	d.Hotwords = joined(f, "hotwords", ", ", d.Hotwords)
	temperature := 0.0
	if f.number("temperature", 0, 1, &temperature); temperature > 0 {
		d.Temperatures = []float64{temperature} // at 0 it rises where a text is not taken, as OpenAI's does
	}
	f.count("beam_size", 1, MaxBeams, &d.BeamSize)
	f.count("best_of", 1, MaxSamples, &d.BestOf)
	f.number("patience", 0.1, 4, &d.Patience)
	f.number("length_penalty", 0, 1, &d.LengthPenalty)
	seed := int(d.Seed)
	f.count("seed", 0, 1<<53, &seed)
	d.Seed = uint64(seed)
	conditioned := !d.Unconditioned
	f.Flag("condition_on_previous_text", &conditioned)
	d.Unconditioned = !conditioned
	f.threshold("compression_ratio_threshold", &d.CompressionRatioThreshold)
	f.threshold("log_prob_threshold", &d.LogProbThreshold)
	f.threshold("logprob_threshold", &d.LogProbThreshold)
	f.threshold("no_speech_threshold", &d.NoSpeechThreshold)
}

// joined returns the values of a param as one text.
func joined(f *Fields, name, separator, otherwise string) string {
	if values := f.all(name); len(values) > 0 {
		return strings.Join(values, separator)
	}
	return otherwise
}
