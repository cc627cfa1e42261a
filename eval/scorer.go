package eval

// Pair is what was said in one utterance, and what one system recognised in it. As JSON it is a line of a file of results.
type Pair struct {
	ID       string  `json:"id,omitempty"`       // names the utterance within its test set
	Lang     string  `json:"lang,omitempty"`     // language tag such as "cs"; "" for unknown
	Detected string  `json:"detected,omitempty"` // the language that the system took it for, where it was asked
	Adapter  string  `json:"adapter,omitempty"`  // "" for the base model
	Speaker  string  `json:"speaker,omitempty"`  // who speaks, or the recording that the utterance is of: what Bootstrap draws as a whole
	Audio    string  `json:"audio_filepath,omitempty"`
	Start    float64 `json:"start,omitempty"`    // seconds into the file
	Duration float64 `json:"duration,omitempty"` // seconds of sound; 0 for unknown
	Latency  float64 `json:"latency,omitempty"`  // seconds from the question to the answer; 0 for unknown

	Reference  string `json:"ref"`             // as written; "" where nothing is said
	Hypothesis string `json:"hyp"`             // as written
	Err        string `json:"error,omitempty"` // why there is no hypothesis; such a pair counts in no rate
}

// Outcome is a scored Pair.
type Outcome struct {
	Pair
	Words, Characters Counts

	// Ref and Hyp are the words that were aligned by Ops, normalised. Of a reference's alternatives Ref holds those that were chosen.
	Ref, Hyp []string
	Ops      []Op
}

// Scorer scores pairs. The zero value uses the default normaliser and Levenshtein's distance.
type Scorer struct {
	// Normaliser says what counts as a difference. The default value is nil: DefaultNormaliser.
	Normaliser *Normaliser
	// Costs are those of the alignment. The default value is Levenshtein.
	Costs Costs
	// Alternatives has references read as NIST's: { a / b c / @ } is any of these, @ nothing, and (a) may be left out.
	Alternatives bool
}

// Score returns the outcome of a pair. It fails where alternatives are not well formed.
func (s Scorer) Score(p Pair) (Outcome, error) {
	n := s.Normaliser
	if n == nil {
		n = DefaultNormaliser
	}
	reference, hypothesis := n.Normalise(p.Reference, p.Lang), n.Normalise(p.Hypothesis, p.Lang)
	o := Outcome{Pair: p, Ref: Words(reference, p.Lang), Hyp: Words(hypothesis, p.Lang)}
	path := Align(o.Ref, o.Hyp)
	o.Words, o.Ops = path.Counts, path.Ops
	o.Characters = Count(Characters(reference, p.Lang), Characters(hypothesis, p.Lang))
	return o, nil
}

// Costs say which alignment is the best.
type Costs uint8

// The costs of alignments.
const (
	// Levenshtein counts every edit as one: the fewest edits and, among those, the fewest substitutions (see Align).
	Levenshtein Costs = iota
	// Sclite weighs a substitution 4, a deletion 3 and an insertion 3, as NIST's sclite does.
	Sclite
)

// Normaliser says what counts as a difference of texts. Its name and version stand in every report.
type Normaliser struct {
	Name    string // such as "glossa"
	Version string // changes with the rules

	normalise func(text, lang string) string
}

// DefaultNormaliser is Normalise.
var DefaultNormaliser = &Normaliser{Name: "glossa", Version: "1", normalise: Normalise}

// Normalise returns text reduced to what is heard. lang is a language tag; "" and unknown tags have no rules of their own.
func (n *Normaliser) Normalise(text, lang string) string { return n.normalise(text, lang) }
