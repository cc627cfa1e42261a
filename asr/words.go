package asr

import (
	"math"
	"slices"
	"strings"

	"glossa/whisper"
)

// Word is a word of a segment and its time.
type Word struct {
	Word        string  `json:"word"`  // with the space before it, and its punctuation
	Start       float64 `json:"start"` // seconds
	End         float64 `json:"end"`
	Probability float64 `json:"probability"` // mean of its tokens'
}

// WordOptions say how words are told apart.
type WordOptions struct {
	// Prepended are the punctuation marks that belong to the word behind them, Appended those that
	// belong to the word before. See DefaultPrepended and DefaultAppended.
	Prepended, Appended string

	// SilenceThreshold is the silence in seconds around what may be a hallucination from which on
	// both are passed over. The default value is 0: nothing is.
	SilenceThreshold float64
}

// Upstream's prepend_punctuations and append_punctuations.
const (
	DefaultPrepended = "\"'“¿([{-"
	DefaultAppended  = "\"'.。,，!！?？:：”)]}、"
)

// Bounds of upstream's add_word_timestamps, in seconds.
const (
	maxMedianDuration = 0.7 // of words
	maxBoundaryShift  = 0.5 // of a segment's start or end by those of its words
)

// sentenceEnds are the marks that upstream does not let a pause be part of.
const sentenceEnds = ".。!！?？"

// spokenWindow is a decoded window whose segments are to have words.
type spokenWindow struct {
	utterance  whisper.Utterance // with the language that it was decoded in
	frames     int               // of audio in the window
	options    WordOptions
	segments   []Segment
	lastSpeech float64 // where the words before the window end, in seconds
	live       *hearing
	err        error // why this window alone has no words
}

// timeWords gives the segments of windows their words, all windows in one pass through the decoder.
func timeWords(d device, eot int32, ws []spokenWindow) error {
	items, counts := make([]whisper.Alignment, len(ws)), make([][]int, len(ws))
	for i, w := range ws {
		items[i] = whisper.Alignment{
			Cross: w.utterance.Cross, Adapter: w.utterance.Adapter, Frames: w.frames,
			Language: w.utterance.Options.Language, Task: w.utterance.Options.Task, Attended: w.live != nil,
		}
		items[i].Tokens, counts[i] = textTokens(w.segments, eot)
	}
	aligned, err := d.align(items)
	if err != nil {
		return err
	}
	for i := range ws {
		w := &ws[i]
		if w.err = aligned[i].Err; w.err != nil {
			continue
		}
		if w.live != nil {
			w.live.aligned = aligned[i]
		} else {
			addWords(w.segments, aligned[i].Words, counts[i], w.options, w.lastSpeech)
		}
	}
	return nil
}

// textTokens returns the tokens of text in segments, those that their words are made of, and how
// many each segment has.
func textTokens(segments []Segment, eot int32) (all []int32, counts []int) {
	for _, s := range segments {
		before := len(all)
		for _, id := range s.Tokens {
			if id < eot {
				all = append(all, id)
			}
		}
		counts = append(counts, len(all)-before)
	}
	return all, counts
}

// addWords gives the segments of one window their words, and moves the segments' starts and ends to
// those of the words (upstream add_word_timestamps). alignment, which it changes, is that of the
// segments' textTokens; counts says how many each has. lastSpeech is where the words before the
// window end, in seconds.
func addWords(segments []Segment, alignment []whisper.WordTiming, counts []int, o WordOptions, lastSpeech float64) {
	if len(segments) == 0 {
		return
	}
	median := medianDuration(alignment)
	trimSentenceEnds(alignment, 2*median)
	whisper.MergePunctuations(alignment, o.Prepended, o.Appended)
	offset := frameTime(segments[0].Seek)
	next := 0
	for i := range segments {
		s := &segments[i]
		s.Words = []Word{}
		for saved := 0; next < len(alignment) && saved < counts[i]; next++ {
			w := alignment[next]
			if w.Text != "" {
				s.Words = append(s.Words, Word{w.Text, hundredths(offset + w.Start), hundredths(offset + w.End), w.Probability})
			}
			saved += len(w.Tokens)
		}
		if len(s.Words) > 0 {
			trimAfterPause(s.Words, median, lastSpeech)
			s.fitWords(median)
			lastSpeech = s.End
		}
	}
}

// medianDuration returns the median duration of the words that have one, in seconds, at most
// maxMedianDuration; 0 where none has.
func medianDuration(alignment []whisper.WordTiming) float64 {
	var ds []float64
	for _, w := range alignment {
		if d := w.End - w.Start; d != 0 {
			ds = append(ds, d)
		}
	}
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	n := len(ds)
	return min(maxMedianDuration, (ds[(n-1)/2]+ds[n/2])/2)
}

// trimSentenceEnds cuts a mark that ends a sentence, and the word behind one, to the longest
// duration that a word may have there: the pause between sentences is part of neither.
func trimSentenceEnds(alignment []whisper.WordTiming, longest float64) {
	if longest == 0 { // no word has a duration
		return
	}
	for i := 1; i < len(alignment); i++ {
		w := &alignment[i]
		switch {
		case w.End-w.Start <= longest:
		case strings.Contains(sentenceEnds, w.Text):
			w.End = w.Start + longest
		case strings.Contains(sentenceEnds, alignment[i-1].Text):
			w.Start = w.End - longest
		}
	}
}

// trimAfterPause cuts the first two words of a segment behind a pause to twice the median duration.
func trimAfterPause(words []Word, median, lastSpeech float64) {
	longest := 2 * median
	first := &words[0]
	if first.End-lastSpeech <= 4*median {
		return
	}
	if first.End-first.Start <= longest && (len(words) < 2 || words[1].End-first.Start <= 2*longest) {
		return
	}
	if len(words) > 1 && words[1].End-words[1].Start > longest {
		second := &words[1]
		boundary := max(second.End/2, second.End-longest)
		first.End, second.Start = boundary, boundary
	}
	first.Start = max(0, first.End-longest)
}

// fitWords makes segment and words begin and end together: at the words', or at the segment's where
// a word there is too long for the decoder's timestamp.
func (s *Segment) fitWords(median float64) {
	first, last := &s.Words[0], &s.Words[len(s.Words)-1]
	if s.Start < first.End && s.Start-maxBoundaryShift > first.Start {
		first.Start = max(0, min(first.End-median, s.Start))
	} else {
		s.Start = first.Start
	}
	if s.End > last.Start && s.End+maxBoundaryShift < last.End {
		last.End = max(last.Start+median, s.End)
	} else {
		s.End = last.End
	}
}

// speechEnd returns where the last word of segments ends, or the last segment where there are no
// words (upstream get_end); !ok where there are no segments.
func speechEnd(segments []Segment) (seconds float64, ok bool) {
	for _, s := range slices.Backward(segments) {
		if n := len(s.Words); n > 0 {
			return s.Words[n-1].End, true
		}
	}
	if n := len(segments); n > 0 {
		return segments[n-1].End, true
	}
	return 0, false
}

// speechStart returns where the first word of segments starts, or the first segment where there are
// no words (upstream get_start); 0 where there are no segments.
func speechStart(segments []Segment) (seconds float64) {
	for _, s := range segments {
		if len(s.Words) > 0 {
			return s.Words[0].Start
		}
	}
	if len(segments) > 0 {
		return segments[0].Start
	}
	return 0
}

// hundredths rounds seconds to 10 ms.
func hundredths(seconds float64) float64 { return math.RoundToEven(seconds*100) / 100 }
