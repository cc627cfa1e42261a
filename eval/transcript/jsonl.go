package transcript

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"glossa/eval"
)

// jsonParser reads objects, one a line: results of glossa eval, manifests of NeMo with or without pred_text, and what other programs write
// by the names in jsonLine. Fields of other names are skipped.
type jsonParser struct{ role Role }

// jsonLine has the fields of a line. Of several names of one thing the first that is there counts.
type jsonLine struct {
	ID          jsonName `json:"id"`
	UttID       jsonName `json:"utt_id"`
	UtteranceID jsonName `json:"utterance_id"`
	Key         jsonName `json:"key"` // WeNet

	AudioFilepath jsonName `json:"audio_filepath"` // NeMo, and ours
	AudioPath     jsonName `json:"audio_path"`
	Audio         jsonName `json:"audio"` // of the Hugging Face hub, also as {"path": …}
	Wav           jsonName `json:"wav"`

	Ref           jsonText `json:"ref"`
	Reference     jsonText `json:"reference"`
	Text          jsonText `json:"text"`
	Sentence      jsonText `json:"sentence"` // Common Voice
	Transcription jsonText `json:"transcription"`
	Transcript    jsonText `json:"transcript"`
	Txt           jsonText `json:"txt"` // WeNet

	Hyp        jsonText `json:"hyp"`
	Hypothesis jsonText `json:"hypothesis"`
	PredText   jsonText `json:"pred_text"` // NeMo
	Prediction jsonText `json:"prediction"`
	Predicted  jsonText `json:"predicted"`

	Lang      jsonName `json:"lang"`
	Language  jsonName `json:"language"`
	Locale    jsonName `json:"locale"`
	Detected  jsonName `json:"detected"`
	Adapter   jsonName `json:"adapter"`
	Speaker   jsonName `json:"speaker"`
	SpeakerID jsonName `json:"speaker_id"`
	ClientID  jsonName `json:"client_id"`

	Start    float64 `json:"start"`
	Offset   float64 `json:"offset"` // NeMo
	Duration float64 `json:"duration"`
	Latency  float64 `json:"latency"`
	Error    string  `json:"error"`
}

// jsonName is a string or a number, or an object with a path.
type jsonName string

// UnmarshalJSON takes what names things.
func (n *jsonName) UnmarshalJSON(data []byte) error {
	var s string
	switch {
	case data[0] == '"':
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
	case data[0] == '{':
		var o struct {
			Path string `json:"path"`
		}
		if err := json.Unmarshal(data, &o); err != nil {
			return err
		}
		s = o.Path
	case data[0] == '[' || data[0] == 't' || data[0] == 'f':
		return fmt.Errorf("%.40s is no name", data)
	case data[0] != 'n': // null
		s = string(data)
	}
	*n = jsonName(s)
	return nil
}

// jsonText is a text that may be missing.
type jsonText struct {
	text string
	is   bool
}

// UnmarshalJSON takes a string, and null for none.
func (t *jsonText) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	t.is = true
	return json.Unmarshal(data, &t.text)
}

func (p jsonParser) next(l *lines) (*Record, error) {
	line, err := l.nextEntry()
	if err != nil {
		return nil, err
	}
	if line[0] != '{' || line == "{" {
		return nil, l.fail("not a JSON object in one line; jq -c makes one line of each object, and jq -c '.[]' of each in an array")
	}
	var j jsonLine
	if err := json.Unmarshal([]byte(line), &j); err != nil {
		return nil, l.fail("%v", err)
	}
	r := &Record{Place: l.place(), Pair: j.pair()}
	if err := checkTimes(r.Start, r.Duration, r.Latency); err != nil {
		return nil, l.place().wrap(err)
	}
	return r, p.take(l, r, &j)
}

// take sets the texts of a record.
func (p jsonParser) take(l *lines, r *Record, j *jsonLine) error {
	references := []jsonText{j.Ref, j.Reference, j.Text, j.Sentence, j.Transcription, j.Transcript, j.Txt}
	hypotheses := []jsonText{j.Hyp, j.Hypothesis, j.PredText, j.Prediction, j.Predicted}
	if p.role == Hypothesis {
		hypotheses = append(hypotheses, j.Transcription, j.Transcript, j.Text, j.Txt)
	}
	reference, hypothesis := firstText(references), firstText(hypotheses)
	if p.role != Hypothesis {
		if !reference.is {
			return l.fail("no reference: none of ref, reference, text, sentence, transcription, transcript, txt")
		}
		r.Reference = reference.text
	}
	if p.role == Reference {
		r.Err = "" // of a system that is not asked after
		return nil
	}
	if !hypothesis.is && r.Err == "" {
		if p.role == Results {
			return l.fail("no hypothesis beside the reference: none of hyp, hypothesis, pred_text, prediction, predicted")
		}
		return l.fail("no hypothesis: none of hyp, hypothesis, pred_text, prediction, predicted, transcription, transcript, text, txt")
	}
	r.Hypothesis = hypothesis.text
	return nil
}

// pair returns all of a line but its texts.
func (j *jsonLine) pair() eval.Pair {
	start := j.Start
	if start == 0 {
		start = j.Offset
	}
	return eval.Pair{
		ID:    firstName(j.ID, j.UttID, j.UtteranceID, j.Key),
		Audio: firstName(j.AudioFilepath, j.AudioPath, j.Audio, j.Wav), Start: start, Duration: j.Duration,
		Lang: firstName(j.Lang, j.Language, j.Locale), Detected: string(j.Detected), Adapter: string(j.Adapter),
		Speaker: firstName(j.Speaker, j.SpeakerID, j.ClientID), Latency: j.Latency, Err: j.Error,
	}
}

// firstName returns the first name that is not empty.
func firstName(names ...jsonName) string {
	for _, n := range names {
		if n != "" {
			return string(n)
		}
	}
	return ""
}

// firstText returns the first text that is there.
func firstText(texts []jsonText) jsonText {
	for _, t := range texts {
		if t.is {
			return t
		}
	}
	return jsonText{}
}

// stem returns the name of a sound file without its folder and ending.
func stem(audio string) string {
	base := path.Base(strings.ReplaceAll(audio, `\`, "/"))
	return strings.TrimSuffix(base, path.Ext(base))
}

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
