package asr

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SubtitleOptions say how the words of a result become subtitles, where it has words. The zero
// value makes a subtitle of each segment.
type SubtitleOptions struct {
	// MaxLineWidth is the greatest number of characters in a line. The default value is 0: any.
	MaxLineWidth int

	// MaxLineCount is the greatest number of lines in a subtitle; with MaxLineWidth, subtitles run
	// on from segment to segment. The default value is 0: any.
	MaxLineCount int

	// MaxWordsPerLine is the greatest number of words in a line. It means nothing where both
	// MaxLineWidth and MaxLineCount are given. The default value is 0: any.
	MaxWordsPerLine int

	// HighlightWords writes each subtitle once for every word, which is underlined. The default
	// value is false.
	HighlightWords bool
}

// Upstream's bounds of a line that has none.
const (
	anyWidth = 1000 // characters
	anyWords = 1000
)

// longPause is the time between the starts of two words, in seconds, that ends a subtitle which
// segments do not end.
const longPause = 3.0

// cue is one subtitle on the screen, in milliseconds.
type cue struct {
	start, end int64
	text       string
}

// cues returns the subtitles of segments (upstream SubtitlesWriter.iterate_result): of their words
// where they have them.
func cues(segments []Segment, o SubtitleOptions) []cue {
	var out []cue
	add := func(start, end int64, text string) {
		out = append(out, cue{start, end, strings.ReplaceAll(text, "-->", "->")}) // no text looks like a timing line
	}
	if len(segments) == 0 || segments[0].Words == nil {
		for _, s := range segments {
			add(cueTime(s.Start), cueTime(s.End), strings.TrimSpace(s.Text))
		}
		return out
	}
	for _, words := range subtitles(segments, o) {
		start, text := cueTime(words[0].Start), joinWords(words)
		if !o.HighlightWords {
			add(start, cueTime(words[len(words)-1].End), text)
			continue
		}
		last := start
		for i, w := range words {
			start, end := cueTime(w.Start), cueTime(w.End)
			if last != start {
				add(last, start, text)
			}
			add(start, end, joinWords(words[:i])+underline(w.Word)+joinWords(words[i+1:]))
			last = end
		}
	}
	return out
}

// cueTime rounds seconds to milliseconds. A word at the very beginning may be timed before it.
func cueTime(seconds float64) int64 { return max(0, milliseconds(seconds)) }

func joinWords(words []Word) string {
	var text strings.Builder
	for _, w := range words {
		text.WriteString(w.Word)
	}
	return text.String()
}

// underline marks a word up, the space before it left out.
func underline(word string) string {
	text := strings.TrimLeftFunc(word, unicode.IsSpace)
	return word[:len(word)-len(text)] + "<u>" + text + "</u>"
}

// subtitles divides the words of segments into subtitles, with a line feed before the words that
// begin a line (upstream iterate_subtitles).
func subtitles(segments []Segment, o SubtitleOptions) [][]Word {
	bySegment := o.MaxLineCount == 0 || o.MaxLineWidth == 0
	width, wordsPerLine := cmp.Or(o.MaxLineWidth, anyWidth), cmp.Or(o.MaxWordsPerLine, anyWords)
	var done [][]Word
	var subtitle []Word
	lineLen, lines := 0, 1 // characters of the last line, and lines, of subtitle
	last := speechStart(segments)
	for _, s := range segments {
		for i, w := range s.Words {
			pause := !bySegment && w.Start-last > longPause
			divided := bySegment && i%wordsPerLine == 0 && len(subtitle) > 0
			n := utf8.RuneCountInString(w.Word)
			if lineLen > 0 && lineLen+n <= width && !pause && !divided {
				lineLen += n
			} else {
				w.Word = strings.TrimSpace(w.Word)
				full := o.MaxLineCount > 0 && (pause || lines >= o.MaxLineCount)
				lineFeed := lineLen > 0
				lineLen = utf8.RuneCountInString(w.Word)
				switch {
				case divided || full && len(subtitle) > 0:
					done = append(done, subtitle)
					subtitle, lines = nil, 1
				case lineFeed:
					lines++
					w.Word = "\n" + w.Word
				}
			}
			subtitle = append(subtitle, w)
			last = w.Start
		}
	}
	if len(subtitle) > 0 {
		done = append(done, subtitle)
	}
	return done
}
