package asr

import (
	"slices"
	"testing"
)

// TestPrompt checks what a window is told, by the cases of upstream's transcribe() and the
// hotwords of faster-whisper's get_prompt().
func TestPrompt(t *testing.T) {
	upTo := func(n int32) (tokens []int32) {
		for i := range n {
			tokens = append(tokens, i)
		}
		return tokens
	}
	for _, c := range []struct {
		name string
		prompt
		want []int32
	}{
		{"nothing", prompt{room: 4}, nil},
		{"all since the start", prompt{tokens: upTo(6), initial: 2, room: 4}, upTo(6)},
		{"since a reset", prompt{tokens: upTo(6), initial: 2, since: 4, room: 4}, []int32{4, 5}},
		{"carried", prompt{tokens: upTo(6), initial: 2, carry: true, room: 4}, []int32{0, 1, 4, 5}},
		{"carried before any text", prompt{tokens: upTo(2), initial: 2, carry: true, room: 4}, []int32{0, 1}},
		{"carried behind a reset", prompt{tokens: upTo(6), initial: 2, since: 5, carry: true, room: 4}, []int32{0, 1, 5}},
		{"carried, as long as the room", prompt{tokens: upTo(6), initial: 4, carry: true, room: 4}, upTo(6)},
		{"carried, longer than the room", prompt{tokens: upTo(8), initial: 5, carry: true, room: 4}, []int32{0, 1, 2, 3, 4, 6, 7}},
		{"hotwords", prompt{hotwords: []int32{50}, room: 4}, []int32{50}},
		{"hotwords before the text", prompt{tokens: upTo(2), hotwords: []int32{50}, room: 4}, []int32{50, 0, 1}},
		{"hotwords before more than there is room for", prompt{tokens: upTo(6), hotwords: []int32{50, 51}, room: 4}, []int32{50, 51, 4, 5}},
		{"hotwords that take the room", prompt{tokens: upTo(6), hotwords: []int32{50, 51}, room: 2}, []int32{50, 51}},
	} {
		if got := c.prompt.window(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
