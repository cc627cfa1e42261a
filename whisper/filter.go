package whisper

import "glossa/whisper/tensor"

// Filter excludes tokens from a choice (upstream LogitFilter).
type Filter interface {
	// Apply excludes tokens from the choice of the one that follows tokens, the initial ones included.
	Apply(c *tensor.Choice, tokens []int32)
}

// suppressBlank keeps the first token from being a space or the end (upstream SuppressBlank).
type suppressBlank struct {
	begin int // number of initial tokens
	blank []int32
}

func (f suppressBlank) Apply(c *tensor.Choice, tokens []int32) {
	if len(tokens) == f.begin {
		for _, t := range f.blank {
			c.Exclude(t, t+1)
		}
	}
}

// suppressTokens never lets the listed tokens be chosen (upstream SuppressTokens).
type suppressTokens []int32

func (f suppressTokens) Apply(c *tensor.Choice, _ []int32) { c.Suppressed = f }

// timestampRules keeps timestamps in order and in pairs, and takes one where their probability
// together is above that of any text token (upstream ApplyTimestampRules).
type timestampRules struct {
	begin      int   // number of initial tokens
	eot        int32 // text tokens are below it
	none       int32 // <|notimestamps|>
	first      int32 // <|0.00|>
	end        int32 // behind the last timestamp
	maxInitial int   // greatest index of the first timestamp, in 0.02 s; < 0: any
}

func (f timestampRules) Apply(c *tensor.Choice, tokens []int32) {
	c.Timestamps = f.first
	c.Exclude(f.none, f.none+1)
	sampled := tokens[f.begin:]
	stamp := func(back int) bool { return sampled[len(sampled)-back] >= f.first }
	last := len(sampled) >= 1 && stamp(1)
	penultimate := len(sampled) < 2 || stamp(2)
	switch {
	case last && penultimate:
		c.Exclude(f.first, f.end)
	case last:
		c.Exclude(0, f.eot)
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
		c.Exclude(f.first, least)
		break
	}
	if len(sampled) == 0 {
		c.Exclude(0, f.first)
		if limit := int(f.first) + f.maxInitial + 1; f.maxInitial >= 0 && limit < int(f.end) {
			c.Exclude(int32(limit), f.end)
		}
	}
}
