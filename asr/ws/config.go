package ws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// Encodings are those of Config.Encoding.
var Encodings = []string{audio.RawS16, audio.RawF32, audio.RawMuLaw, audio.RawALaw, "opus", "webm", "ogg"}

const (
	maxChannels    = 8
	maxHotwords    = 1000
	maxText        = 1 << 13 // bytes of a prompt, or of all hotwords
	minEndpointing = 100     // ms
	maxEndpointing = 30_000  // ms
)

// typeOf returns the type of a message.
func typeOf(message []byte) (string, error) {
	var m struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(message, &m); err != nil {
		if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) { // which speaks of Go's types
			return "", invalid("the message is no JSON object whose type is a string")
		}
		return "", invalid("the message is no JSON object: %v", err)
	}
	if m.Type == nil {
		return "", invalid("the message has no type")
	}
	return *m.Type, nil
}

// strictly decodes a JSON message, all of whose fields are known.
func strictly(message []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(message))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("the message is not understood: %v", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the message")
	}
	return nil
}

// parseConfig reads a config, and fills in what it leaves out.
func parseConfig(message []byte) (Config, error) {
	var c Config
	if err := strictly(message, &c); err != nil {
		return Config{}, err
	}
	if c.Encoding == "" {
		c.Encoding = audio.RawS16
	}
	if c.SampleRate == 0 {
		c.SampleRate = audio.SampleRate
	}
	if c.Channels == 0 {
		c.Channels = 1
	}
	return c, c.check()
}

// check reports a value that no session has. What depends on the model, the engine checks.
func (c *Config) check() error {
	wrong := func(param, format string, args ...any) error {
		f := invalid("%s: %s", param, fmt.Sprintf(format, args...))
		f.param = param
		return f
	}
	size := 0
	for _, w := range c.Hotwords {
		size += len(w)
	}
	switch {
	case !slices.Contains(Encodings, c.Encoding):
		return wrong("encoding", "%q is none of %s", c.Encoding, strings.Join(Encodings, ", "))
	case c.SampleRate < audio.MinSourceRate || c.SampleRate > audio.MaxSourceRate:
		return wrong("sample_rate", "%d is not from %d to %d", c.SampleRate, audio.MinSourceRate, audio.MaxSourceRate)
	case c.Channels < 1 || c.Channels > maxChannels, c.Encoding == "opus" && c.Channels > 2:
		return wrong("channels", "%d are more than the encoding has here", c.Channels)
	case c.EndpointingMS != 0 && (c.EndpointingMS < minEndpointing || c.EndpointingMS > maxEndpointing):
		return wrong("endpointing_ms", "%d is not from %d to %d", c.EndpointingMS, minEndpointing, maxEndpointing)
	case len(c.Hotwords) > maxHotwords || size > maxText:
		return wrong("hotwords", "more than %d words, or %d bytes", maxHotwords, maxText)
	case len(c.Prompt) > maxText:
		return wrong("prompt", "more than %d bytes", maxText)
	case c.Policy != "" && c.Policy != string(asr.LocalAgreement) && c.Policy != string(asr.AlignAtt):
		return wrong("policy", "%q is neither %s nor %s", c.Policy, asr.LocalAgreement, asr.AlignAtt)
	}
	return nil
}

// options are what the session is to do.
func (c *Config) options() asr.ListenOptions {
	return asr.ListenOptions{
		Language: c.Language, Languages: c.Languages, Adapter: c.Adapter, Task: c.Task,
		Hotwords: strings.Join(c.Hotwords, ", "), Prompt: c.Prompt, Policy: asr.Policy(c.Policy),
		NoPartials: c.Interim != nil && !*c.Interim, Words: c.Words == nil || *c.Words,
		Endpointing: time.Duration(c.EndpointingMS) * time.Millisecond,
	}
}

// updated returns c with what an update changes of it.
func (c Config) updated(message []byte) (Config, error) {
	var u Config
	if err := strictly(message, &u); err != nil {
		return c, err
	}
	for param, fixed := range map[string]bool{
		"sample_rate": u.SampleRate != 0, "encoding": u.Encoding != "", "channels": u.Channels != 0, "task": u.Task != "",
		"policy": u.Policy != "", "words": u.Words != nil, "resume": u.Resume != nil,
	} {
		if fixed {
			f := invalid("%s cannot be changed while the session lasts", param)
			f.param = param
			return c, f
		}
	}
	change(&c.Language, u.Language)
	change(&c.Adapter, u.Adapter)
	change(&c.Prompt, u.Prompt)
	change(&c.EndpointingMS, u.EndpointingMS)
	if u.Languages != nil {
		c.Languages = u.Languages
	}
	if u.Hotwords != nil {
		c.Hotwords = u.Hotwords
	}
	if u.Interim != nil {
		c.Interim = u.Interim
	}
	return c, c.check()
}

// change sets x to a value that is not zero.
func change[T comparable](x *T, value T) {
	var zero T
	if value != zero {
		*x = value
	}
}
