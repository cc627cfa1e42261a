package main

import (
	"path/filepath"

	"glossa/eval"
)

// scoringFlags say how texts are compared.
type scoringFlags struct {
	Normaliser   string `enum:"glossa,basic,basic-diacritics,english,none" default:"glossa" help:"What counts as a difference: glossa keeps combining marks, basic and english are those of openai/whisper. (${enum})"`
	Alignment    string `enum:"levenshtein,sclite" default:"levenshtein" help:"Which alignment is the best: that of the fewest errors, or that of sclite's weights. (${enum})"`
	Alternatives bool   `help:"Read references as NIST's: { a / b / @ } is any of these, (a) may be left out."`
	By           string `default:"lang" placeholder:"FIELD" help:"What has a row of its own: lang; or, within each language, speaker, recording, or another field of the manifest, such as gender. (${default})"`
	Confusions   int    `placeholder:"N" help:"Print the N words that are most often taken for another, left out or put in, of each language."`
}

// costs returns those of the alignment.
func (f *scoringFlags) costs() eval.Costs {
	if f.Alignment == "sclite" {
		return eval.Sclite
	}
	return eval.Levenshtein
}

// scorer returns a scorer. The english normaliser takes spellings from the folder of the model, where it has them.
func (f *scoringFlags) scorer(model string) (eval.Scorer, error) {
	s := eval.Scorer{Costs: f.costs(), Alternatives: f.Alternatives}
	var spellings map[string]string
	if f.Normaliser == "english" {
		if where, _, err := localPath(model); err == nil && model != nanoName {
			if spellings, err = eval.ReadSpellings(filepath.Join(where, "normalizer.json")); err != nil {
				return s, err
			}
		}
	}
	var err error
	s.Normaliser, err = eval.NormaliserNamed(f.Normaliser, spellings)
	return s, err
}
