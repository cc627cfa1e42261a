package asr

import (
	"slices"
	"time"

	"glossa/whisper"
)

// liveCore decides what of a live session's sound is heard when, and which text is committed. It has no goroutine, clock or
// device: it is told of sound, speech and hypotheses, and says what to hear next. Places are frames of 10 ms from
// the session's beginning.
type liveCore struct {
	liveOptions
	nTextCtx int
	decode   func([]int32) string
	level    func(frame int) (float32, bool) // loudness; see audio.MelStream.Level
	updated  *liveOptions                    // that hold from the next segment on, nil where these do
	now      int                             // so many frames have come
	spans    []liveSpan                      // of speech that is not done with, in order; the last one may go on
	ended    int                             // where the last span ended that is done with
	segment  *liveSegment
	segments int // begun
	asked    *ask
	took     int     // frames, by the last hypothesis
	closed   bool    // no more sound comes
	language string  // of the last segment whose language was sure, "" before
	history  []int32 // tokens of text before the segment's buffer, in its language
	seq      int64
	events   []Event
}

// liveOptions are what a liveCore goes by.
type liveOptions struct {
	template    Request // of what is heard
	policy      Policy
	language    string // "" where it is detected
	prompt      []int32
	partials    bool
	conditioned bool // by history
	words       bool
	step        int           // frames of new sound between two hypotheses
	maxBuffer   int           // frames
	silence     time.Duration // that ends a segment
}

// Bounds of segments, in frames.
const (
	preRoll       = 30  // heard before speech starts
	postRoll      = 20  // heard behind its end
	leastHeard    = 10  // of sound, below which it is not heard
	leastCut      = 100 // that a cut takes off the buffer at least
	cutReach      = 10  // that a cut may be away from where a word ends
	edgeFrames    = 50  // before the end of a window, in which a cut trusts no word
	languageLeast = 100 // of speech, from which its language is detected
	languageMost  = 300 // of speech, from which a language that is not clear is taken
)

// So many times as long as a hypothesis takes, there is to be new sound before the next: a device that is busy with many sessions then
// is not so all the time.
const paceOver, paceUnder = 3, 2

// clearLanguage is the probability from which on a detected language is sure: it has more than all others together.
const clearLanguage = 0.5

// liveSpan is a stretch of speech.
type liveSpan struct {
	from      int // what is heard of it begins here
	start     int
	end       int // behind what is heard, none while it goes on
	finalized bool
}

// none is a place that there is none of.
const none = -1

// liveSegment is the text of a span on its way.
type liveSegment struct {
	number    int
	from      int         // where the buffer begins: all before it is in Final events
	heard     int         // frame that the last hypothesis reached
	language  string      // "" until it is sure
	committed []int32     // tokens of the buffer's committed text
	last      *hypothesis // of the buffer, nil where there is none that may be final
	before    []heardWord // of the last hypothesis, those behind committed
	spoken    string      // language of the last hypothesis
	adapter   string      // under which it was heard
	begun     bool        // there was a Final
	shown     [2]string   // committed and tentative text of the last Partial
	lastEnd   float64     // where the last word ended that is committed
}

// askKind is why something is heard.
type askKind uint8

const (
	askPartial askKind = iota // speech goes on
	askCut                    // the buffer is full
	askFinal                  // the segment is at its end
)

// ask is a window that is to be heard.
type ask struct {
	kind           askKind
	template       *Request
	from, to       int
	language       string  // "" where it is to be detected
	prompt, prefix []int32 // tokens
}

// hypothesis is what was heard.
type hypothesis struct {
	language         string
	languageProb     float64
	adapter          string
	avgLogProb       float64
	compressionRatio float64
	words            []heardWord // those of the prefix first; nil for silence
	took             int         // frames, from when it was asked for
	err              error
}

// update changes the options from the next segment on.
func (c *liveCore) update(o liveOptions) {
	c.updated = &o
	c.begin()
}

// sound says that there are so many frames.
func (c *liveCore) sound(now int) { c.now = now }

// speechStart says that speech began at a frame, and that first is the first frame that is kept.
func (c *liveCore) speechStart(start, first int) {
	from := max(start-preRoll, first, c.ended)
	if n := len(c.spans); n > 0 {
		from = max(from, c.spans[n-1].end)
	}
	c.spans = append(c.spans, liveSpan{from: from, start: max(start, from), end: none})
	c.begin()
}

// speechEnd says that speech ended at a frame.
func (c *liveCore) speechEnd(end int) {
	if n := len(c.spans); n > 0 && c.spans[n-1].end == none {
		s := &c.spans[n-1]
		s.end = max(min(end+postRoll, c.now), s.start)
	}
	c.finish()
}

// finish ends a segment that needs not be heard again: there is too little sound left, or the last hypothesis was of all of it.
func (c *liveCore) finish() {
	if c.segment == nil || c.asked != nil || c.spans[0].end == none {
		return
	}
	switch seg, s := c.segment, &c.spans[0]; {
	case s.end-seg.from < leastHeard:
		s.end = max(s.end, seg.from)
		c.final(nil, hypothesis{language: seg.language, adapter: seg.adapter})
	case seg.last != nil && seg.heard >= s.end:
		c.final(seg.last.words, *seg.last)
	default:
		return
	}
	c.begin()
}

// finalize ends the speech where the sound ends; if there is none, a segment without text stands for it.
func (c *liveCore) finalize() {
	n := len(c.spans)
	if n > 0 && (c.spans[n-1].end == none || c.spans[n-1].end == c.now) {
		c.spans[n-1].end, c.spans[n-1].finalized = c.now, true
		c.finish()
		return
	}
	c.spans = append(c.spans, liveSpan{from: c.now, start: c.now, end: c.now, finalized: true})
	c.begin()
}

// begin begins the segment of the first span, if there is none. One without sound is done with at once.
func (c *liveCore) begin() {
	for c.segment == nil && (c.updated != nil || len(c.spans) > 0) {
		if c.updated != nil {
			c.liveOptions, c.updated = *c.updated, nil
			continue
		}
		s := c.spans[0]
		c.segment = &liveSegment{number: c.segments, from: s.from, heard: s.start, language: c.liveOptions.language, lastEnd: frameTime(s.start)}
		c.segments++
		if s.end == s.from {
			c.final(nil, hypothesis{language: c.segment.language})
			continue
		}
		c.emit(Event{Kind: SpeechStarted, Start: frameTime(s.start), End: frameTime(s.start)})
		c.finish()
	}
}

// next returns what is to be heard now, nil where nothing is or it is being heard already. Its answer is then waited for.
func (c *liveCore) next() *ask {
	if c.asked != nil {
		return nil
	}
	c.asked = c.want()
	return c.asked
}

// want returns what is to be heard next, nil where nothing is.
func (c *liveCore) want() *ask {
	if c.segment == nil {
		return nil
	}
	span, seg := c.spans[0], c.segment
	there := c.now
	if span.end != none {
		there = span.end
	}
	a := &ask{template: &c.template, from: seg.from, to: min(there, seg.from+c.maxBuffer), language: seg.language, prefix: seg.committed}
	switch {
	case a.to < there || len(seg.committed) > c.nTextCtx/3:
		a.kind = askCut
	case span.end != none:
		a.kind = askFinal
	case !c.partials || a.to-seg.heard < max(c.step, c.took*paceOver/paceUnder):
		return nil
	}
	if seg.language != "" {
		room := c.nTextCtx/2 - len(a.prefix) - 8
		a.prompt = c.prompt
		if c.conditioned && (c.language == "" || c.language == seg.language) {
			a.prompt = slices.Concat(c.prompt, c.history)
		}
		a.prompt = a.prompt[max(0, len(a.prompt)-max(room, 0)):]
	}
	return a
}

// needed returns the first frame that may be heard again, where keep frames are kept for speech that is not known yet.
func (c *liveCore) needed(keep int) int {
	if c.segment != nil {
		return c.segment.from
	}
	return max(c.now-keep, 0)
}

// heard returns the frame up to which all sound was heard.
func (c *liveCore) heard() int {
	if c.segment != nil {
		return c.segment.heard
	}
	return c.now
}

// answer takes what was heard of what next returned.
func (c *liveCore) answer(h hypothesis) {
	a, seg := c.asked, c.segment
	c.asked, c.took = nil, h.took
	if h.err != nil {
		c.fail(a, h.err)
		return
	}
	if c.settle(a, h) {
		return // it is heard again
	}
	if h.language != seg.spoken {
		seg.spoken, seg.before = h.language, nil
	}
	seg.heard = a.to
	words, tail := split(h.words, seg.committed, c.decode)
	if seg.language == "" && a.kind == askPartial {
		if seg.before = tail; h.loops() {
			seg.before = nil
		}
		c.partial(h, nil, tail)
		return
	}
	seg.adapter = h.adapter
	switch a.kind {
	case askPartial:
		c.commit(a, h, words, tail)
		c.finish()
	case askCut:
		c.cut(a, h, c.sane(h, words, tail))
		c.finish()
	case askFinal:
		c.final(c.sane(h, words, tail), h)
		c.begin()
	}
}

// split returns the words of a hypothesis, and those behind committed text: of a word that goes on behind it the rest. There are
// none where it does not begin with the committed tokens.
func split(words []heardWord, committed []int32, decode func([]int32) string) (all, tail []heardWord) {
	if tokens := tokensOf(words); len(tokens) < len(committed) || !slices.Equal(tokens[:len(committed)], committed) {
		return nil, nil
	}
	at := 0
	for i, w := range words {
		if at+len(w.Tokens) <= len(committed) {
			at += len(w.Tokens)
			continue
		}
		tail = slices.Clone(words[i:])
		if rest := w.Tokens[len(committed)-at:]; len(rest) < len(w.Tokens) {
			tail[0].Word = whisper.Word{Text: decode(rest), Tokens: rest}
		}
		break
	}
	return words, tail
}

// tokensOf returns the tokens of words.
func tokensOf(words []heardWord) (tokens []int32) {
	for _, w := range words {
		tokens = append(tokens, w.Tokens...)
	}
	return tokens
}

// commit takes a hypothesis of speech that goes on.
func (c *liveCore) commit(a *ask, h hypothesis, words, tail []heardWord) {
	seg := c.segment
	seg.last = nil
	if h.loops() || h.avgLogProb < logProbThreshold {
		seg.before = nil
		if !h.loops() {
			c.partial(h, nil, tail)
		}
		return
	}
	n := c.policy.commits(agreement{seg.before, tail, frameTime(a.to), (a.to - a.from) / whisper.FramesPerToken})
	seg.committed = append(seg.committed, tokensOf(tail[:n])...)
	if seg.before = tail[n:]; n > 0 {
		seg.lastEnd = tail[n-1].End
	}
	c.partial(h, tail[:n], tail[n:])
	if h.words = words; len(tokensOf(words)) >= len(seg.committed) {
		seg.last = &h
	}
	c.trim(a, h, words)
}

// sane returns the words of a hypothesis, of one that repeats itself those alone that the one before had too.
func (c *liveCore) sane(h hypothesis, words, tail []heardWord) []heardWord {
	if !h.loops() {
		return words
	}
	return words[:len(words)-len(tail)+agreed(c.segment.before, tail)]
}

// loops reports whether a text repeats itself so much that it is none.
func (h hypothesis) loops() bool { return h.compressionRatio > compressionRatioThreshold }
