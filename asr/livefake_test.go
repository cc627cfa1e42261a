package asr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"glossa/audio"
	"glossa/whisper"
)

// spokenWord is a word that a test's session is to hear.
type spokenWord struct {
	text       string
	start, end int // frames
}

// fakeSpeech is sound and what is said in it: a tone while somebody speaks. It hears, as a device of known costs, the words that are whole
// in a window, and of one that is cut something else each time.
type fakeSpeech struct {
	t         testing.TB
	model     *whisper.Model
	tables    *audio.Extractor
	session   *Session
	words     []spokenWord
	frames    int
	languages []spokenLanguage
	cost      func() time.Duration // of a window
	fault     func(a *ask) error   // of a window, nil where none is bad
	hearing   int                  // windows
}

// spokenLanguage is a language, from a frame on.
type spokenLanguage struct {
	from int
	code string
}

// newFakeSpeech returns silence without words. Its model has windows of 20 s.
func newFakeSpeech(t testing.TB) *fakeSpeech {
	t.Helper()
	const nAudioCtx = 1000
	n := 1 + slices.IndexFunc(whisper.Languages(), func(l whisper.Language) bool { return l.Code == "cs" })
	tokenizer, err := whisper.NewTokenizer(whisper.TrainBPE(slices.Values([]string{"a"}), 0), n, 1+nAudioCtx)
	if err != nil {
		t.Fatal(err)
	}
	d := whisper.Dims{
		NMels: 80, NAudioCtx: nAudioCtx, NAudioState: 2, NAudioHead: 1, NAudioLayer: 1,
		NVocab: tokenizer.NVocab(), NTextCtx: 1024, NTextState: 2, NTextHead: 1, NTextLayer: 1,
	}
	m := whisper.Outline(d)
	m.Tokenizer, m.Generation = tokenizer, whisper.DefaultGeneration(d, tokenizer)
	tables, err := audio.NewExtractor(d.NMels)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeSpeech{t: t, model: m, tables: tables, cost: func() time.Duration { return 50 * time.Millisecond }}
}

// say adds words of 300 to 500 ms behind silence, in frames.
func (f *fakeSpeech) say(silence, nWords int, language string) {
	f.frames += silence
	f.languages = append(f.languages, spokenLanguage{f.frames - silence/2, language})
	for range nWords {
		n := len(f.words)
		text := " "
		for i := n + 1; i > 0; i /= 20 {
			text += string(rune('a' + i%20))
		}
		length := 30 + (n*7)%20
		f.words = append(f.words, spokenWord{text, f.frames, f.frames + length})
		f.frames += length
	}
}

// text returns all that is said.
func (f *fakeSpeech) text() string {
	var b strings.Builder
	for _, w := range f.words {
		b.WriteString(w.text)
	}
	return strings.TrimSpace(b.String())
}

// pcm returns the sound, with a second of silence at its end.
func (f *fakeSpeech) pcm() []float32 {
	pcm := make([]float32, (f.frames+100)*audio.HopLength)
	for _, w := range f.words {
		for i := w.start * audio.HopLength; i < w.end*audio.HopLength; i++ {
			pcm[i] = 0.3 * float32(math.Sin(float64(i)/5))
		}
	}
	return pcm
}

// listen begins a session that hears f.
func (f *fakeSpeech) listen(ctx context.Context, o ListenOptions, s *speakers) *Session {
	f.t.Helper()
	if o.Detector == nil {
		o.Detector = func() audio.Detector { return &loudDetector{} }
	}
	if s == nil {
		s = newSpeakers(1)
	}
	check := func(q Request) error { _, err := newRecording(q, f.model); return err }
	var err error
	f.session, err = listen(ctx, o, &Session{hearer: f, check: check, model: f.model, tables: f.tables, speaker: speaker{of: s}})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.session
}

// loudDetector takes what is loud for speech.
type loudDetector struct{ rest []float32 }

func (d *loudDetector) FrameSamples() int { return audio.HopLength }

func (d *loudDetector) Push(probs, pcm []float32) []float32 {
	d.rest = append(d.rest, pcm...)
	for ; len(d.rest) >= audio.HopLength; d.rest = d.rest[audio.HopLength:] {
		loud := slices.Max(d.rest[:audio.HopLength]) > 0.1
		if probs = append(probs, 0); loud {
			probs[len(probs)-1] = 1
		}
	}
	return probs
}

func (d *loudDetector) Flush(probs []float32) []float32 {
	if len(d.rest) > 0 {
		probs = append(probs, 0)
	}
	d.rest = nil
	return probs
}

// hear answers with what is said in the window that the session asks for.
func (f *fakeSpeech) hear(q Request, done func(*Result)) (func(), error) {
	a := f.session.core.asked
	if f.hearing++; f.hearing > 1 {
		f.t.Errorf("%d windows of one session are heard at a time", f.hearing)
	}
	mel, err := q.Mel()
	if err != nil || mel.Content() != a.to-a.from || mel.Content() > f.model.Dims.WindowFrames() {
		f.t.Errorf("a window of %d frames for %d to %d: %v", mel.Content(), a.from, a.to, err)
	}
	r := f.result(a, q)
	timer := time.AfterFunc(f.cost(), func() { f.hearing--; done(r) })
	return func() { timer.Stop() }, nil
}

func (f *fakeSpeech) result(a *ask, q Request) *Result {
	h := q.live
	if f.fault != nil {
		if err := f.fault(a); err != nil {
			return &Result{Err: err}
		}
	}
	h.avgLogProb, h.compressionRatio = -0.1, 1
	r := &Result{Language: q.Language}
	if q.Language == "" {
		r.LanguageProb = 0.9
		for _, l := range f.languages {
			if l.from <= a.to {
				r.Language = l.code
			}
		}
	}
	var tokens []int32
	for i, w := range f.words {
		if w.end <= a.from+(w.end-w.start)/2 || w.start >= a.to { // one that a cut has left the end of was heard before it
			continue
		}
		word := whisper.Word{Text: w.text, Tokens: f.model.Tokenizer.Encode(w.text)}
		if w.end > a.to && len(tokens) >= len(a.prefix) {
			word.Text += strings.Repeat("x", 1+a.to%3)
			word.Tokens = f.model.Tokenizer.Encode(word.Text)
		}
		tokens = append(tokens, word.Tokens...)
		start, end := max(w.start-a.from, 0), min(w.end, a.to)-a.from
		if i == len(f.words)-1 || f.words[i+1].start > w.end { // the silence behind a word is part of it now and then
			end = min(a.to-a.from, end+a.to*7%40)
		}
		h.aligned.Words = append(h.aligned.Words, whisper.WordTiming{Word: word, Start: frameTime(start), End: frameTime(end), Probability: 1})
		for range word.Tokens {
			h.aligned.Attended = append(h.aligned.Attended, end/2-1)
		}
	}
	if len(tokens) < len(a.prefix) || !slices.Equal(tokens[:len(a.prefix)], a.prefix) {
		f.t.Errorf("window %d-%d: %q is committed and was not said", a.from, a.to, f.model.Tokenizer.Decode(a.prefix))
	}
	return r
}

// stream writes sound in chunks as long as they last, and says that it ends.
func stream(t testing.TB, s *Session, pcm []float32, chunk func() int) {
	t.Helper()
	for len(pcm) > 0 {
		n := min(chunk(), len(pcm))
		time.Sleep(durationOf(n))
		if err := s.Write(pcm[:n]); err != nil {
			t.Error(err)
			return
		}
		pcm = pcm[n:]
	}
	if err := s.CloseWrite(); err != nil {
		t.Error(err)
	}
}

// every returns chunks of so many milliseconds.
func every(ms int) func() int { return func() int { return ms * audio.SampleRate / 1000 } }

// collect reads the events of a session until its end, whose error it returns.
func collect(ctx context.Context, s *Session) ([]Event, error) {
	var events []Event
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// textOf joins the text of Finals.
func textOf(events []Event) string {
	var b strings.Builder
	segment := -1
	for _, e := range events {
		if e.Kind == Final {
			if e.Segment != segment && e.Text != "" {
				b.WriteString(" ")
			}
			segment = e.Segment
			b.WriteString(e.Text)
		}
	}
	return strings.TrimSpace(b.String())
}

// checkLaws checks what holds for the events of every session that came to its end.
func checkLaws(events []Event, err error) error {
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("the session ends with %w", err)
	}
	var committed string
	seq, segment, acked := int64(0), -1, 0.0
	open := false
	for i, e := range events {
		switch carries := e.Kind <= UtteranceEnd; {
		case carries && e.Seq <= seq:
			return fmt.Errorf("event %d: seq %d behind %d", i, e.Seq, seq)
		case carries:
			seq = e.Seq
		case e.Seq != 0:
			return fmt.Errorf("event %d: a %v has seq %d", i, e.Kind, e.Seq)
		}
		if e.Kind != Lag && (e.Segment < segment || e.Acked < acked-1e-9 || e.Heard < e.Acked-1e-9) {
			return fmt.Errorf("event %d: segment %d, heard %g, acked %g behind segment %d, acked %g", i, e.Segment, e.Heard, e.Acked, segment, acked)
		}
		if e.Kind == Lag {
			continue
		}
		segment, acked = e.Segment, e.Acked
		switch e.Kind {
		case SpeechStarted:
			if open {
				return fmt.Errorf("event %d: speech starts in a segment", i)
			}
			open, committed = true, ""
		case Partial:
			if !open || !strings.HasPrefix(e.Committed, committed) {
				return fmt.Errorf("event %d: %q was committed, now %q is", i, committed, e.Committed)
			}
			committed = e.Committed
		case Final:
			if !strings.HasPrefix(e.Text, committed) || !open && (e.Text != "" || !e.Finalized) {
				return fmt.Errorf("event %d: %q was committed, %q is final", i, committed, e.Text)
			}
			committed, open = "", open && !e.SpeechFinal
		case Failed:
			open, committed = false, ""
		}
	}
	if n := len(events); n == 0 || events[n-1].Kind != Done || open {
		return fmt.Errorf("the last of %d events is no Done, or a segment has no end", n)
	}
	return nil
}
