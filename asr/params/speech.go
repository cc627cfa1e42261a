package params

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// Chunking is the param that says how speech is found: auto, or the text of an object in JSON.
const Chunking = "chunking_strategy"

// vadConfig is OpenAI's server_vad.
type vadConfig struct {
	Type              string   `json:"type"`
	PrefixPaddingMS   *float64 `json:"prefix_padding_ms"`
	SilenceDurationMS *float64 `json:"silence_duration_ms"`
	Threshold         *float64 `json:"threshold"`
}

// speech sets what finds speech, where a client asks for it: vad_filter does, and OpenAI's chunking_strategy. Where it says nothing, a
// recording without any speech is not decoded: Whisper hears text in noise; a model of single utterances hears speech alone.
func (r Reader) speech(ctx context.Context, f *Fields, q *asr.Request) {
	var filter bool
	said := f.Flag("vad_filter", &filter)
	c, chunked := chunking(f)
	o := r.speechOptions(f, c)
	detector := r.Detector
	if detector == nil {
		detector = audio.NewLongTermDetector
	}
	find := func(pcm []float32) ([]audio.Span, error) {
		return audio.FindSpeechContext(ctx, detector(), pcm, o)
	}
	switch {
	case filter || chunked || !said && r.Dims.Unpadded:
		q.Speech = find
	case !said:
		o.MinSpeech = shortestWord
		q.Silent = func(pcm []float32) (bool, error) {
			spans, err := find(pcm)
			return len(spans) == 0, err
		}
	}
}

// chunking takes the chunking_strategy: auto, or server_vad with its parameters, as an object in JSON or as fields of their own.
func chunking(f *Fields) (c vadConfig, ok bool) {
	value, _ := f.Text(Chunking)
	switch {
	case strings.HasPrefix(strings.TrimSpace(value), "{"):
		d := json.NewDecoder(strings.NewReader(value))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			f.Fail(Chunking, "this is not the object that is wanted: %s", strings.TrimPrefix(err.Error(), "json: "))
		}
		ok = true
	case value == "auto":
		ok = true
	case value != "" && value != "null":
		f.Fail(Chunking, "%q is neither auto nor an object of type server_vad", Clip(value))
	}
	if t, is := f.Text(Chunking + "[type]"); is {
		c.Type, ok = t, true
	}
	member := func(name string, to **float64) {
		var x float64
		if f.number(Chunking+"["+name+"]", 0, 1e6, &x) {
			*to = &x
		}
	}
	member("prefix_padding_ms", &c.PrefixPaddingMS)
	member("silence_duration_ms", &c.SilenceDurationMS)
	member("threshold", &c.Threshold)
	if c != (vadConfig{}) && c.Type != "server_vad" {
		f.Fail(Chunking, "the type %q is not server_vad", Clip(c.Type))
	}
	return c, ok
}

// shortestWord is the least speech for which a recording is decoded.
const shortestWord = 100 * time.Millisecond

// speechOptions returns how speech is found: padded and cut as faster-whisper's vad_filter does, where the client does not say
// otherwise.
func (r Reader) speechOptions(f *Fields, c vadConfig) audio.SpeechOptions {
	o := audio.DefaultSpeechOptions()
	o.MinSilence, o.SpeechPad = 160*time.Millisecond, 400*time.Millisecond
	window := cmp.Or(r.Dims.WindowSeconds(), 30)
	o.MaxSpeech = time.Duration(window * float64(time.Second))
	milliseconds := func(ms *float64, to *time.Duration) {
		const most = 10_000
		if ms != nil && !(*ms >= 0 && *ms <= most) {
			f.Fail(Chunking, "%v ms are not from 0 to %d", *ms, most)
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
		f.Fail(Chunking, "%s", strings.TrimPrefix(err.Error(), "audio: "))
	}
	return o
}
