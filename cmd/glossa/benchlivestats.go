package main

import (
	"math"
	"slices"
	"strings"
	"time"

	"glossa/asr/ws"
)

// liveTimes are the latencies of a live session, each from when sound was spoken, by a client that speaks in real
// time. That it is sent chunk by chunk, is a part of them.
type liveTimes struct {
	commit  []time.Duration // of each word: from its end to when it was committed, by a partial or a final
	partial []time.Duration // of each partial: from the end of the sound that it is of
	final   []time.Duration // of each segment's last final: from the end of its last word
	first   []time.Duration // of each segment: from the beginning of its first word to its first text
}

// add adds those of another session.
func (t *liveTimes) add(other liveTimes) {
	t.commit = append(t.commit, other.commit...)
	t.partial = append(t.partial, other.partial...)
	t.final = append(t.final, other.final...)
	t.first = append(t.first, other.first...)
}

// liveWatch takes the times of events. It is for one goroutine.
type liveWatch struct {
	liveTimes
	begin time.Time // when the sound began

	growth    []grown   // of the committed text since the last final
	firstText time.Time // of the segment
	lag       time.Duration
	words     int

	shown     []string // words of the newest text of the segment
	retracted int      // words that were shown and then were not, or were others
	finals    strings.Builder
}

// grown is a committed text's length at a time.
type grown struct {
	bytes int
	at    time.Time
}

// since returns how long before a time the sound at ms was spoken.
func (w *liveWatch) since(ms int64, at time.Time) time.Duration {
	return at.Sub(w.begin) - time.Duration(ms)*time.Millisecond
}

// event takes an event that came at a time.
func (w *liveWatch) event(e ws.Event, at time.Time) {
	switch e.Type {
	case ws.TypePartial:
		w.seen(e.Committed+e.Tentative, at)
		w.show(strings.Fields(e.Committed+e.Tentative), true)
		w.partial = append(w.partial, w.since(e.EndMS, at))
		if n := len(strings.TrimSpace(e.Committed)); n > 0 && (len(w.growth) == 0 || n > w.growth[len(w.growth)-1].bytes) {
			w.growth = append(w.growth, grown{n, at})
		}
	case ws.TypeFinal:
		w.seen(e.Text, at)
		w.show(strings.Fields(e.Text), e.SpeechFinal)
		w.finish(e, at)
		w.finals.WriteString(e.Text)
	case ws.TypeLag:
		w.lag = max(w.lag, time.Duration(e.MS)*time.Millisecond)
	}
}

// seen notes when a segment's first text came.
func (w *liveWatch) seen(text string, at time.Time) {
	if w.firstText.IsZero() && strings.TrimSpace(text) != "" {
		w.firstText = at
	}
}

// show counts the words of the text before that are gone: those behind what both texts begin with, as the erasure of Arivazhagan et al. 2020
// ("Re-translation versus Streaming for Simultaneous Translation", section 3.3) counts them. A text that is not whole takes the place of as
// many words; those behind it stay shown.
func (w *liveWatch) show(words []string, whole bool) {
	before := w.shown
	if !whole {
		before = before[:min(len(words), len(before))]
	}
	same := 0
	for same < len(words) && same < len(before) && words[same] == before[same] {
		same++
	}
	w.retracted += len(before) - same
	if whole {
		w.shown = words
	} else {
		w.shown = w.shown[len(before):]
	}
}

// finish takes the words of a final: each was committed when the committed text first reached its end.
func (w *liveWatch) finish(e ws.Event, at time.Time) {
	text, end := strings.TrimSpace(e.Text), 0
	for i, word := range e.Words {
		letters := strings.TrimSpace(word.Word)
		if found := strings.Index(text[end:], letters); found >= 0 {
			end += found + len(letters)
		}
		committed := at
		for _, g := range w.growth {
			if g.bytes >= end {
				committed = g.at
				break
			}
		}
		w.commit = append(w.commit, w.since(word.EndMS, committed))
		w.words++
		if i == 0 && !w.firstText.IsZero() {
			w.first = append(w.first, w.since(word.StartMS, w.firstText))
			w.firstText = time.Time{}
		}
	}
	w.growth = w.growth[:0]
	if e.SpeechFinal {
		w.shown = nil
		if n := len(e.Words); n > 0 {
			w.final = append(w.final, w.since(e.Words[n-1].EndMS, at))
		}
		w.firstText = time.Time{}
	}
}

// percentile returns the least of some times that so large a part of them does not exceed, by nearest rank; 0 of none.
func percentile(times []time.Duration, part float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	rank := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[max(0, min(rank, len(sorted)-1))]
}
