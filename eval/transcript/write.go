package transcript

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"glossa/eval"
)

// Writer writes pairs in one of the formats.
type Writer struct {
	w      io.Writer
	format Format
	role   Role
}

// NewWriter returns a writer of one text of each pair, by its role, or with Results of whole pairs as JSONL. It fails with ErrSyntax where the
// format cannot have what the role asks.
func NewWriter(w io.Writer, f Format, role Role) (*Writer, error) {
	switch f {
	case TRN, CTM, STM, Kaldi, Text:
		if role == Results {
			return nil, fmt.Errorf("%w: format %s has one text for each utterance", ErrSyntax, f)
		}
	case JSONL:
	default:
		return nil, fmt.Errorf("%w: no format %q to write", ErrSyntax, f)
	}
	return &Writer{w, f, role}, nil
}

// Write writes a pair, without buffering.
//
// In trn and kaldi its identifier is ID or else the name of the sound without folder and ending, behind "speaker-" in a trn unless it begins with
// the speaker (see SpeakerOf). In ctm and stm the recording is named so, of channel 1; words of a ctm are spread over the duration (see Spread), which must
// be known. A pair with an Err has no hypothesis and writes nothing but in JSONL. It fails with ErrSyntax on what the format cannot hold.
func (w *Writer) Write(p eval.Pair) error {
	text := p.Reference
	if w.role == Hypothesis {
		text = p.Hypothesis
	}
	if p.Err != "" && w.role == Hypothesis && w.format != JSONL {
		return nil
	}
	id, recording := p.ID, stem(p.Audio)
	if id == "" {
		id = recording
	}
	if p.Audio == "" {
		recording = id
	}
	switch w.format {
	case TRN:
		if p.Speaker != "" && SpeakerOf(id) != p.Speaker {
			id = p.Speaker + "-" + id
		}
		return WriteTRN(w.w, id, text)
	case Kaldi:
		return WriteKaldi(w.w, id, text)
	case STM:
		return WriteSTM(w.w, Record{Pair: eval.Pair{
			Audio: recording, Speaker: p.Speaker, Start: p.Start, Duration: p.Duration, Reference: p.Reference, Hypothesis: p.Hypothesis,
		}}, w.role)
	case CTM:
		if oneLine(text) != "" && !(p.Duration > 0) || math.IsInf(p.Duration, 1) {
			return fmt.Errorf("%w: the duration of %s, which a ctm's words are spread over, is not known", ErrSyntax, id)
		}
		return WriteCTM(w.w, recording, "1", Spread(text, p.Start, p.Duration))
	case Text:
		_, err := fmt.Fprintln(w.w, oneLine(text))
		return err
	}
	return w.writeJSON(p)
}

// writeJSON writes a pair, or one text of it, as a line of JSON.
func (w *Writer) writeJSON(p eval.Pair) error {
	e := json.NewEncoder(w.w)
	e.SetEscapeHTML(false)
	var err error
	switch w.role {
	case Results:
		err = e.Encode(p)
	case Hypothesis:
		err = e.Encode(struct {
			eval.Pair
			Reference any `json:"ref,omitempty"`
		}{Pair: p})
	default:
		p.Err = ""
		err = e.Encode(struct {
			eval.Pair
			Hypothesis any `json:"hyp,omitempty"`
		}{Pair: p})
	}
	return err
}
