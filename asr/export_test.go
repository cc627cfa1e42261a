package asr

import (
	"context"

	"glossa/whisper"
)

// Watch lets a test change the windows before they are decoded, and see what is decoded.
func (e *Engine) Watch(before func([]whisper.Utterance), after func([]whisper.Utterance, []whisper.Decoded)) {
	decode := e.decode
	e.decode = func(ctx context.Context, us []whisper.Utterance) ([]whisper.Decoded, error) {
		before(us)
		decoded, err := decode(ctx, us)
		after(us, decoded)
		return decoded, err
	}
}
