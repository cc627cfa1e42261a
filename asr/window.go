package asr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"glossa/flora"
	"glossa/whisper"
)

// secondsPerToken is the time from one timestamp token to the next, and framesPerToken the
// log-mel frames in it.
const (
	secondsPerToken = 1.0 / whisper.TokensPerSecond
	framesPerToken  = whisper.FramesPerToken
	framesPerSecond = whisper.TokensPerSecond * framesPerToken
)

// window is what is known of the window at seek.
type window struct {
	language  string     // "" until it is known
	pin       *flora.Pin // its adapter, nil until routed, and of the base model
	adapter   int32      // index of it on the window's device, 0 until it is there
	routed    bool
	cross     *whisper.CrossKV // under the adapter, nil until it is encoded
	tight     bool             // the device had no memory for it alone, once
	attempt   int              // index of the temperature
	taken     bool             // whether there is a text: segments, and the frame behind them
	segments  []Segment
	end       int
	singleEnd bool // its tokens end with one timestamp: there is no speech behind it
}

// take judges a decoded window, and returns what it needs next: it is decoded again at the next
// temperature, or its text is taken and its words are timed, or, with ToEncode, it is done: silence, a
// text that was added to the result, or an error.
func (r *recording) take(d whisper.Decoded) Phase {
	r.addPrefix(&d)
	switch {
	case errors.Is(d.Err, whisper.ErrOptions): // a prompt and a prefix together beyond the context
		r.result.Err = fmt.Errorf("%w: %w", ErrInvalid, d.Err)
	case d.Err != nil:
		r.result.Err = fmt.Errorf("%w: %w", ErrInternal, d.Err)
	case r.decoding.fails(d) && r.window.attempt+1 < len(r.decoding.Temperatures):
		r.window.attempt++
		return ToDecode
	case r.decoding.silent(d):
		r.request.live.decoded(d)
		r.moveTo(r.seek + r.size())
	default:
		r.request.live.decoded(d)
		segments, advance := r.cut(d)
		r.window.taken, r.window.segments, r.window.end = true, segments, r.seek+advance
		r.window.singleEnd = endsOnce(d.Tokens, r.model.Tokenizer.TimestampBegin())
		if r.request.Words != nil {
			return ToAlign
		}
		r.settle()
	}
	return ToEncode
}

// addPrefix puts the PrefixTokens of the request before what was decoded behind them.
func (r *recording) addPrefix(d *whisper.Decoded) {
	if d.Err == nil && len(r.request.Decoding.PrefixTokens) > 0 && len(r.prefix) > 0 {
		d.Tokens = slices.Concat(r.prefix, d.Tokens)
		d.Text = strings.TrimSpace(r.model.Tokenizer.Decode(d.Tokens))
		d.CompressionRatio = max(d.CompressionRatio, whisper.CompressionRatio(d.Text))
	}
}

// spoken returns the window whose text was taken, for its words.
func (r *recording) spoken() spokenWindow {
	w := r.window
	return spokenWindow{
		utterance: whisper.Utterance{Cross: w.cross, Adapter: w.adapter, Options: whisper.DecodeOptions{Language: w.language, Task: r.request.Task}},
		frames:    r.size(), options: *r.request.Words, segments: w.segments, lastSpeech: r.lastSpeech, live: r.request.live,
	}
}

// takeWords takes the words of the window's segments, which may say better than the timestamps
// where the next window begins, and that some of what was heard is none.
func (r *recording) takeWords(s spokenWindow) {
	if s.err != nil {
		r.result.Err, r.window.taken = s.err, false
		return
	}
	if s.live != nil {
		return
	}
	w := wordWindow{seek: r.seek, size: r.size(), full: r.model.Dims.WindowFrames(), content: r.content, singleEnd: r.window.singleEnd}
	next, again := w.next(s.segments, r.window.end), false
	if threshold := s.options.SilenceThreshold; threshold > 0 {
		s.segments, next, again = w.skipSilence(s.segments, next, threshold, s.lastSpeech)
	}
	next = max(next, r.seek+framesPerToken) // not to hear the same again
	if again {
		r.moveTo(next)
		return
	}
	if end, ok := speechEnd(s.segments); ok {
		r.lastSpeech = end
	}
	r.window.segments, r.window.end = s.segments, next
}

// settle adds the segments of the window, if its text was taken, and moves on behind them.
func (r *recording) settle() {
	if !r.window.taken {
		return
	}
	for _, s := range r.window.segments {
		if s.Start == s.End || strings.TrimSpace(s.Text) == "" {
			continue
		}
		if r.whole != nil {
			s = r.whole.windows[r.part].inRecording(s)
		}
		s.ID = len(r.result.Segments)
		r.result.Segments = append(r.result.Segments, s)
		r.prompt.tokens = append(r.prompt.tokens, s.Tokens...)
		if r.whole == nil && r.request.Segment != nil {
			r.request.Segment(s)
		}
	}
	if r.decoding.Unconditioned || r.temperature() > promptResetTemperature {
		r.prompt.since = len(r.prompt.tokens)
	}
	r.moveTo(r.window.end)
}

// cut cuts a window's tokens into segments at pairs of timestamps, and returns how many frames
// the next window begins behind this one: at the last pair, or behind the window.
func (r *recording) cut(d whisper.Decoded) (segments []Segment, advance int) {
	t := r.model.Tokenizer
	first, offset := t.TimestampBegin(), frameTime(r.seek)
	stamp := func(i int) bool { return i >= 0 && d.Tokens[i] >= first }
	seconds := func(i int) float64 { return float64(d.Tokens[i]-first) * secondsPerToken }
	segment := func(from, to int, start, end float64) {
		segments = append(segments, r.segment(d, from, to, offset+start, offset+end))
	}
	n := len(d.Tokens)
	singleEnd := endsOnce(d.Tokens, first)
	from, pairs := 0, false
	for i := 1; i <= n; i++ {
		if i < n && stamp(i) && stamp(i-1) || i == n && singleEnd && pairs {
			segment(from, i, seconds(from), seconds(i-1))
			from, pairs = i, true
		}
	}
	switch {
	case pairs && singleEnd:
		return segments, r.size()
	case pairs && d.Tokens[from-1] > first:
		return segments, int(d.Tokens[from-1]-first) * framesPerToken
	case pairs: // at the window's beginning, which no rule forbids without timestamps
		return segments, r.size()
	}
	end := float64(r.size()) / framesPerSecond
	for i := n - 1; i >= 0; i-- {
		if stamp(i) {
			if d.Tokens[i] != first {
				end = seconds(i)
			}
			break
		}
	}
	segment(0, n, 0, end)
	return segments, r.size()
}

// endsOnce reports whether tokens end with a text and one timestamp, those from first on (upstream
// single_timestamp_ending).
func endsOnce(tokens []int32, first int32) bool {
	n := len(tokens)
	return n >= 2 && tokens[n-1] >= first && tokens[n-2] < first
}

// segment returns the segment of the window's tokens from:to (upstream new_segment).
func (r *recording) segment(d whisper.Decoded, from, to int, start, end float64) Segment {
	t := r.model.Tokenizer
	tokens := d.Tokens[from:to]
	text := slices.DeleteFunc(slices.Clone(tokens), func(id int32) bool { return id >= t.EOT() })
	s := Segment{
		Seek: r.seek, Start: start, End: end, Tokens: tokens, Text: t.Decode(text), Temperature: r.temperature(),
		AvgLogProb: d.AvgLogProb, CompressionRatio: d.CompressionRatio, NoSpeechProb: d.NoSpeechProb,
	}
	if r.request.SwitchLanguage {
		s.Language = r.window.language
		if r.window.pin != nil {
			s.Adapter = r.window.pin.Name()
		}
	}
	return s
}
