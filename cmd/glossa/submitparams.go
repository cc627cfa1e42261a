package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"glossa/asr"
)

// paramFlags are what can be asked of a job's recording, by the names of transcribe's flags. What is not given, the worker decides.
type paramFlags struct {
	Language       string   `placeholder:"auto|CODE" help:"The language spoken, or auto to detect it; it goes before what manifests tell. (auto)"`
	Languages      []string `placeholder:"CODE,…" help:"The languages that detection chooses from. (all that the model knows)"`
	SwitchLanguage bool     `help:"Detect the language of every window of 30 s, and take its adapter."`
	Adapter        string   `placeholder:"auto|none|NAME" help:"The adapter: that of the language, none, or the named. (that of the worker)"`
	Task           string   `enum:"transcribe,translate" default:"transcribe" help:"Write what is said, or translate it into English. (${enum})"`
	Words          bool     `help:"Find the time of each word."`
	VAD            string   `name:"vad" enum:"auto,none,builtin" default:"auto" help:"What is heard: builtin is speech alone, many windows of one recording at once; none is all of it; auto is speech alone for models of single utterances, such as the embedded one, and for others all of a recording in which there is speech. (${enum})"`

	Prompt                  string `name:"initial-prompt" group:"Decoding" placeholder:"TEXT" help:"What the first window is told as the text before it."`
	Hotwords                string `group:"Decoding" placeholder:"TEXT" help:"Words that every window is told to expect."`
	ConditionOnPreviousText *bool  `group:"Decoding" negatable:"" help:"Tell each window the text before it. (true)"`

	BeamSize      *int       `group:"Decoding" placeholder:"N" help:"The number of beams at temperature 0; 1 is greedy search, which servers do where nothing else is asked. (1)"`
	Patience      *float64   `group:"Decoding" placeholder:"P" help:"Search until P times as many beams have ended as are kept. (1)"`
	BestOf        *int       `group:"Decoding" placeholder:"N" help:"The number of samples at a temperature above 0. (1)"`
	LengthPenalty *threshold `group:"Decoding" placeholder:"ALPHA" help:"Prefer short texts by ((5+length)/6)^ALPHA, from 0 to 1, instead of the mean by token."`
	Temperature   *float64   `group:"Decoding" placeholder:"T" help:"The temperature of decoding; 0 is raised where a text is not taken. (0)"`
	Seed          *uint64    `group:"Decoding" placeholder:"N" help:"Where the random numbers of samples begin. (0)"`

	CompressionRatioThreshold *threshold `group:"Decoding" placeholder:"X|none" help:"A window whose text compresses better fails. (2.4)"`
	LogprobThreshold          *threshold `group:"Decoding" placeholder:"X|none" help:"A window whose mean log probability is lower fails. (-1)"`
	NoSpeechThreshold         *threshold `group:"Decoding" placeholder:"X|none" help:"A window that fails by its log probability is silence where that of no speech is higher. (0.6)"`
}

// check finds what is wrong with the flags before any work is done.
func (f *paramFlags) check() error {
	named := f.Language != "" && f.Language != asr.Auto
	switch {
	case named && len(f.Languages) > 0:
		return errors.New("--languages: the language is not looked for where --language names it")
	case named && f.SwitchLanguage:
		return errors.New("--switch-language: the language does not change where --language names it")
	}
	return nil
}

// params returns what the flags ask of a recording whose language is told by a manifest, or is not: "".
func (f *paramFlags) params(language string) (asr.Params, error) {
	if f.Language != "" {
		language = f.Language
	}
	if language != "" && language != asr.Auto && (len(f.Languages) > 0 || f.SwitchLanguage) {
		return nil, fmt.Errorf("its manifest says that the language is %s; --language auto has --languages and --switch-language hold", language)
	}
	p := make(asr.Params)
	set := func(name, value string) {
		if value != "" {
			p[name] = []string{value}
		}
	}
	if language != asr.Auto {
		set("language", language)
	}
	if len(f.Languages) > 0 {
		p["languages"] = f.Languages
	}
	if f.SwitchLanguage {
		set("switch_language", "true")
	}
	set("adapter", f.Adapter)
	if f.Task != "transcribe" {
		set("task", f.Task)
	}
	if f.Words {
		p["timestamp_granularities"] = []string{"segment", "word"}
	}
	switch f.VAD {
	case vadBuiltin:
		set("vad_filter", "true")
	case vadNone:
		set("vad_filter", "false")
	}
	f.decoding(set)
	return p, nil
}

// decoding sets how windows are decoded.
func (f *paramFlags) decoding(set func(name, value string)) {
	set("prompt", f.Prompt)
	set("hotwords", f.Hotwords)
	if f.ConditionOnPreviousText != nil {
		set("condition_on_previous_text", strconv.FormatBool(*f.ConditionOnPreviousText))
	}
	if f.BeamSize != nil {
		set("beam_size", strconv.Itoa(*f.BeamSize))
	}
	if f.BestOf != nil {
		set("best_of", strconv.Itoa(*f.BestOf))
	}
	if f.Seed != nil {
		set("seed", strconv.FormatUint(*f.Seed, 10))
	}
	if f.Patience != nil {
		set("patience", formatNumber(*f.Patience))
	}
	if f.Temperature != nil {
		set("temperature", formatNumber(*f.Temperature))
	}
	for name, value := range map[string]*threshold{
		"length_penalty": f.LengthPenalty, "compression_ratio_threshold": f.CompressionRatioThreshold,
		"logprob_threshold": f.LogprobThreshold, "no_speech_threshold": f.NoSpeechThreshold,
	} {
		if value != nil {
			set(name, value.field())
		}
	}
}

// formatNumber returns a number as a field of a form has it.
func formatNumber(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// field returns a threshold as a field of a form has it.
func (t threshold) field() string {
	switch x := float64(t); {
	case math.IsNaN(x):
		return "none"
	case x == math.SmallestNonzeroFloat64:
		return "0"
	default:
		return formatNumber(x)
	}
}
