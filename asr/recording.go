package asr

import (
	"fmt"
	"strings"

	"glossa/audio"
	"glossa/whisper"
)

// Thresholds of upstream's transcribe: a window is taken for silence where the model says so and
// is not sure of its text.
const (
	noSpeechThreshold = 0.6
	logProbThreshold  = -1.0
)

// secondsPerToken is the time from one timestamp token to the next, and framesPerToken the
// log-mel frames in it.
const (
	secondsPerToken = 1.0 / whisper.TokensPerSecond
	framesPerToken  = whisper.FramesPerToken
	framesPerSecond = whisper.TokensPerSecond * framesPerToken
)

// recording is a request on its way through the engine: upstream's transcribe() as a state that
// takes one decoded window at a time.
type recording struct {
	index   int
	request Request
	model   *whisper.Model
	mel     audio.Mel
	content int              // frames of audio in mel, without padding
	seek    int              // first frame of the next window
	cross   *whisper.CrossKV // of the window at seek under adapter, nil until it is encoded
	named   int32            // adapter that the request names, 0 where it names none
	adapter int32            // the base model's until routed
	routed  bool
	past    []int32
	result  Result
}

// setLanguage fixes the language of the recording, which the model must know.
func (r *recording) setLanguage(code string) error {
	t := r.model.Tokenizer
	if _, ok := t.LanguageToken(code); !ok && (t.Multilingual() || code != "en") {
		return fmt.Errorf("%w: %w: %q", ErrInvalid, whisper.ErrLanguage, code)
	}
	r.result.Language = code
	return nil
}

// load computes the log-mel of the samples: with a window of silence behind them where the model
// was trained on padded windows, as upstream's transcribe does.
func (r *recording) load(pcm []float32) error {
	d := r.model.Dims
	r.result.Duration = float64(len(pcm)) / audio.SampleRate
	pad := 0
	if !d.Unpadded {
		pad = d.WindowFrames() * audio.HopLength
	}
	mel, err := audio.LogMelPadded(pcm, d.NMels, pad)
	if err != nil {
		return err
	}
	r.mel = mel
	r.content = mel.Content()
	if !r.model.Tokenizer.Multilingual() && r.result.Language == "" {
		r.result.Language = "en"
	}
	return nil
}

// long reports whether the recording takes more than one window.
func (r *recording) long() bool { return r.content > r.model.Dims.WindowFrames() }

// size returns the frames of audio in the window at seek.
func (r *recording) size() int { return min(r.content-r.seek, r.model.Dims.WindowFrames()) }

func (r *recording) finished() bool { return r.seek >= r.content }

// window returns the log-mel of the window at seek, padded with zeros where the model wants it.
func (r *recording) window() audio.Mel {
	n := r.model.Dims.WindowFrames()
	if r.model.Dims.Unpadded {
		n = r.size()
	}
	return r.mel.Window(r.seek, n)
}

func (r *recording) decodeOptions() whisper.DecodeOptions {
	o := whisper.DecodeOptions{
		Language:          r.result.Language,
		Task:              r.request.Task,
		WithoutTimestamps: !r.request.Timestamps && !r.long(),
	}
	if !r.request.Unconditioned {
		o.Prompt = r.past
	}
	return o
}

// take adds the segments of a decoded window and moves seek behind it (the loop's body in
// upstream's transcribe).
func (r *recording) take(d whisper.Decoded) {
	r.cross = nil
	if d.Err != nil {
		r.result.Err = d.Err
		return
	}
	if d.NoSpeechProb > noSpeechThreshold && d.AvgLogProb <= logProbThreshold {
		r.seek += r.size()
		return
	}
	segments, advance := r.cut(d)
	for _, s := range segments {
		if s.Start == s.End || strings.TrimSpace(s.Text) == "" {
			continue
		}
		s.ID = len(r.result.Segments)
		r.result.Segments = append(r.result.Segments, s)
		r.past = append(r.past, s.Tokens...)
	}
	r.seek += advance
}

// cut cuts a window's tokens into segments at pairs of timestamps, and returns how many frames
// the next window begins behind this one: at the last pair, or behind the window.
func (r *recording) cut(d whisper.Decoded) (segments []Segment, advance int) {
	t := r.model.Tokenizer
	first, offset := t.TimestampBegin(), float64(r.seek)/framesPerSecond
	stamp := func(i int) bool { return i >= 0 && d.Tokens[i] >= first }
	seconds := func(i int) float64 { return float64(d.Tokens[i]-first) * secondsPerToken }
	segment := func(from, to int, start, end float64) {
		segments = append(segments, Segment{
			Seek: r.seek, Start: offset + start, End: offset + end,
			Tokens: d.Tokens[from:to], Text: t.Decode(d.Tokens[from:to]),
			AvgLogProb: d.AvgLogProb, CompressionRatio: d.CompressionRatio, NoSpeechProb: d.NoSpeechProb,
		})
	}
	n := len(d.Tokens)
	singleEnd := n >= 2 && stamp(n-1) && !stamp(n-2)
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
	case pairs:
		return segments, int(d.Tokens[from-1]-first) * framesPerToken
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

// close assembles the text of the recording.
func (r *recording) close() {
	var text strings.Builder
	for _, s := range r.result.Segments {
		text.WriteString(s.Text)
	}
	r.result.Text = strings.TrimSpace(text.String())
}
