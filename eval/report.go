package eval

import (
	"encoding/json"
	"fmt"
)

// Numbers are those of a number of utterances as they are reported. Rates are fractions; a pointer is nil, JSON's null, where a number
// is not known.
type Numbers struct {
	Utterances int `json:"utterances"`
	Failed     int `json:"failed,omitempty"` // utterances without a hypothesis, which count in nothing else
	Words      int `json:"words"`            // of the references

	Hits          int `json:"hits"`
	Substitutions int `json:"substitutions"`
	Deletions     int `json:"deletions"`
	Insertions    int `json:"insertions"`

	WER float64 `json:"wer"`
	CER float64 `json:"cer"`
	MER float64 `json:"mer"`
	WIL float64 `json:"wil"`
	WIP float64 `json:"wip"`

	WERInterval *[2]float64 `json:"wer_interval,omitempty"` // of Bootstrap.Confidence; nil where there are no two groups to draw
	CERInterval *[2]float64 `json:"cer_interval,omitempty"`
	Groups      int         `json:"groups,omitempty"` // speakers, recordings or utterances, or blocks of them, that were drawn

	Sound   float64  `json:"sound_seconds,omitempty"`
	Latency *Latency `json:"latency,omitempty"`
	// InsertedPerMinute is what was heard where nothing is said: words inserted a minute of sound, over utterances with an empty reference
	// and a known duration, of SilentSound seconds together.
	InsertedPerMinute *float64 `json:"inserted_words_per_minute,omitempty"`
	SilentSound       float64  `json:"silent_seconds,omitempty"`
}

// Latency are percentiles of the seconds from question to answer.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Row is the numbers of one system on the utterances of one language.
type Row struct {
	Lang    string  `json:"lang"`
	Adapter *string `json:"adapter"` // nil, JSON's null, for the base model
	Numbers
	// OverBase compares an adapter with the base model on the utterances that both have an outcome of.
	OverBase *Comparison `json:"over_base,omitempty"`
}

// Comparison is how a system differs from another on the same utterances. Differences are of the base less the system: positive where the
// system is better.
type Comparison struct {
	Lang       string `json:"lang"` // "" for all
	Base       string `json:"base"` // names the systems
	System     string `json:"system"`
	Adapter    string `json:"adapter,omitempty"`  // of the system, where rows of one adapter are compared
	Utterances int    `json:"utterances"`         // that both systems have an outcome of
	Unpaired   int    `json:"unpaired,omitempty"` // that one system alone has, or that have another reference there
	Groups     int    `json:"groups,omitempty"`   // speakers, recordings or utterances, or blocks of them, that were drawn

	BaseWER     float64    `json:"base_wer"`
	SystemWER   float64    `json:"system_wer"`
	WER         float64    `json:"wer_difference"`
	Interval    [2]float64 `json:"interval"` // of WER; zeros where Groups is 1: there are no two to draw
	BaseCER     float64    `json:"base_cer"`
	SystemCER   float64    `json:"system_cer"`
	CER         float64    `json:"cer_difference"`
	CERInterval [2]float64 `json:"cer_interval"`
	// Improvement is the share of resamples in which the system has the lower word error rate (Bisani and Ney 2004).
	Improvement float64 `json:"probability_of_improvement"`

	// MAPSSWE is the two-sided p-value of the matched-pairs test of sentence segments (Gillick and Cox 1989; NIST's sc_stats -t mapsswe),
	// nil where it has none (see MAPSSWE.Z).
	MAPSSWE  *float64 `json:"mapsswe_p,omitempty"`
	Segments int      `json:"mapsswe_segments,omitempty"`
	// Holm is MAPSSWE adjusted for the number of comparisons that were made together, one for each language and adapter (Holm 1979). The
	// comparison of all has none.
	Holm *float64 `json:"mapsswe_p_holm,omitempty"`
}

// Confusion is a pair of words that was taken for one another, or a word that was left out (Hyp "") or put in (Ref "").
type Confusion struct {
	Lang  string `json:"lang"`
	Ref   string `json:"ref"`
	Hyp   string `json:"hyp"`
	Count int    `json:"count"` // at least, and exactly where there were no more distinct pairs than a Summary holds
}

// Report is the outcome of an evaluation.
type Report struct {
	Normaliser  string       `json:"normaliser,omitempty"` // name and version
	Alignment   string       `json:"alignment,omitempty"`  // "levenshtein" or "sclite"
	Resampling  string       `json:"resampling,omitempty"` // how intervals were made
	Rows        []Row        `json:"rows"`
	Total       Numbers      `json:"total"`
	Comparisons []Comparison `json:"comparisons,omitempty"`
	Confusions  []Confusion  `json:"confusions,omitempty"`
	Classes     []ClassRow   `json:"classes,omitempty"`
}

// AllOverBase returns the comparison of all adapters together with the base model, which is one of r.Comparisons; nil where there is none.
func (r *Report) AllOverBase() *Comparison {
	for i := range r.Comparisons {
		if c := &r.Comparisons[i]; c.Lang == "" && c.Base == baseName && c.System == adaptersName {
			return c
		}
	}
	return nil
}

// numbers returns the numbers of a score.
func numbers(s Score) Numbers {
	w := s.Words
	return Numbers{
		Utterances: s.Utterances, Words: w.Reference(), WER: s.WER(), CER: s.CER(),
		MER: w.MatchErrorRate(), WIL: w.InformationLost(), WIP: w.InformationPreserved(),
		Hits: w.Hits, Substitutions: w.Substitutions, Deletions: w.Deletions, Insertions: w.Insertions,
	}
}

// JSON returns the report as one indented object, {"rows": […], "total": {…}}, with a newline at its end.
func (r *Report) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("eval: report: %w", err) // a rate that is not finite
	}
	return append(out, '\n'), nil
}
