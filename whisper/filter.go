package whisper

import "math"

// Filter removes tokens from the choice by setting their logits to -Inf (upstream LogitFilter).
type Filter interface {
	// Apply changes the logits (NVocab) of the token that follows tokens, the initial ones
	// included.
	Apply(logits []float32, tokens []int32)
}

var negInf = float32(math.Inf(-1))

// suppressBlank keeps the first token from being a space or the end (upstream SuppressBlank).
type suppressBlank struct {
	begin int // number of initial tokens
	blank []int32
}

func (f suppressBlank) Apply(logits []float32, tokens []int32) {
	if len(tokens) == f.begin {
		suppressTokens(f.blank).Apply(logits, tokens)
	}
}

// suppressTokens never lets the listed tokens be chosen (upstream SuppressTokens).
type suppressTokens []int32

func (f suppressTokens) Apply(logits []float32, _ []int32) {
	for _, t := range f {
		logits[t] = negInf
	}
}

// timestampRules keeps timestamps in order and in pairs, and takes one where their probability
// together is above that of any text token (upstream ApplyTimestampRules).
type timestampRules struct {
	chooser
	begin      int   // number of initial tokens
	eot        int32 // text tokens are below it
	none       int32 // <|notimestamps|>
	first      int32 // <|0.00|>
	maxInitial int   // greatest index of the first timestamp, in 0.02 s; < 0: any
}

func (f timestampRules) Apply(logits []float32, tokens []int32) {
	logits[f.none] = negInf
	sampled := tokens[f.begin:]
	stamp := func(back int) bool { return sampled[len(sampled)-back] >= f.first }
	last := len(sampled) >= 1 && stamp(1)
	penultimate := len(sampled) < 2 || stamp(2)
	switch {
	case last && penultimate:
		fill(logits[f.first:])
	case last:
		fill(logits[:f.eot])
	}
	for i := len(sampled) - 1; i >= 0; i-- {
		if sampled[i] < f.first {
			continue
		}
		// Time does not run back, and a segment that was begun is not ended where it began.
		least := sampled[i] + 1
		if last && !penultimate {
			least--
		}
		fill(logits[f.first:least])
		break
	}
	if len(sampled) == 0 {
		fill(logits[:f.first])
		if limit := int(f.first) + f.maxInitial + 1; f.maxInitial >= 0 && limit < len(logits) {
			fill(logits[limit:])
		}
	}
	if f.logSumExp(logits[f.first:]) > float64(f.Max(logits[:f.first])) {
		fill(logits[:f.first])
	}
}

func fill(logits []float32) {
	for i := range logits {
		logits[i] = negInf
	}
}
