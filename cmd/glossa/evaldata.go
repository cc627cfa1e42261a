package main

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"glossa/asr"
	"glossa/eval"
	"glossa/whisper"
)

// nonSpeech is the language of sound in which nothing is said: ISO 639-2's "no linguistic content".
const nonSpeech = "zxx"

// trial is one utterance under one adapter.
type trial struct {
	*eval.Utterance
	adapter  string // "" for the base model, auto for that of the language that is detected
	deployed bool   // it is the last of the utterance, as a user would have it
}

// pair returns what is known of a trial before it is made.
func (t *trial) pair() eval.Pair {
	return eval.Pair{
		ID: t.ID, Lang: t.Lang, Adapter: t.adapter, Speaker: t.Speaker,
		Audio: t.AudioFilepath, Start: t.Start, Duration: t.Duration, Reference: t.Text,
	}
}

// testSet is what a model is evaluated on.
type testSet struct {
	utterances []eval.Utterance
	adapters   map[string][]string // of each language, "" first, in the order of the report
}

// trials returns each utterance under the base model, and under the adapter of its language.
func (s *testSet) trials() iter.Seq[trial] {
	return func(yield func(trial) bool) {
		for i := range s.utterances {
			u := &s.utterances[i]
			names := s.adapters[u.Lang]
			for k, name := range names {
				if !yield(trial{u, name, k == len(names)-1}) {
					return
				}
			}
		}
	}
}

// size returns the number of trials.
func (s *testSet) size() (n int) {
	for i := range s.utterances {
		n += len(s.adapters[s.utterances[i].Lang])
	}
	return n
}

// deployed reports whether a pair is of the last adapter of its language, as a user would have it.
func (s *testSet) deployed(p *eval.Pair) bool {
	names := s.adapters[p.Lang]
	return len(names) > 0 && p.Adapter == names[len(names)-1]
}

// testSet reads the data, and chooses the adapters of each language among those of what is evaluated. Where languages are detected so are
// adapters, whose rows then are named auto.
func (e *evalCommand) testSet(of testee, warn func(string)) (*testSet, error) {
	s := &testSet{adapters: make(map[string][]string)}
	for _, path := range e.Data {
		utterances, err := e.read(path, warn)
		if err != nil {
			return nil, err
		}
		s.utterances = append(s.utterances, utterances...)
	}
	s.utterances = limitEach(s.utterances, e.Limit)
	silent, err := e.nonSpeechSet()
	if err != nil {
		return nil, err
	}
	if s.utterances = append(s.utterances, silent...); len(s.utterances) == 0 {
		return nil, errors.New("there is nothing to evaluate: name a data set, --non-speech or --hallucinations")
	}
	distinguish(s.utterances)
	for i := range s.utterances {
		lang := s.utterances[i].Lang
		if s.adapters[lang] != nil {
			continue
		}
		s.adapters[lang] = []string{""}
		if a := e.adapterOf(of, lang); a != "" {
			s.adapters[lang] = append(s.adapters[lang], a)
		}
	}
	return s, nil
}

// adapterOf returns the adapter beside the base model, "" where there is none.
func (e *evalCommand) adapterOf(of testee, lang string) string {
	detected := e.LanguageFrom == asr.Auto || lang == nonSpeech
	switch {
	case e.Adapter == asr.None:
		return ""
	case e.Adapter != asr.Auto:
		return e.Adapter
	case detected && of.adapted():
		return asr.Auto
	case detected:
		return ""
	}
	return of.adapterOf(lang)
}

// read returns the utterances of a data set, all of known languages and with names.
func (e *evalCommand) read(path string, warn func(string)) (utterances []eval.Utterance, err error) {
	if format, ok := transcriptEndings[strings.ToLower(filepath.Ext(path))]; ok {
		utterances, err = e.readTranscript(path, format, warn)
	} else {
		utterances, err = eval.ReadData(path, eval.DataOptions{
			Language: e.Language, Code: whisper.LanguageCode, Split: e.Split, Parts: true, NoExtra: true, Warn: warn,
		})
	}
	if err != nil {
		return nil, err
	}
	root := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		root = filepath.Dir(path)
	}
	for i := range utterances {
		u := &utterances[i]
		if code, ok := whisper.LanguageCode(u.Lang); ok {
			u.Lang = code
		} else if u.Lang != nonSpeech {
			hint := ""
			if u.Lang == "" {
				hint = "; --language tells that of entries that do not"
			}
			return nil, fmt.Errorf("%s: %w: utterance %d, %s: unknown language %q%s", path, eval.ErrManifest, i+1, u.AudioFilepath, u.Lang, hint)
		}
		if u.ID == "" {
			u.ID = identify(root, u)
		}
	}
	return utterances, nil
}

// identify returns a name for an utterance: the path of its sound below its data set, without the ending, and where in it a part begins.
func identify(root string, u *eval.Utterance) string {
	path := u.AudioFilepath
	if below, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(below) {
		path = below
	}
	id := filepath.ToSlash(strings.TrimSuffix(path, filepath.Ext(path)))
	if u.Part {
		id += "@" + strconv.FormatFloat(u.Start, 'f', -1, 64)
	}
	return strings.Join(strings.Fields(id), "_")
}

// distinguish numbers utterances of one name, so that each has its own.
func distinguish(utterances []eval.Utterance) {
	seen := make(map[string]int, len(utterances))
	for i := range utterances {
		u := &utterances[i]
		for seen[u.ID] > 0 {
			seen[u.ID]++
			u.ID += "~" + strconv.Itoa(seen[u.ID])
		}
		seen[u.ID] = 1
	}
}

// nonSpeechSet returns the sound in which nothing is said: that of --non-speech, and that which is made.
func (e *evalCommand) nonSpeechSet() (silent []eval.Utterance, err error) {
	for _, path := range e.NonSpeech {
		files := []string{path}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("--non-speech %s: %w", path, reason(err))
		}
		root := filepath.Dir(path)
		if info.IsDir() {
			root = path
			if files, err = eval.SoundFiles(path); err != nil {
				return nil, err
			}
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("--non-speech %s: it holds no sound files", path)
		}
		for _, file := range files {
			u := eval.Utterance{AudioFilepath: file, Lang: nonSpeech}
			u.ID = "non-speech/" + identify(root, &u)
			silent = append(silent, u)
		}
	}
	for i := range e.Hallucinations {
		name := noiseName(i)
		silent = append(silent, eval.Utterance{ID: name, AudioFilepath: noisePrefix + name, Duration: noiseSeconds, Lang: nonSpeech})
	}
	return slices.Clip(silent), nil
}
