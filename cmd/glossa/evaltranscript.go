package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"glossa/eval"
	"glossa/eval/transcript"
	"glossa/whisper"
)

// transcriptEndings are those of references without a manifest, in small letters.
var transcriptEndings = map[string]transcript.Format{".trn": transcript.TRN, ".stm": transcript.STM}

// readTranscript returns the utterances of a trn or an stm, whose sound files are in its folder or below it, named after utterances or
// recordings. Segments of an stm are parts of recordings; those that are not to be scored are left out.
func (e *evalCommand) readTranscript(path string, format transcript.Format, warn func(string)) ([]eval.Utterance, error) {
	folder := filepath.Dir(path)
	sounds, err := soundsByName(folder)
	if err != nil {
		return nil, err
	}
	o := eval.DataOptions{Language: e.Language, Code: whisper.LanguageCode}
	var utterances []eval.Utterance
	channels, left := make(map[string]string), 0
	for r, err := range (transcript.Source{Files: []string{path}, Format: format, Role: transcript.Reference}).Records() {
		if err != nil {
			return nil, err
		}
		if r.Ignored {
			left++
			continue
		}
		u := eval.Utterance{ID: r.ID, Text: r.Reference, Speaker: r.Speaker, Part: format == transcript.STM, Start: r.Start, Duration: r.Duration}
		name := r.Audio
		if format == transcript.TRN {
			name, u.Speaker = r.ID, transcript.SpeakerOf(r.ID)
		} else if before, ok := channels[name]; ok && before != r.Channel {
			return nil, fmt.Errorf("%v: %w: %s has channels %s and %s, and those of one file cannot be told apart: split it", r.Place, eval.ErrManifest, name, before, r.Channel)
		}
		channels[name] = r.Channel
		if u.AudioFilepath, err = sounds.find(name); err != nil {
			return nil, fmt.Errorf("%v: %w", r.Place, err)
		}
		u.Lang = o.LanguageOf(folder, u.AudioFilepath)
		utterances = append(utterances, u)
	}
	if left > 0 {
		warn(fmt.Sprintf("%s: %d segments are not to be scored, and left out", path, left))
	}
	if len(utterances) == 0 {
		return nil, fmt.Errorf("%s: %w: no utterances", path, eval.ErrManifest)
	}
	return utterances, nil
}

// soundNames are the sound files of a folder by their names without ending; "" where several have one.
type soundNames struct {
	folder string
	byName map[string]string
}

func soundsByName(folder string) (soundNames, error) {
	s := soundNames{folder, make(map[string]string)}
	files, err := eval.SoundFiles(folder)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		if _, twice := s.byName[name]; twice {
			file = ""
		}
		s.byName[name] = file
	}
	return s, err
}

// find returns the sound file of a name.
func (s soundNames) find(name string) (string, error) {
	file, there := s.byName[filepath.Base(name)]
	switch {
	case !there:
		return "", fmt.Errorf("%w: no sound file %s.* is in %s or below it", eval.ErrManifest, name, s.folder)
	case file == "":
		return "", fmt.Errorf("%w: several sound files below %s are named %s", eval.ErrManifest, s.folder, name)
	}
	return file, nil
}
