package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"glossa/eval"
)

// scoringFlags say what counts as an error.
type scoringFlags struct {
	Normaliser   string `enum:"glossa,basic,basic-diacritics,english,none" default:"glossa" help:"What counts as a difference: glossa keeps combining marks, basic and english are those of openai/whisper, none changes nothing. (${enum})"`
	Spellings    string `placeholder:"FILE" help:"American spellings of British words for the english normaliser, as normalizer.json of a model's folder has them. (that of the model, where there is one)"`
	Alignment    string `enum:"levenshtein,sclite" default:"levenshtein" help:"Which alignment is the best: that of the fewest errors, or sclite's, where a substitution weighs 4, a deletion or insertion 3. (${enum})"`
	Alternatives *bool  `negatable:"" help:"Read references as NIST's: { um / uh / @ } is any of these or nothing, and (a) may be left out. (where they are named .trn or .stm)"`
	By           string `enum:"speaker,recording,utterance" default:"speaker" help:"What is drawn for intervals: all of a speaker, all of a recording, or single utterances; the next of these where one is not known. (${enum})"`
}

// scorer returns the scorer that the flags describe. The model is one that spellings may come from, nist says that the references are in a format of
// NIST's.
func (f *scoringFlags) scorer(model string, nist bool) (eval.Scorer, error) {
	s := eval.Scorer{Alternatives: nist}
	if f.Alternatives != nil {
		s.Alternatives = *f.Alternatives
	}
	if f.Alignment == "sclite" {
		s.Costs = eval.Sclite
	}
	spellings, err := f.spellings(model)
	if err != nil {
		return s, err
	}
	s.Normaliser, err = eval.NormaliserNamed(f.Normaliser, spellings)
	return s, err
}

// spellings returns those of the english normaliser, nil where neither the flags nor the model have any.
func (f *scoringFlags) spellings(model string) (map[string]string, error) {
	switch {
	case f.Spellings != "" && f.Normaliser != "english":
		return nil, errors.New("--spellings is for --normaliser english alone")
	case f.Spellings != "":
		return eval.ReadSpellings(f.Spellings)
	case f.Normaliser != "english" || model == nanoName:
		return nil, nil
	}
	where, _, err := localPath(model)
	if err != nil {
		return nil, nil // which opening the model will say
	}
	spellings, err := eval.ReadSpellings(filepath.Join(where, "normalizer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return spellings, err
}

// namedNIST reports whether all files are called as those of NIST's formats are that have alternatives.
func namedNIST(files []string) bool {
	for _, name := range files {
		if _, ok := transcriptEndings[strings.ToLower(filepath.Ext(strings.TrimSuffix(name, ".gz")))]; !ok {
			return false
		}
	}
	return len(files) > 0
}

// grouped returns a pair as it is drawn.
func (f *scoringFlags) grouped(p eval.Pair) eval.Pair {
	switch f.By {
	case "recording":
		p.Speaker = ""
	case "utterance":
		p.Speaker, p.Audio = "", ""
	}
	return p
}
