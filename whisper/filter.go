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
	if logSumExp(logits[f.first:]) > float64(maximum(logits[:f.first])) {
		fill(logits[:f.first])
	}
}

func fill(logits []float32) {
	for i := range logits {
		logits[i] = negInf
	}
}

func maximum(xs []float32) float32 {
	m := negInf
	for _, x := range xs {
		m = max(m, x)
	}
	return m
}

func argmax(xs []float32) int32 {
	best := 0
	for i, x := range xs {
		if x > xs[best] {
			best = i
		}
	}
	return int32(best)
}

// logSumExp returns log Σ exp(x), and -Inf where there is nothing to sum.
func logSumExp(xs []float32) float64 {
	top := maximum(xs)
	if top == negInf {
		return math.Inf(-1)
	}
	var sum float64
	for _, x := range xs {
		if x > top-40 { // below it, exp is lost in the last bit of the sum
			sum += math.Exp(float64(x - top))
		}
	}
	return float64(top) + math.Log(sum)
}
