package asr

import (
	"errors"
	"time"

	"glossa/audio"
)

// finalTemperatures are those that a window is decoded at whose text is final.
var finalTemperatures = []float64{0, 0.2, 0.4}

// request returns the request for a window, whose log-mel is given, which fills h.
func (a *ask) request(mel audio.Mel, h *hearing) Request {
	q := *a.template
	q.Mel = func() (audio.Mel, error) { return mel, nil }
	q.Language, q.live = a.language, h
	q.Decoding.PromptTokens, q.Decoding.PrefixTokens = a.prompt, a.prefix
	q.Decoding.AllowBlank = true // there may be nothing behind the prefix
	q.Decoding.Temperatures = finalTemperatures[:1]
	if a.kind != askPartial {
		q.Decoding.Temperatures, q.Deadline = finalTemperatures, time.Now()
	}
	return q
}

// template returns what the requests of a session have in common.
func (o *ListenOptions) template() Request {
	return Request{
		Priority: Live, Language: o.Language, Languages: o.Languages, Adapter: o.Adapter, Client: o.Client, Task: o.Task, Words: &WordOptions{},
		Decoding: Decoding{Hotwords: o.Hotwords, WithoutTimestamps: true},
	}
}

// hypothesis returns what was heard of a window, from the result of its request and what that has filled.
func (a *ask) hypothesis(r *Result, h *hearing) hypothesis {
	out := hypothesis{
		language: r.Language, languageProb: r.LanguageProb, adapter: r.Adapter,
		avgLogProb: h.avgLogProb, compressionRatio: h.compressionRatio, err: r.Err,
	}
	offset, at := frameTime(a.from), 0
	for _, w := range h.aligned.Words {
		word := heardWord{WordTiming: w}
		word.Start, word.End = word.Start+offset, word.End+offset
		for range w.Tokens {
			if at < len(h.aligned.Attended) {
				word.attended = max(word.attended, h.aligned.Attended[at])
			}
			at++
		}
		out.words = append(out.words, word)
	}
	return out
}

// hearer hears windows: an engine, or what a test puts in its place.
type hearer interface {
	// hear calls done once, on another goroutine and maybe before it returns, with the result of a request, unless cancel is called
	// before. Cancelling what is done has no effect.
	hear(q Request, done func(*Result)) (cancel func(), err error)
}

// hear is Transcribe that does not wait, of a request that is not refused.
func (e *Engine) hear(q Request, done func(*Result)) (cancel func(), err error) {
	j, err := e.submit(q, true, done)
	if err != nil {
		return nil, err
	}
	return func() { e.send(func() { e.cancel(j) }) }, nil
}

// gone reports whether an error is that of an engine that hears no more.
func gone(err error) bool { return errors.Is(err, errStopped) }
