package jobs

import (
	"encoding/json"
	"fmt"
	"math"

	"glossa/asr"
)

// What follows are types of package asr as JSON, in which their numbers survive that JSON does not have: "NaN", "Infinity" and "-Infinity"
// are texts, as in protobuf's JSON (ProtoJSON, "double").

// number is a float64 that survives.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	switch x := float64(n); {
	case math.IsNaN(x):
		return []byte(`"NaN"`), nil
	case math.IsInf(x, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(x, -1):
		return []byte(`"-Infinity"`), nil
	default:
		return json.Marshal(x)
	}
}

func (n *number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case `"NaN"`:
		*n = number(math.NaN())
	case `"Infinity"`:
		*n = number(math.Inf(1))
	case `"-Infinity"`:
		*n = number(math.Inf(-1))
	default:
		return json.Unmarshal(b, (*float64)(n))
	}
	return nil
}

type wireWord struct {
	Word        string `json:"word"`
	Start       number `json:"start"`
	End         number `json:"end"`
	Probability number `json:"probability"`
}

type wireSegment struct {
	ID               int        `json:"id"`
	Seek             int        `json:"seek"`
	Start            number     `json:"start"`
	End              number     `json:"end"`
	Text             string     `json:"text"`
	Tokens           []int32    `json:"tokens"`
	Temperature      number     `json:"temperature"`
	AvgLogProb       number     `json:"avg_logprob"`
	CompressionRatio number     `json:"compression_ratio"`
	NoSpeechProb     number     `json:"no_speech_prob"`
	Words            []wireWord `json:"words,omitzero"`
	Language         string     `json:"language,omitempty"`
	Adapter          string     `json:"adapter,omitempty"`
}

type wireResult struct {
	Text         string        `json:"text"`
	Segments     []wireSegment `json:"segments"`
	Language     string        `json:"language"`
	LanguageProb number        `json:"language_probability,omitempty"`
	Adapter      string        `json:"adapter,omitempty"`
	AdapterHash  string        `json:"adapter_hash,omitempty"`
	Duration     number        `json:"duration"`
}

type wireCheckpoint struct {
	Done     number        `json:"done"`
	Segments []wireSegment `json:"segments,omitempty"`
	State    []byte        `json:"state,omitempty"`
}

// wireEvent is an asr.JobEvent on subject asr.events.JOB, and of a callback.
type wireEvent struct {
	Job      asr.Job       `json:"job"`
	Segments []wireSegment `json:"segments,omitempty"`
}

// each returns what f makes of the elements of a slice, nil of nil.
func each[A, B any](of []A, f func(A) B) []B {
	if of == nil {
		return nil
	}
	to := make([]B, len(of))
	for i, x := range of {
		to[i] = f(x)
	}
	return to
}

func toWireSegment(s asr.Segment) wireSegment {
	return wireSegment{ID: s.ID, Seek: s.Seek, Start: number(s.Start), End: number(s.End), Text: s.Text, Tokens: s.Tokens,
		Temperature: number(s.Temperature), AvgLogProb: number(s.AvgLogProb), CompressionRatio: number(s.CompressionRatio),
		NoSpeechProb: number(s.NoSpeechProb), Language: s.Language, Adapter: s.Adapter, Words: each(s.Words, func(w asr.Word) wireWord {
			return wireWord{Word: w.Word, Start: number(w.Start), End: number(w.End), Probability: number(w.Probability)}
		})}
}

func (s wireSegment) segment() asr.Segment {
	return asr.Segment{ID: s.ID, Seek: s.Seek, Start: float64(s.Start), End: float64(s.End), Text: s.Text, Tokens: s.Tokens,
		Temperature: float64(s.Temperature), AvgLogProb: float64(s.AvgLogProb), CompressionRatio: float64(s.CompressionRatio),
		NoSpeechProb: float64(s.NoSpeechProb), Language: s.Language, Adapter: s.Adapter, Words: each(s.Words, func(w wireWord) asr.Word {
			return asr.Word{Word: w.Word, Start: float64(w.Start), End: float64(w.End), Probability: float64(w.Probability)}
		})}
}

func toWireResult(r *asr.Result) wireResult {
	return wireResult{Text: r.Text, Segments: each(r.Segments, toWireSegment), Language: r.Language, LanguageProb: number(r.LanguageProb),
		Adapter: r.Adapter, AdapterHash: r.AdapterHash, Duration: number(r.Duration)}
}

func (r wireResult) result() *asr.Result {
	return &asr.Result{Text: r.Text, Segments: each(r.Segments, wireSegment.segment), Language: r.Language, LanguageProb: float64(r.LanguageProb),
		Adapter: r.Adapter, AdapterHash: r.AdapterHash, Duration: float64(r.Duration)}
}

func encodeCheckpoint(c asr.Checkpoint) ([]byte, error) {
	b, err := json.Marshal(wireCheckpoint{Done: number(c.Done), Segments: each(c.Segments, toWireSegment), State: c.State})
	if err != nil {
		return nil, fmt.Errorf("%w: a checkpoint: %w", asr.ErrInternal, err)
	}
	return b, nil
}

func decodeCheckpoint(b []byte) (asr.Checkpoint, error) {
	var w wireCheckpoint
	if err := json.Unmarshal(b, &w); err != nil {
		return asr.Checkpoint{}, fmt.Errorf("%w: a checkpoint: %w", asr.ErrInternal, err)
	}
	return asr.Checkpoint{Done: float64(w.Done), Segments: each(w.Segments, wireSegment.segment), State: w.State}, nil
}

func encodeEvent(e asr.JobEvent) ([]byte, error) {
	return json.Marshal(wireEvent{Job: e.Job, Segments: each(e.Segments, toWireSegment)})
}

func decodeEvent(b []byte) (asr.JobEvent, error) {
	var w wireEvent
	err := json.Unmarshal(b, &w)
	return asr.JobEvent{Job: w.Job, Segments: each(w.Segments, wireSegment.segment)}, err
}
