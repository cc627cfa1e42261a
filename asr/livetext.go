package asr

import (
	"slices"
	"strings"

	"glossa/whisper"
)

// partial tells of the segment's text, if it has changed. added are the words that are committed now.
func (c *liveCore) partial(h hypothesis, added, tentative []heardWord) {
	seg := c.segment
	e := Event{Kind: Partial, Committed: c.text(seg.committed), Language: h.language, Adapter: h.adapter, AvgLogProb: h.avgLogProb}
	if e.Tentative = c.decode(tokensOf(tentative)); e.Committed == "" && !seg.begun {
		e.Tentative = strings.TrimLeft(e.Tentative, " ")
	}
	if shown := [2]string{e.Committed, e.Tentative}; shown == seg.shown || !c.partials {
		return
	}
	seg.shown = [2]string{e.Committed, e.Tentative}
	e.Start, e.End = frameTime(seg.from), frameTime(seg.heard)
	e.commitment(added)
	c.emit(e)
}

// commitment notes where the newest committed word ended.
func (e *Event) commitment(words []heardWord) {
	if n := len(words); n > 0 {
		e.sounded = frameAt(words[n-1].End)
	}
}

// text returns the text of tokens at the beginning of the buffer: that of the segment's beginning has no space before it.
func (c *liveCore) text(tokens []int32) string {
	text := c.decode(tokens)
	if !c.segment.begun {
		text = strings.TrimLeft(text, " ")
	}
	return text
}

// final ends the segment with the words of its last hypothesis, nil for silence, behind what is committed.
func (c *liveCore) final(words []heardWord, h hypothesis) {
	seg, span := c.segment, c.spans[0]
	e := c.finalOf(words, h)
	e.SpeechFinal, e.Finalized = true, span.finalized
	c.spans, c.ended = c.spans[1:], span.end
	if e.Acked = frameTime(span.end); len(c.spans) > 0 {
		e.Acked = frameTime(c.spans[0].from)
	}
	e.Heard = max(frameTime(seg.heard), e.Acked)
	c.emit(e)
	if span.end > span.from {
		c.emit(Event{Kind: UtteranceEnd, Start: seg.lastEnd, End: seg.lastEnd, Heard: e.Heard, Acked: e.Acked, Language: h.language})
	}
	c.segment = nil
}

// finalOf returns the Final of words at the beginning of the buffer, whose text becomes history. They begin with what is committed; fewer
// stand for that alone.
func (c *liveCore) finalOf(words []heardWord, h hypothesis) Event {
	seg := c.segment
	tokens := tokensOf(words)
	if len(tokens) < len(seg.committed) {
		tokens = seg.committed
	}
	e := Event{Kind: Final, Text: c.text(tokens), Language: h.language, Adapter: h.adapter, AvgLogProb: h.avgLogProb}
	e.Start, e.End = frameTime(seg.from), seg.lastEnd
	if n := len(words); n > 0 {
		e.Start, e.End = words[0].Start, words[n-1].End
		if seg.lastEnd = e.End; c.words {
			e.Words = finalWords(words)
		}
		_, tail := split(words, seg.committed, c.decode)
		e.commitment(tail)
	}
	if seg.language != c.language && seg.language != "" {
		c.language, c.history = seg.language, nil
	}
	c.history = append(c.history, tokens...)
	c.history = c.history[max(0, len(c.history)-c.nTextCtx/2):]
	return e
}

// finalWords returns words as recordings have them.
func finalWords(words []heardWord) []Word {
	timings := make([]whisper.WordTiming, len(words))
	tokens := 0
	for i, w := range words {
		timings[i] = w.WordTiming
		timings[i].Tokens = slices.Clone(w.Tokens)
		tokens += len(w.Tokens)
	}
	s := []Segment{{Start: words[0].Start, End: words[len(words)-1].End}}
	addWords(s, timings, []int{tokens}, WordOptions{Prepended: DefaultPrepended, Appended: DefaultAppended}, words[0].Start)
	return s[0].Words
}

// fail gives up the sound of a window, and goes on behind it in a new segment.
func (c *liveCore) fail(a *ask, err error) {
	seg, span := c.segment, &c.spans[0]
	if len(seg.committed) > 0 {
		e := c.finalOf(nil, hypothesis{language: seg.language})
		e.Heard, e.Acked = frameTime(seg.heard), frameTime(seg.from)
		c.emit(e)
	}
	to := a.to
	if span.end != none {
		to = min(to, span.end)
	}
	c.emit(Event{Kind: Failed, Err: err, Start: frameTime(a.from), End: frameTime(to), Heard: frameTime(to), Acked: frameTime(to),
		Finalized: span.finalized && span.end == to})
	if c.segment = nil; span.end == to {
		c.spans, c.ended = c.spans[1:], to
	} else {
		span.from, span.start = to, to
	}
	c.begin()
}

// emit tells of the segment.
func (c *liveCore) emit(e Event) {
	if e.Segment = c.segment.number; e.Kind != Failed {
		c.seq++
		e.Seq = c.seq
	}
	if e.Kind == SpeechStarted || e.Kind == Partial {
		e.Heard, e.Acked = frameTime(c.segment.heard), frameTime(c.segment.from)
	}
	c.events = append(c.events, e)
}
