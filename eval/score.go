package eval

// Counts are the outcomes of aligning a hypothesis to a reference, in words or in characters.
type Counts struct {
	Hits, Substitutions, Deletions, Insertions int
}

// Reference returns H + S + D, the number of units in the reference.
func (c Counts) Reference() int { return c.Hits + c.Substitutions + c.Deletions }

// Hypothesis returns H + S + I, the number of units in the hypothesis.
func (c Counts) Hypothesis() int { return c.Hits + c.Substitutions + c.Insertions }

// Edits returns S + D + I, the number of errors.
func (c Counts) Edits() int { return c.Substitutions + c.Deletions + c.Insertions }

// ErrorRate returns (S + D + I) / (H + S + D), the error rate as a fraction (Morris, Maier and Green 2004, "From WER and
// RIL to MER and WIL"; the Err of NIST's sclite; jiwer's wer). It exceeds 1 where there are more insertions than hits.
//
// The quotient has no value for an empty reference, and jiwer refuses one. Speech recognition must answer for silence, though, so the
// divisor is then 1: nothing heard in silence is 0, n words heard in it are n. The rate thus stays finite and grows with each error.
func (c Counts) ErrorRate() float64 {
	return float64(c.Edits()) / float64(max(1, c.Reference()))
}

// MatchErrorRate returns (S + D + I) / (H + S + D + I), the share of an alignment's steps that are errors, in [0, 1]; 0 where there is no
// step (Morris, Maier and Green 2004, equation 5).
func (c Counts) MatchErrorRate() float64 {
	return float64(c.Edits()) / float64(max(1, c.Hits+c.Edits()))
}

// InformationPreserved returns H/N1 · H/N2, of the lengths of the two texts: the approximation of the relative word information preserved
// (Morris, Maier and Green 2004, equation 8). It is 1 where both texts are empty, 0 where one is.
func (c Counts) InformationPreserved() float64 {
	if c.Hits+c.Edits() == 0 {
		return 1
	}
	h := float64(c.Hits)
	return h / float64(max(1, c.Reference())) * h / float64(max(1, c.Hypothesis()))
}

// InformationLost returns 1 - InformationPreserved, the word information lost.
func (c Counts) InformationLost() float64 { return 1 - c.InformationPreserved() }

// Plus returns the sum of two counts. Its rate is that of both texts in one: long utterances weigh more than short ones, as in
// every published word error rate; a mean of the utterances' rates is another quantity.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		Hits:          c.Hits + d.Hits,
		Substitutions: c.Substitutions + d.Substitutions,
		Deletions:     c.Deletions + d.Deletions,
		Insertions:    c.Insertions + d.Insertions,
	}
}

// Score is the sum of what was found in a number of utterances. The zero value is the score of none.
type Score struct {
	Utterances int
	Words      Counts
	Characters Counts
}

// ScoreUtterance returns the score of one utterance of language lang, both texts normalised (see Normalise, Words and Characters).
// The reference is what was said, the hypothesis what was recognised.
func ScoreUtterance(reference, hypothesis, lang string) Score {
	ref, hyp := Normalise(reference, lang), Normalise(hypothesis, lang)
	return Score{
		Utterances: 1,
		Words:      Count(Words(ref, lang), Words(hyp, lang)),
		Characters: Count(Characters(ref, lang), Characters(hyp, lang)),
	}
}

// Add adds other to s.
func (s *Score) Add(other Score) {
	s.Utterances += other.Utterances
	s.Words = s.Words.Plus(other.Words)
	s.Characters = s.Characters.Plus(other.Characters)
}

// WER returns the word error rate as a fraction (see Counts.ErrorRate).
func (s Score) WER() float64 { return s.Words.ErrorRate() }

// CER returns the character error rate as a fraction (see Counts.ErrorRate and Characters).
func (s Score) CER() float64 { return s.Characters.ErrorRate() }
