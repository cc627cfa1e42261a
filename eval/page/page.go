// Package page writes the report of an evaluation as one HTML file that needs nothing else: no network, no other file. It opens from
// a disk as well as from a server.
//
// The page holds all of the report: its rows, comparisons and confusions, with charts. Of the utterances it holds what there is room for.
// Where they are more than Data.Utterances, or their text is longer than Data.TextBudget, half of the room is for the utterances with the
// most errors, by the worst of their outcomes, and half for a random sample: those whose names have the least hashes, so that equal data give
// equal pages. All outcomes of an utterance are kept or left out together. The counts of the charts are over all utterances.
//
// Sound is embedded for the utterances of the page, those with the most errors first, until Data.SoundBudget is full. The page says what
// was left out, and why.
//
// Whatever a report or an outcome says is text and never markup or script: the page runs one script and one style sheet, which its content
// security policy names by their hashes.
package page

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"

	"glossa/eval"
)

// ErrOnce is the error of outcomes that differ when they are ranged over a second time.
var ErrOnce = errors.New("page: the outcomes are not the same when they are read again")

// Data are what a page shows.
type Data struct {
	Title  string
	Report *eval.Report

	// Outcomes are the utterances, in any order; an error among them ends the writing. They are ranged over twice, first to choose and then to
	// keep what was chosen, and must be the same both times. Outcomes of one ID and language are of one utterance; where there is no ID, those
	// of one piece of an audio file are.
	Outcomes iter.Seq2[eval.Outcome, error]

	// Sound returns the sound of an utterance and its media type, such as "audio/flac". It may be nil, and an error leaves out the sound of
	// that utterance alone.
	Sound func(eval.Outcome) (data []byte, media string, err error)

	// Settings and Tables are what the report does not hold, such as how fast the model was: the first stand with its own settings, the second
	// behind its results.
	Settings []Setting
	Tables   []Table

	// Utterances is the most utterances in the page. The default value is 10000.
	Utterances int
	// TextBudget is about the most bytes of the utterances' texts. The default value is 16 MiB.
	TextBudget int
	// SoundBudget is the most bytes of sound; they take a third more in the page. The default value is 16 MiB; a negative one is for none.
	SoundBudget int
	// Confidence is that of the intervals in the report. The default value is 0.95.
	Confidence float64
}

// Setting is a term and what it is.
type Setting struct{ Name, Value string }

// Table is a table with a title, and what is to be said of it, or "".
type Table struct {
	Title, Note string
	eval.Table
}

// Write writes the page. Besides the outcomes and the sound that the page has room for it keeps nothing in memory.
func Write(w io.Writer, d Data) error {
	if d.Report == nil {
		return errors.New("page: no report")
	}
	d.Utterances = cmp.Or(max(d.Utterances, 0), 10_000)
	d.TextBudget = cmp.Or(max(d.TextBudget, 0), 16<<20)
	d.SoundBudget = cmp.Or(d.SoundBudget, 16<<20)
	d.Confidence = cmp.Or(d.Confidence, 0.95)
	if d.Outcomes == nil {
		d.Outcomes = func(func(eval.Outcome, error) bool) {}
	}

	c := newChoice(d.Utterances, d.TextBudget)
	var h histogram
	for o, err := range d.Outcomes {
		if err != nil {
			return fmt.Errorf("page: %w", err)
		}
		c.add(o)
		h.add(o)
	}
	kept, err := c.collect(d.Outcomes)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	clips := embed(kept, d)

	out := bufio.NewWriter(w)
	if err := writeDocument(out, d, &h, kept, clips); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}
