package asr

import (
	"slices"
	"strings"
	"unicode/utf8"

	"glossa/whisper"
)

// heardWord is a word of a hypothesis. Its times are seconds from the session's beginning.
type heardWord struct {
	whisper.WordTiming
	attended int // encoder row of the window that the latest of its tokens attends to most
}

// hearing is what the engine tells of a live session's window.
type hearing struct {
	avgLogProb, compressionRatio float64
	aligned                      whisper.Aligned // nothing of what is taken for silence
}

// decoded notes what was decoded, unless nobody asks.
func (h *hearing) decoded(d whisper.Decoded) {
	if h != nil {
		h.avgLogProb, h.compressionRatio = d.AvgLogProb, d.CompressionRatio
	}
}

// Bounds of what is committed.
const (
	// edgeSeconds is how far a word must end before the sound does: it may go on there.
	edgeSeconds = 0.2

	// attendedRows is the number f of last encoder rows, of 20 ms, that no token committed by AlignAtt attends to.
	attendedRows = 30
)

// agreement is the tails of two hypotheses in a row that continue the same committed text.
type agreement struct {
	before, tail []heardWord
	end          float64 // of the sound of tail, in seconds
	rows         int     // encoder rows of that sound
}

// commits returns how many words of the tail are committed: none from one on of which a character is not whole.
func (p Policy) commits(a agreement) int {
	if i := slices.IndexFunc(a.tail, func(w heardWord) bool { return strings.ContainsRune(w.Text, utf8.RuneError) }); i >= 0 {
		a.tail = a.tail[:i]
	}
	if p == AlignAtt {
		return a.attended()
	}
	n := agreed(a.before, a.tail)
	for n > 0 && a.tail[n-1].End > a.end-edgeSeconds {
		n--
	}
	return n
}

// agreed returns the number of words that two tails begin with alike: LocalAgreement-2. Words are those of the tokenizer's
// SplitWords, so that a mark behind a word is a word of its own which may differ, and characters are words in
// languages that are written without spaces.
func agreed(before, tail []heardWord) int {
	n := 0
	for n < min(len(before), len(tail)) && before[n].Text == tail[n].Text {
		n++
	}
	return n
}

// attended returns the number of words before the first of which a token attends most to the last attendedRows (Papi, Turchi and
// Negri 2023, section 3).
func (a agreement) attended() int {
	for i, w := range a.tail {
		if w.attended >= a.rows-attendedRows {
			return i
		}
	}
	return len(a.tail)
}
