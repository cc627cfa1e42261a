package asr

import (
	"slices"
	"strings"
	"testing"
)

// timed returns a segment of words that follow each other, each of the given seconds.
func timed(start, each float64, words ...string) Segment {
	s := Segment{Start: start, Text: strings.Join(words, ""), Words: []Word{}}
	for _, w := range words {
		s.Words = append(s.Words, Word{Word: w, Start: start, End: start + each, Probability: 1})
		start += each
	}
	s.End = start
	return s
}

func TestCuesOfWords(t *testing.T) {
	segments := []Segment{
		timed(0, 1, " One", " two", " three."),
		timed(3, 1, " Four", " fünf"),
		timed(3, 1), // nothing was aligned
		timed(10, 1, " six"),
	}
	for _, c := range []struct {
		name string
		o    SubtitleOptions
		want []cue
	}{
		{"a subtitle for each segment", SubtitleOptions{},
			[]cue{{0, 3000, "One two three."}, {3000, 5000, "Four fünf"}, {10000, 11000, "six"}}},
		{"a width alone breaks lines", SubtitleOptions{MaxLineWidth: 9},
			[]cue{{0, 3000, "One two\nthree."}, {3000, 5000, "Four fünf"}, {10000, 11000, "six"}}},
		{"a width counts characters", SubtitleOptions{MaxLineWidth: 8},
			[]cue{{0, 3000, "One two\nthree."}, {3000, 5000, "Four\nfünf"}, {10000, 11000, "six"}}},
		{"width and lines run over segments, not over pauses", SubtitleOptions{MaxLineWidth: 11, MaxLineCount: 2},
			[]cue{{0, 4000, "One two\nthree. Four"}, {4000, 5000, "fünf"}, {10000, 11000, "six"}}},
		{"one line each", SubtitleOptions{MaxLineWidth: 11, MaxLineCount: 1},
			[]cue{{0, 2000, "One two"}, {2000, 4000, "three. Four"}, {4000, 5000, "fünf"}, {10000, 11000, "six"}}},
		{"a count without a width does nothing", SubtitleOptions{MaxLineCount: 1},
			[]cue{{0, 3000, "One two three."}, {3000, 5000, "Four fünf"}, {10000, 11000, "six"}}},
		{"words", SubtitleOptions{MaxWordsPerLine: 2},
			[]cue{{0, 2000, "One two"}, {2000, 3000, "three."}, {3000, 5000, "Four fünf"}, {10000, 11000, "six"}}},
		{"highlights", SubtitleOptions{HighlightWords: true, MaxWordsPerLine: 2},
			[]cue{{0, 1000, "<u>One</u> two"}, {1000, 2000, "One <u>two</u>"}, {2000, 3000, "<u>three.</u>"},
				{3000, 4000, "<u>Four</u> fünf"}, {4000, 5000, "Four <u>fünf</u>"}, {10000, 11000, "<u>six</u>"}}},
	} {
		if got := cues(segments, c.o); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestHighlightsFillGaps: a gap between two words is a subtitle without a highlight, and a line feed
// is not underlined.
func TestHighlightsFillGaps(t *testing.T) {
	s := Segment{Words: []Word{{Word: " a", End: 1}, {Word: " b", Start: 1.5, End: 2}}}
	got := cues([]Segment{s}, SubtitleOptions{HighlightWords: true, MaxLineWidth: 1})
	want := []cue{{0, 1000, "<u>a</u>\nb"}, {1000, 1500, "a\nb"}, {1500, 2000, "a\n<u>b</u>"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestCuesAreSafe: no text ends its cue, and none begins before the recording.
func TestCuesAreSafe(t *testing.T) {
	got := cues([]Segment{{Words: []Word{{Word: " --", Start: -0.02, End: -0.02}, {Word: ">", Start: -0.02, End: 1}}}}, SubtitleOptions{})
	if want := []cue{{0, 1000, "->"}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
