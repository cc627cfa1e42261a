// Package page writes the report of an evaluation as one HTML file that needs nothing else: no network, no other file.
package page

import (
	"errors"
	"io"
	"iter"

	"glossa/eval"
)

// Data are what a page shows.
type Data struct {
	Title  string
	Report *eval.Report

	// Outcomes are the utterances, in any order; an error among them ends the writing.
	Outcomes iter.Seq2[eval.Outcome, error]

	// Sound returns the sound of an utterance and its media type, such as "audio/flac". It may be nil, and an error leaves out the sound of
	// that utterance alone.
	Sound func(eval.Outcome) (data []byte, media string, err error)
}

// Write writes the page. Of utterances and sound it holds no more than there is room for: see the package comment.
func Write(w io.Writer, d Data) error { return errors.ErrUnsupported }
