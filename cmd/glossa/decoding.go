package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"glossa/asr"
)

// decodingFlags are the arguments of upstream's transcribe(), under its names.
type decodingFlags struct {
	BeamSize      int        `group:"Search" default:"5" help:"The number of beams at temperature 0; 1 is greedy search. (${default})"`
	Patience      float64    `group:"Search" placeholder:"P" help:"Search until P times as many beams have ended as are kept. (1)"`
	BestOf        int        `group:"Search" default:"5" help:"The number of samples at a temperature above 0. (${default})"`
	LengthPenalty *threshold `group:"Search" placeholder:"ALPHA" help:"Prefer short texts by ((5+length)/6)^ALPHA, from 0 to 1, instead of the mean by token."`
	Seed          uint64     `group:"Search" help:"Where the random numbers of samples begin. (${default})" default:"0"`

	Temperature                    []float64 `group:"Fallback" default:"0" help:"The temperature of decoding, or those to be tried one after the other. (${default})"`
	TemperatureIncrementOnFallback threshold `group:"Fallback" default:"0.2" help:"Where one temperature is given, decode a window that fails at one higher by so much, up to 1; or none. (${default})"`
	CompressionRatioThreshold      threshold `group:"Fallback" default:"2.4" help:"A window whose text compresses better fails; or none. (${default})"`
	LogprobThreshold               threshold `group:"Fallback" default:"-1" help:"A window whose mean log probability is lower fails; or none. (${default})"`
	NoSpeechThreshold              threshold `group:"Fallback" default:"0.6" help:"A window that fails by its log probability is silence where that of no speech is higher; or none. (${default})"`

	ConditionOnPreviousText bool   `group:"Prompt" default:"true" negatable:"" help:"Tell each window the text before it. (${default})"`
	InitialPrompt           string `group:"Prompt" placeholder:"TEXT" help:"What the first window is told as the text before it."`
	CarryInitialPrompt      bool   `group:"Prompt" help:"Tell it every window."`
	Prefix                  string `group:"Prompt" placeholder:"TEXT" help:"What every window begins with."`
	Hotwords                string `group:"Prompt" placeholder:"TEXT" help:"Words that every window is told to expect."`

	SuppressTokens      string    `group:"Tokens" default:"-1" placeholder:"ID,…" help:"Tokens that are never chosen, -1 those of symbols that annotate speech. (${default})"`
	SuppressBlank       bool      `group:"Tokens" default:"true" negatable:"" help:"Let no window begin with a space, or be empty. (${default})"`
	MaxInitialTimestamp threshold `group:"Tokens" default:"1" help:"The latest first timestamp of a window in seconds; or none. (${default})"`
	WithoutTimestamps   bool      `group:"Tokens" help:"Decode text alone, one segment for each window."`
	SampleLen           int       `group:"Tokens" placeholder:"N" help:"The greatest number of tokens of a window. (half of the model's context)"`
}

// threshold is a number, or none.
type threshold float64

// UnmarshalText reads a flag. Zero is the smallest number above it, which compares as zero does,
// for in the options zero stands for the default.
func (t *threshold) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "none") {
		*t = threshold(asr.Off())
		return nil
	}
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(x) {
		return fmt.Errorf("%q is neither a number nor none", text)
	}
	if x == 0 {
		x = math.SmallestNonzeroFloat64
	}
	*t = threshold(x)
	return nil
}

// decoding returns the options that the flags ask for.
func (f *decodingFlags) decoding() (asr.Decoding, error) {
	d := asr.Decoding{
		BeamSize: f.BeamSize, Patience: f.Patience, BestOf: f.BestOf, Seed: f.Seed,
		CompressionRatioThreshold: float64(f.CompressionRatioThreshold),
		LogProbThreshold:          float64(f.LogprobThreshold),
		NoSpeechThreshold:         float64(f.NoSpeechThreshold),
		Unconditioned:             !f.ConditionOnPreviousText,
		InitialPrompt:             f.InitialPrompt, CarryInitialPrompt: f.CarryInitialPrompt,
		Prefix: f.Prefix, Hotwords: f.Hotwords,
		AllowBlank:          !f.SuppressBlank,
		MaxInitialTimestamp: float64(f.MaxInitialTimestamp),
		WithoutTimestamps:   f.WithoutTimestamps, SampleLen: f.SampleLen,
	}
	if f.LengthPenalty != nil {
		d.LengthPenalty = float64(*f.LengthPenalty)
	}
	var err error
	if d.Temperatures, err = f.temperatures(); err != nil {
		return d, err
	}
	d.AllowSymbols, d.Suppress, err = suppressTokens(f.SuppressTokens)
	return d, err
}

// temperatures returns those that are listed, or those from the one given up to 1.
func (f *decodingFlags) temperatures() ([]float64, error) {
	step := float64(f.TemperatureIncrementOnFallback)
	if len(f.Temperature) != 1 || math.IsNaN(step) {
		return f.Temperature, nil
	}
	const least, rounding = 0.01, 1e6
	if step < least {
		return nil, fmt.Errorf("--temperature-increment-on-fallback %v: at least %v is needed, or none", step, least)
	}
	ts := f.Temperature[:1:1]
	for t := ts[0] + step; t <= 1+1/rounding; t += step {
		ts = append(ts, math.Round(t*rounding)/rounding)
	}
	return ts, nil
}

// suppressTokens reads a list of tokens, in which -1 stands for the symbols.
func suppressTokens(list string) (allowSymbols bool, ids []int32, err error) {
	allowSymbols = true
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		id, err := strconv.ParseInt(field, 10, 32)
		switch {
		case err != nil || id < -1:
			return false, nil, fmt.Errorf("--suppress-tokens %s: %q is no token", list, field)
		case id == -1:
			allowSymbols = false
		default:
			ids = append(ids, int32(id))
		}
	}
	return allowSymbols, ids, nil
}
