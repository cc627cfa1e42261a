package asr

import (
	"slices"
	"strings"

	"glossa/whisper"
)

// prompt is what the windows of a recording are told of the text before them.
type prompt struct {
	tokens   []int32 // the initial prompt's, then those of all segments
	initial  int     // number of the initial prompt's
	since    int     // index of the first that the next window is told (upstream prompt_reset_since)
	carry    bool
	hotwords []int32
	room     int // greatest number that a window is told
}

// newPrompt returns the prompt of a recording's first window.
func newPrompt(d Decoding, m *whisper.Model) prompt {
	p := prompt{carry: d.CarryInitialPrompt, room: m.Dims.NTextCtx/2 - 1}
	if p.tokens = slices.Clone(d.PromptTokens); len(p.tokens) == 0 {
		p.tokens = asSpoken(m, d.InitialPrompt)
	}
	p.initial = len(p.tokens)
	p.hotwords = asSpoken(m, d.Hotwords)
	p.hotwords = p.hotwords[:min(len(p.hotwords), p.room)]
	return p
}

// asSpoken returns the tokens of a text as they stand in a transcript, none of an empty one.
func asSpoken(m *whisper.Model, text string) []int32 {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return m.Tokenizer.Encode(" " + text)
}

// window returns the prompt of the next window: the tokens since the last reset, or the initial
// prompt and as many of them as there is room for; and before them the hotwords (faster-whisper's
// get_prompt), which take their room.
func (p *prompt) window() []int32 {
	told := p.tokens[p.since:]
	if p.carry {
		told = slices.Concat(p.tokens[:p.initial], last(p.tokens[max(p.initial, p.since):], p.room-p.initial))
	}
	if len(p.hotwords) == 0 {
		return told
	}
	return slices.Concat(p.hotwords, told[max(0, len(told)-(p.room-len(p.hotwords))):])
}

// last returns tokens[-n:] as Python understands it: the last n, all where n is 0, and all but the
// first -n where it is negative. Upstream's transcribe() relies on it for a prompt beyond the room.
func last(tokens []int32, n int) []int32 {
	if n > 0 {
		return tokens[max(0, len(tokens)-n):]
	}
	return tokens[min(-n, len(tokens)):]
}
