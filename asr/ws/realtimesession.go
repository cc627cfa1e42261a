package ws

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// realtimeConfig is what a transcription session of /v1/realtime is set to.
type realtimeConfig struct {
	encoding      string // of audio
	rate          int
	transcription *realtimeTranscription // nil: of the default values
	turns         *realtimeTurns         // nil: segments end by commit alone
}

type realtimeTranscription struct {
	Model    string `json:"model,omitempty"`
	Language string `json:"language,omitempty"`
	Prompt   string `json:"prompt,omitempty"`
}

// realtimeTurns is turn detection by silence. How speech is told from silence, and the padding, are the detector's: what is told
// of them is what holds, whatever was asked for.
type realtimeTurns struct {
	Type      string  `json:"type"` // server_vad
	Threshold float64 `json:"threshold"`
	PaddingMS int     `json:"prefix_padding_ms"`
	SilenceMS int     `json:"silence_duration_ms"`
}

// realtimeRate is that of OpenAI's PCM, in Hz.
const realtimeRate = 24_000

// telephoneRate is that of G.711, in Hz.
const telephoneRate = 8_000

// defaultTurns are what holds, with OpenAI's default silence.
func defaultTurns() realtimeTurns {
	o := audio.DefaultSpeechOptions()
	return realtimeTurns{Type: "server_vad", Threshold: float64(o.Threshold), PaddingMS: int(o.SpeechPad.Milliseconds()), SilenceMS: 500}
}

func newRealtimeConfig() realtimeConfig {
	return realtimeConfig{encoding: audio.RawS16, rate: realtimeRate, turns: new(defaultTurns())}
}

// options are what a session is to do.
func (c *realtimeConfig) options() asr.ListenOptions {
	o := asr.ListenOptions{Endpointing: noEndpointing}
	if c.turns != nil {
		o.Endpointing = time.Duration(c.turns.SilenceMS) * time.Millisecond
	}
	if t := c.transcription; t != nil {
		o.Language, o.Prompt = listenLanguage(t.Language), t.Prompt
	}
	return o
}

// realtimeFormat is a format of sound in the present form.
type realtimeFormat struct {
	Type string `json:"type"`
	Rate int    `json:"rate,omitempty"`
}

// realtimeUpdate is the session of session.update in the present form, and of transcription_session.update. What it has not,
// such as include, is not there: the session that answers tells what holds.
type realtimeUpdate struct {
	Type  string `json:"type"`
	Audio *struct {
		Input *struct {
			Format         *realtimeFormat `json:"format"`
			Transcription  json.RawMessage `json:"transcription"`
			TurnDetection  json.RawMessage `json:"turn_detection"`
			NoiseReduction json.RawMessage `json:"noise_reduction"` // not there, as the answer says
		} `json:"input"`
	} `json:"audio"`

	InputAudioFormat        string          `json:"input_audio_format"`
	InputAudioTranscription json.RawMessage `json:"input_audio_transcription"`
	TurnDetection           json.RawMessage `json:"turn_detection"`
}

// apply returns c with what an update changes of it.
func (c realtimeConfig) apply(u *realtimeUpdate, beta bool) (realtimeConfig, error) {
	var err error
	if beta {
		if u.InputAudioFormat != "" {
			err = c.betaFormat(u.InputAudioFormat)
		}
		if err == nil {
			err = c.transcribe(u.InputAudioTranscription, "session.input_audio_transcription")
		}
		if err == nil {
			err = c.detect(u.TurnDetection, "session.turn_detection")
		}
		return c, err
	}
	if u.Type != "transcription" {
		return c, about("session.type", "%q: the sessions here are of type transcription", u.Type)
	}
	if u.Audio == nil || u.Audio.Input == nil {
		return c, nil
	}
	in := u.Audio.Input
	if in.Format != nil {
		err = c.format(*in.Format)
	}
	if err == nil {
		err = c.transcribe(in.Transcription, "session.audio.input.transcription")
	}
	if err == nil {
		err = c.detect(in.TurnDetection, "session.audio.input.turn_detection")
	}
	return c, err
}

// about is what is wrong with a parameter.
func about(param, format string, args ...any) *failure {
	f := invalid("%s: %s", param, fmt.Sprintf(format, args...)).lenient()
	f.param = param
	return f
}

// format sets the format of the sound.
func (c *realtimeConfig) format(f realtimeFormat) error {
	const param = "session.audio.input.format"
	rate := telephoneRate
	switch f.Type {
	case "audio/pcm":
		c.encoding, rate = audio.RawS16, realtimeRate
	case "audio/pcmu":
		c.encoding = audio.RawMuLaw
	case "audio/pcma":
		c.encoding = audio.RawALaw
	default:
		return about(param, "%.40q is none of audio/pcm, audio/pcmu and audio/pcma", f.Type)
	}
	if f.Rate != 0 {
		rate = f.Rate
	}
	if rate < audio.MinSourceRate || rate > audio.MaxSourceRate {
		return about(param, "a rate of %d Hz", rate)
	}
	c.rate = rate
	return nil
}

// betaFormat is format by the names of the beta.
func (c *realtimeConfig) betaFormat(name string) error {
	types := map[string]string{"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
	if types[name] == "" {
		return about("session.input_audio_format", "%.40q is none of pcm16, g711_ulaw and g711_alaw", name)
	}
	return c.format(realtimeFormat{Type: types[name]})
}

// formats tell the format in the present form and in that of the beta.
func (c *realtimeConfig) formats() (realtimeFormat, string) {
	switch c.encoding {
	case audio.RawMuLaw:
		return realtimeFormat{Type: "audio/pcmu"}, "g711_ulaw"
	case audio.RawALaw:
		return realtimeFormat{Type: "audio/pcma"}, "g711_alaw"
	}
	return realtimeFormat{"audio/pcm", c.rate}, "pcm16"
}

// transcribe sets how is transcribed. null is by the default values.
func (c *realtimeConfig) transcribe(raw json.RawMessage, param string) error {
	if raw == nil {
		return nil
	}
	var t *realtimeTranscription
	if err := json.Unmarshal(raw, &t); err != nil {
		return about(param, "is not understood")
	}
	if t != nil && len(t.Prompt) > maxText {
		return about(param+".prompt", "more than %d bytes", maxText)
	}
	if t != nil && strings.Contains(t.Model, "diarize") {
		return about(param+".model", "speakers are not told apart here")
	}
	c.transcription = t
	return nil
}

// detect sets how turns are detected. null is by commit alone.
func (c *realtimeConfig) detect(raw json.RawMessage, param string) error {
	if raw == nil {
		return nil
	}
	if string(raw) == "null" {
		c.turns = nil
		return nil
	}
	turns := defaultTurns()
	if err := json.Unmarshal(raw, &turns); err != nil {
		return about(param, "is not understood")
	}
	switch {
	case turns.Type != "server_vad":
		return about(param+".type", "%.40q is not to be had here; server_vad is", turns.Type)
	case !(turns.Threshold >= 0 && turns.Threshold <= 1):
		return about(param+".threshold", "is not from 0 to 1")
	case turns.PaddingMS < 0 || turns.PaddingMS > maxEndpointing:
		return about(param+".prefix_padding_ms", "is not from 0 to %d", maxEndpointing)
	case turns.SilenceMS < minEndpointing || turns.SilenceMS > maxEndpointing:
		return about(param+".silence_duration_ms", "is not from %d to %d", minEndpointing, maxEndpointing)
	}
	c.turns = new(defaultTurns())
	c.turns.SilenceMS = turns.SilenceMS
	return nil
}

// told is the session object in the present form or in that of the beta.
func (c *realtimeConfig) told(id string, expires time.Time, beta bool) map[string]any {
	format, betaFormat := c.formats()
	object := map[string]any{"id": id, "object": "realtime.transcription_session", "expires_at": expires.Unix(), "include": nil}
	if beta {
		object["input_audio_format"] = betaFormat
		object["input_audio_transcription"] = c.transcription
		object["input_audio_noise_reduction"] = nil
		object["turn_detection"] = c.turns
		object["client_secret"] = nil
		return object
	}
	object["type"] = "transcription"
	object["audio"] = map[string]any{"input": map[string]any{
		"format": format, "transcription": c.transcription, "noise_reduction": nil, "turn_detection": c.turns,
	}}
	return object
}
