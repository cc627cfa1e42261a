package main

import (
	"testing"

	"github.com/alecthomas/kong"

	"glossa/asr"
)

// TestSubtitleFlags holds the defaults against the engine's, and finds flags that would do nothing.
func TestSubtitleFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		ok   bool
		want *asr.WordOptions
		sub  asr.SubtitleOptions
	}{
		{nil, true, nil, asr.SubtitleOptions{}},
		{[]string{"--word-timestamps"}, true, &asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}, asr.SubtitleOptions{}},
		{[]string{"--word-timestamps", "--prepend-punctuations=", "--append-punctuations=.", "--max-line-width=42", "--max-line-count=2", "--highlight-words"},
			true, &asr.WordOptions{Appended: "."}, asr.SubtitleOptions{MaxLineWidth: 42, MaxLineCount: 2, HighlightWords: true}},
		{[]string{"--word-timestamps", "--max-words-per-line=4"}, true,
			&asr.WordOptions{Prepended: asr.DefaultPrepended, Appended: asr.DefaultAppended}, asr.SubtitleOptions{MaxWordsPerLine: 4}},
		{[]string{"--highlight-words"}, false, nil, asr.SubtitleOptions{}},
		{[]string{"--max-line-width=42"}, false, nil, asr.SubtitleOptions{}},
		{[]string{"--word-timestamps", "--max-line-count=2"}, false, nil, asr.SubtitleOptions{}},
		{[]string{"--word-timestamps", "--max-line-width=-1"}, false, nil, asr.SubtitleOptions{}},
		{[]string{"--word-timestamps", "--max-line-width=9", "--max-line-count=2", "--max-words-per-line=4"}, false, nil, asr.SubtitleOptions{}},
	} {
		var f subtitleFlags
		if _, err := kong.Must(&f).Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if err := f.checkSubtitles(); err != nil || !c.ok {
			if err == nil || c.ok {
				t.Errorf("%q: error %v", c.args, err)
			}
			continue
		}
		words := f.wordOptions()
		if (words == nil) != (c.want == nil) || words != nil && *words != *c.want || f.subtitleOptions() != c.sub {
			t.Errorf("%q: %+v, %+v, want %+v, %+v", c.args, words, f.subtitleOptions(), c.want, c.sub)
		}
	}
}
