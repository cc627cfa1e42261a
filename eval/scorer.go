package eval

import "strings"

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
	Words, Characters Counts // zero where the pair has an Err

	// Ref and Hyp are the words that were aligned by Ops, normalised: a Hit or a Substitution stands for the next word of both, a
	// Deletion for one of Ref, an Insertion for one of Hyp. Of a reference's alternatives Ref holds those that were chosen. A word that
	// may be left out and was is a Hit, as sclite counts it, and Hyp has "" in its place.
	Ref, Hyp []string
	Ops      []Op
}

// Scorer scores pairs. The zero value uses the default normaliser and Levenshtein's distance.
type Scorer struct {
	// Normaliser says what counts as a difference. The default value is nil: DefaultNormaliser.
	Normaliser *Normaliser
	// Costs are those of the alignment of words. The default value is Levenshtein, by which characters are counted in any case.
	Costs Costs
	// Alternatives has references read as NIST's: { a / b c / @ } is any of these, @ nothing, and (a) may be left out (SCTK,
	// doc/infmts.htm). Each stretch of text between the signs is normalised by itself; the signs are not. Of the ways through a
	// reference that which costs the least is taken; by Levenshtein's distance the one of the fewest edits and, among those, the
	// fewest words left out, then the fewest substitutions.
	Alternatives bool
}

// Score returns the outcome of a pair. Its error is ErrAlternatives, where alternatives are not well formed.
func (s Scorer) Score(p Pair) (Outcome, error) {
	if p.Err != "" {
		return Outcome{Pair: p}, nil
	}
	n := s.Normaliser
	if n == nil {
		n = DefaultNormaliser
	}
	hypothesis := n.Normalise(p.Hypothesis, p.Lang)
	hyp := Words(hypothesis, p.Lang)
	if s.Alternatives {
		return s.scoreLattice(p, n, hyp, hypothesis)
	}
	reference := n.Normalise(p.Reference, p.Lang)
	o := Outcome{Pair: p, Ref: Words(reference, p.Lang), Hyp: hyp}
	path := AlignBy(s.Costs, o.Ref, o.Hyp)
	o.Words, o.Ops = path.Counts, path.Ops
	o.Characters = Count(Characters(reference, p.Lang), Characters(hypothesis, p.Lang))
	return o, nil
}

// scoreLattice is Score of a reference with alternatives.
func (s Scorer) scoreLattice(p Pair, n *Normaliser, hyp []string, hypothesis string) (Outcome, error) {
	ref, err := parseAlternatives(p.Reference, func(text string) []string { return Words(n.Normalise(text, p.Lang), p.Lang) })
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{Pair: p, Ref: make([]string, 0, len(ref.arcs)), Hyp: make([]string, 0, len(hyp))}
	said := make([]string, 0, len(ref.arcs)) // without what was left out
	moves := leastMoves(s.Costs, ref.arcs, ref.numbers.numbers(hyp))
	for _, m := range moves {
		o.Ops = append(o.Ops, m.op)
		o.Words.count(m.op)
		if m.op != Insertion {
			word := ref.words[m.arc]
			o.Ref = append(o.Ref, word)
			if m.omitted {
				o.Hyp = append(o.Hyp, "")
				continue
			}
			said = append(said, word)
		}
		if m.op != Deletion {
			o.Hyp, hyp = append(o.Hyp, hyp[0]), hyp[1:]
		}
	}
	o.Characters = Count(Characters(strings.Join(said, " "), p.Lang), Characters(hypothesis, p.Lang))
	return o, nil
}
