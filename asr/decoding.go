package asr

import (
	"math"
	"math/rand/v2"

	"glossa/whisper"
)

// Decoding says how the windows of a recording are decoded, and whether a text is taken (the
// arguments of upstream's transcribe()). The zero value is upstream's default.
type Decoding struct {
	// Temperatures are tried one after the other until a text is taken, the last one's in any
	// case. The default value is nil: 0, 0.2, 0.4, 0.6, 0.8, 1.
	Temperatures []float64

	// BeamSize is the number of beams at temperature 0. The default value is 0: greedy search.
	BeamSize int

	// Patience times BeamSize is the number of ended beams that ends the search. The default value
	// is 0: 1.
	Patience float64

	// BestOf is the number of samples drawn at a temperature above 0. The default value is 0: one.
	BestOf int

	// LengthPenalty is the α ≤ 1 of the penalty for long beams and samples (Wu et al. 2016, eq.
	// 14). The default value is 0: log probabilities are compared by token.
	LengthPenalty float64

	// Seed begins the random numbers of samples.
	Seed uint64

	// CompressionRatioThreshold is the ratio above which a text repeats itself too much to be
	// taken. The default value is 0: 2.4. Off() takes any.
	CompressionRatioThreshold float64

	// LogProbThreshold is the mean log probability of tokens below which a text is not taken. The
	// default value is 0: -1. Off() takes any.
	LogProbThreshold float64

	// NoSpeechThreshold is the probability of no speech above which a window is taken for silence,
	// unless its text is above LogProbThreshold. The default value is 0: 0.6. Off() takes none for
	// silence.
	NoSpeechThreshold float64

	// Unconditioned decodes each window without the text before it.
	Unconditioned bool

	// InitialPrompt is text that the first window is decoded as if it had gone before, and with
	// CarryInitialPrompt every window, behind as much of the text before as there is room for.
	InitialPrompt      string
	CarryInitialPrompt bool

	// PromptTokens are the InitialPrompt as tokens. They cannot stand beside one.
	PromptTokens []int32

	// Prefix is text that every window begins with, and that the result leaves out.
	Prefix string

	// PrefixTokens are tokens of text, exactly these, that the first window begins with; they are part of the result, and have
	// their times. They are of use for a recording that fits a window, without timestamps, and cannot stand beside a Prefix.
	PrefixTokens []int32

	// Hotwords are words that every window is prompted with, before what else goes before it. They
	// cannot stand beside a Prefix.
	Hotwords string

	// Suppress are tokens that are never chosen, beside those of symbols that annotate speech
	// unless AllowSymbols is set. Where neither suppresses any, special tokens are not either.
	Suppress     []int32
	AllowSymbols bool

	// AllowBlank lets a window begin with a space or be empty.
	AllowBlank bool

	// MaxInitialTimestamp is the greatest first timestamp of a window, in seconds. The default
	// value is 0: 1 s. Off() allows any.
	MaxInitialTimestamp float64

	// WithoutTimestamps makes one segment of each window. The default value is false: only a
	// recording that fits a window is decoded so, where the request does not ask for Timestamps.
	WithoutTimestamps bool

	// SampleLen is the greatest number of tokens of a window. The default value is 0: half of the
	// model's context.
	SampleLen int
}

// Defaults of upstream's transcribe().
const (
	compressionRatioThreshold = 2.4
	logProbThreshold          = -1.0
	noSpeechThreshold         = 0.6
)

var temperatures = []float64{0, 0.2, 0.4, 0.6, 0.8, 1}

// promptResetTemperature is the temperature above which a text is no prompt for the next window.
const promptResetTemperature = 0.5

// Off is the value of a threshold that nothing is beyond: no comparison with it holds.
func Off() float64 { return math.NaN() }

// withDefaults returns the options with the values that zeros stand for.
func (d Decoding) withDefaults() Decoding {
	set(&d.CompressionRatioThreshold, compressionRatioThreshold)
	set(&d.LogProbThreshold, logProbThreshold)
	set(&d.NoSpeechThreshold, noSpeechThreshold)
	if len(d.Temperatures) == 0 {
		d.Temperatures = temperatures
	}
	return d
}

// options returns the options of a window at a temperature, but for those that hang on its recording.
func (d Decoding) options(temperature float64) whisper.DecodeOptions {
	o := whisper.DecodeOptions{
		Temperature:       temperature,
		LengthPenalty:     d.LengthPenalty,
		WithoutTimestamps: d.WithoutTimestamps,
		SampleLen:         d.SampleLen,
		AllowBlank:        d.AllowBlank,
		AllowSymbols:      d.AllowSymbols,
		Suppress:          d.Suppress,
		MaxInitialStamp:   d.MaxInitialTimestamp,
		AnyFirstTime:      math.IsNaN(d.MaxInitialTimestamp),
	}
	if o.AnyFirstTime {
		o.MaxInitialStamp = 0
	}
	if temperature == 0 {
		o.BeamSize, o.Patience = d.BeamSize, d.Patience
	} else {
		o.BestOf = d.BestOf
	}
	return o
}

// fails reports whether a window has to be decoded again, at the next temperature (upstream
// decode_with_fallback).
func (d Decoding) fails(w whisper.Decoded) bool {
	unsure := w.AvgLogProb < d.LogProbThreshold
	silence := unsure && w.NoSpeechProb > d.NoSpeechThreshold
	return !silence && (unsure || w.CompressionRatio > d.CompressionRatioThreshold)
}

// silent reports whether a window is taken for silence, whatever its text.
func (d Decoding) silent(w whisper.Decoded) bool {
	return w.NoSpeechProb > d.NoSpeechThreshold && !(w.AvgLogProb > d.LogProbThreshold)
}

// seed returns the seed of an attempt at the window at frame seek: no recording beside it has a
// say in its random numbers.
func (d Decoding) seed(seek, attempt int) uint64 {
	return rand.NewPCG(d.Seed, uint64(seek)<<32|uint64(attempt)).Uint64()
}
