package main

import (
	"errors"

	"glossa/asr"
)

// subtitleFlags say whether words are timed, and how they are laid out in subtitles.
type subtitleFlags struct {
	WordTimestamps                bool    `group:"Words" help:"Find the time of each word, for json, and for srt and vtt by word."`
	PrependPunctuations           string  `group:"Words" default:"\"'“¿([{-" placeholder:"MARKS" help:"Punctuation that belongs to the word behind it. (${default})"`
	AppendPunctuations            string  `group:"Words" default:"\"'.。,，!！?？:：”)]}、" placeholder:"MARKS" help:"Punctuation that belongs to the word before it. (${default})"`
	HallucinationSilenceThreshold float64 `group:"Words" placeholder:"SECONDS" help:"Pass over silence longer than this around what may be a hallucination; needs --word-timestamps."`
	MaxLineWidth                  int     `group:"Words" placeholder:"N" help:"The greatest number of characters in a line of a subtitle; needs --word-timestamps."`
	MaxLineCount                  int     `group:"Words" placeholder:"N" help:"The greatest number of lines in a subtitle; needs --max-line-width."`
	MaxWordsPerLine               int     `group:"Words" placeholder:"N" help:"The greatest number of words in a subtitle; needs --word-timestamps."`
	HighlightWords                bool    `group:"Words" help:"Underline each word as it is spoken; needs --word-timestamps."`
}

// wordOptions returns what the engine is asked for, nil where words are not timed.
func (f *subtitleFlags) wordOptions() *asr.WordOptions {
	if !f.WordTimestamps {
		return nil
	}
	return &asr.WordOptions{Prepended: f.PrependPunctuations, Appended: f.AppendPunctuations, SilenceThreshold: f.HallucinationSilenceThreshold}
}

func (f *subtitleFlags) subtitleOptions() asr.SubtitleOptions {
	return asr.SubtitleOptions{
		MaxLineWidth: f.MaxLineWidth, MaxLineCount: f.MaxLineCount,
		MaxWordsPerLine: f.MaxWordsPerLine, HighlightWords: f.HighlightWords,
	}
}

// checkSubtitles finds flags that would do nothing.
func (f *subtitleFlags) checkSubtitles() error {
	switch o := f.subtitleOptions(); {
	case f.HallucinationSilenceThreshold != 0 && !f.WordTimestamps:
		return errors.New("--hallucination-silence-threshold needs --word-timestamps")
	case o.MaxLineWidth < 0 || o.MaxLineCount < 0 || o.MaxWordsPerLine < 0:
		return errors.New("--max-line-width, --max-line-count and --max-words-per-line must not be negative")
	case o != asr.SubtitleOptions{} && !f.WordTimestamps:
		return errors.New("--max-line-width, --max-line-count, --max-words-per-line and --highlight-words need --word-timestamps")
	case o.MaxLineCount > 0 && o.MaxLineWidth == 0:
		return errors.New("--max-line-count needs --max-line-width")
	case o.MaxWordsPerLine > 0 && o.MaxLineWidth > 0 && o.MaxLineCount > 0:
		return errors.New("--max-words-per-line does nothing beside --max-line-width and --max-line-count")
	}
	return nil
}
