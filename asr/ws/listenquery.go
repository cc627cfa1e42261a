package ws

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// listenQuery is what the parameters of /v1/listen ask for (Deepgram's ListenV1 parameters).
type listenQuery struct {
	options      asr.ListenOptions
	encoding     string // of audio, "" where the container tells it
	rate         int    // Hz, 0 where it is not given
	channels     int
	interim      bool
	utteranceEnd time.Duration // 0: no UtteranceEnd
	vadEvents    bool

	utterances     bool
	detectLanguage bool
	tags           []string
	extra          map[string]string // told again
}

// listenEncodings are Deepgram's names of encodings.
var listenEncodings = map[string]string{
	"linear16": audio.RawS16, "linear32": audio.RawF32, "mulaw": audio.RawMuLaw, "alaw": audio.RawALaw,
	"opus": "opus", "ogg-opus": "", "flac": "",
}

// What becomes of the parameters that no field of listenQuery stands for.
var (
	// listenHints change nothing that matters: any value is taken. The text is punctuated and cased as the model writes it.
	listenHints = []string{"model", "version", "tier", "punctuate", "smart_format", "numerals", "mip_opt_out", "no_delay",
		"callback_method", "custom_topic_mode", "custom_intent_mode",
		"token", "access_token", "api_key"} // by which clients that send no header say who they are
	// listenSwitches are taken where they are off.
	listenSwitches = []string{"diarize", "multichannel", "profanity_filter", "redact", "detect_entities", "dictation", "measurements",
		"filler_words", "sentiment", "summarize", "topics", "intents", "paragraphs"}
	// listenLists are taken where they are empty.
	listenLists = []string{"search", "replace", "callback", "custom_topic", "custom_intent", "diarize_model", "utt_split"}
	// ofLive and ofFiles are those that have no effect on the other.
	ofLive  = []string{"interim_results", "vad_events", "endpointing", "utterance_end_ms"}
	ofFiles = []string{"utterances"}
)

// keywordBoost is what follows a keyword that is weighed. All are expected alike.
var keywordBoost = regexp.MustCompile(`:-?[0-9.]+$`)

// parseListen reads the parameters of /v1/listen. Those of other are taken where they are off: they are of files, or of live sound, alone.
func parseListen(values url.Values, other []string) (listenQuery, error) {
	q := listenQuery{channels: 1, options: asr.ListenOptions{Words: true}}
	for name, all := range values {
		value := all[len(all)-1]
		var err error
		switch {
		case slices.Contains(listenHints, name):
		case slices.Contains(listenSwitches, name), slices.Contains(other, name):
			if off := value == "" || value == "false"; !off {
				err = fmt.Errorf("%s is not to be had here", name)
			}
		case slices.Contains(listenLists, name):
			if value != "" {
				err = fmt.Errorf("%s is not to be had here", name)
			}
		default:
			err = q.set(name, value, all)
		}
		if err != nil {
			f := invalid("%v", err)
			f.param = name
			return q, f
		}
	}
	if audio.RawWidth(q.encoding) > 0 && q.rate == 0 {
		f := invalid("encoding=%s needs a sample_rate", values.Get("encoding"))
		f.param = "sample_rate"
		return q, f
	}
	q.options.NoPartials = !q.interim
	return q, nil
}

// set takes a parameter.
func (q *listenQuery) set(name, value string, all []string) (err error) {
	o := &q.options
	switch name {
	case "language":
		o.Language = listenLanguage(value)
	case "detect_language":
		q.detectLanguage = value != "false"
		if q.detectLanguage && value != "true" && value != "" {
			for _, v := range all {
				o.Languages = append(o.Languages, listenLanguage(v))
			}
		}
	case "adapter": // ours
		o.Adapter = value
	case "encoding":
		encoding, known := listenEncodings[strings.ToLower(value)]
		if !known {
			return fmt.Errorf("encoding %.40q is not read; linear16, linear32, mulaw, alaw, opus, ogg-opus and flac are", value)
		}
		q.encoding = encoding
	case "sample_rate":
		q.rate, err = number(name, value, audio.MinSourceRate, audio.MaxSourceRate)
	case "channels":
		q.channels, err = number(name, value, 1, maxChannels)
	case "alternatives":
		_, err = number(name, value, 1, 1)
	case "interim_results":
		q.interim, err = boolean(name, value)
	case "vad_events":
		q.vadEvents, err = boolean(name, value)
	case "utterances":
		q.utterances, err = boolean(name, value)
	case "endpointing":
		o.Endpointing, err = endpointing(value)
	case "utterance_end_ms":
		var ms int
		ms, err = number(name, value, 100, maxEndpointing)
		q.utteranceEnd = time.Duration(ms) * time.Millisecond
	case "keyterm":
		o.Hotwords = joined(o.Hotwords, all)
	case "keywords":
		words := slices.Clone(all)
		for i, w := range words {
			if strings.HasPrefix(keywordBoost.FindString(w), ":-") {
				return fmt.Errorf("keywords=%.40q: words can be expected, not suppressed", w)
			}
			words[i] = keywordBoost.ReplaceAllString(w, "")
		}
		o.Hotwords = joined(o.Hotwords, words)
	case "tag":
		q.tags = all
	case "extra":
		q.extra = make(map[string]string, len(all))
		for _, pair := range all {
			key, of, _ := strings.Cut(pair, ":")
			q.extra[key] = of
		}
	default:
		return fmt.Errorf("there is no parameter %.40q", name)
	}
	if err == nil && len(o.Hotwords) > maxText {
		err = fmt.Errorf("%s: more than %d bytes", name, maxText)
	}
	return err
}

// listenLanguage is the code of a BCP-47 tag: that without its region. "multi" is any.
func listenLanguage(tag string) string {
	code, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if code == "multi" {
		return asr.Auto
	}
	return code
}

// noEndpointing is the longest silence that a session waits for.
const noEndpointing = maxEndpointing * time.Millisecond

// endpointing is a number of milliseconds, or false.
func endpointing(value string) (time.Duration, error) {
	switch value {
	case "false":
		return noEndpointing, nil
	case "true", "":
		return 0, nil
	}
	ms, err := number("endpointing", value, 0, maxEndpointing)
	return max(time.Duration(ms), minEndpointing) * time.Millisecond, err // a shorter silence would tear words
}

func number(name, value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s=%.40q is no whole number from %d to %d", name, value, least, most)
	}
	return n, nil
}

func boolean(name, value string) (bool, error) {
	switch value {
	case "true", "":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s=%.40q is neither true nor false", name, value)
}

func joined(words string, more []string) string {
	if words != "" {
		more = append([]string{words}, more...)
	}
	return strings.Join(more, ", ")
}
