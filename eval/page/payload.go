package page

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"slices"

	"glossa/eval"
)

// entry is an utterance as the page's script reads it. Rates are computed there, from the steps of the alignment.
type entry struct {
	ID      string   `json:"id,omitempty"`
	Lang    string   `json:"lang,omitempty"`
	Speaker string   `json:"speaker,omitempty"`
	Audio   string   `json:"audio,omitempty"`
	Start   float64  `json:"start,omitempty"`
	Length  float64  `json:"duration,omitempty"`
	Ref     string   `json:"ref"`   // as written
	Words   []string `json:"words"` // of the reference, normalised
	Systems []system `json:"systems"`
	Clip    bool     `json:"clip,omitempty"` // whether there is an element of sound for it
}

// system is an outcome of an utterance.
type system struct {
	Adapter    string   `json:"adapter,omitempty"`
	Hyp        string   `json:"hyp"`           // as written
	Words      []string `json:"words"`         // of the hypothesis, normalised
	Ref        []string `json:"ref,omitempty"` // of the reference, where they are not the utterance's: other alternatives were chosen
	Ops        string   `json:"ops"`           // the steps, by the letters of sclite: C, S, D, I
	Characters [4]int   `json:"characters"`    // hits, substitutions, deletions, insertions
	Latency    float64  `json:"latency,omitempty"`
	Detected   string   `json:"detected,omitempty"`
	Err        string   `json:"error,omitempty"`
}

// entryOf returns the entry of an utterance. Where its outcomes are of several references, that of the first with a hypothesis is shown.
func entryOf(u *utterance, sounds bool) entry {
	first := u.outcomes[max(0, slices.IndexFunc(u.outcomes, func(o eval.Outcome) bool { return o.Err == "" }))]
	e := entry{
		ID: first.ID, Lang: first.Lang, Speaker: first.Speaker, Audio: first.Audio, Start: finite(first.Start), Length: finite(first.Duration),
		Ref: first.Reference, Words: none(first.Ref), Clip: sounds,
	}
	for _, o := range u.outcomes {
		s := system{Adapter: o.Adapter, Hyp: o.Hypothesis, Words: none(o.Hyp), Latency: finite(o.Latency), Detected: o.Detected, Err: o.Err}
		if o.Err == "" && !slices.Equal(o.Ref, first.Ref) {
			s.Ref = none(o.Ref)
		}
		c := o.Characters
		s.Characters = [4]int{c.Hits, c.Substitutions, c.Deletions, c.Insertions}
		ops := make([]byte, len(o.Ops))
		for i, op := range o.Ops {
			ops[i] = op.String()[0]
		}
		s.Ops = string(ops)
		e.Systems = append(e.Systems, s)
	}
	slices.SortStableFunc(e.Systems, func(a, b system) int { return rank(a) - rank(b) })
	return e
}

// rank puts the base model before its adapters.
func rank(s system) int {
	if s.Adapter == "" {
		return 0
	}
	return 1
}

// none is words, or no words: JSON's null is neither.
func none(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

// finite is x, or 0 where JSON has no number for it.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// writePayload writes the utterances and their sound as elements of data, which no browser runs. Within the JSON, less-than signs, ampersands
// and the line separators of Unicode are escaped.
func writePayload(w io.Writer, s *selection, sounds sound) error {
	if _, err := io.WriteString(w, "<script type=\"application/json\" id=\"utterances-data\">[\n"); err != nil {
		return err
	}
	for i, u := range s.utterances {
		_, heard := sounds.clips[u]
		line, err := json.Marshal(entryOf(u, heard))
		if err != nil {
			return err
		}
		if i > 0 {
			line = append([]byte(",\n"), line...)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, "\n]</script>\n"); err != nil {
		return err
	}
	for i, u := range s.utterances {
		if c, ok := sounds.clips[u]; ok {
			if err := writeClip(w, i, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeClip writes the sound of utterance number i in base64.
func writeClip(w io.Writer, i int, c clip) error {
	_, err := fmt.Fprintf(w, `<script type="text/plain" id="clip-%d" data-media="%s">`, i, html.EscapeString(c.media))
	if err != nil {
		return err
	}
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := encoder.Write(c.data); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, err = io.WriteString(w, "</script>\n")
	return err
}
