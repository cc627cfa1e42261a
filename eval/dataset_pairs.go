package eval

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// soundEndings are the endings of sound files, in small letters.
var soundEndings = []string{".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".webm", ".m4a", ".mp4", ".aac", ".wma", ".aiff", ".aif"}

func isSound(path string) bool {
	return slices.Contains(soundEndings, strings.ToLower(filepath.Ext(path)))
}

// SoundFiles returns the sound files of a folder and its subfolders, told by their endings, in the order of their paths. Hidden files and
// folders are passed over.
func SoundFiles(folder string) (sounds []string, err error) {
	err = walkShown(folder, func(path string) {
		if isSound(path) {
			sounds = append(sounds, path)
		}
	})
	return sounds, err
}

// walkShown calls each with the files of a folder and its subfolders that are not hidden, in the order of their paths.
func walkShown(folder string, each func(path string)) error {
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && path != folder
		switch {
		case hidden && entry.IsDir():
			return fs.SkipDir
		case !hidden && !entry.IsDir():
			each(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("eval: data: %w", err)
	}
	return nil
}

// readPairs returns the sound files of a folder and its subfolders that have a text, in the order of their
// paths. What a text's white space is does not matter. Hidden files and folders are passed over.
func readPairs(folder string, o DataOptions) ([]Utterance, error) {
	var sounds []string
	texts := make(map[string]bool) // paths
	err := walkShown(folder, func(path string) {
		switch {
		case isSound(path):
			sounds = append(sounds, path)
		case filepath.Ext(path) == ".txt":
			texts[path] = true
		}
	})
	if err != nil {
		return nil, err
	}
	var utterances []Utterance
	for _, sound := range sounds {
		path := strings.TrimSuffix(sound, filepath.Ext(sound)) + ".txt"
		if !texts[path] {
			continue
		}
		text, err := readAll(path)
		if err != nil {
			return nil, err
		}
		utterances = append(utterances, Utterance{
			AudioFilepath: sound, Text: strings.Join(strings.Fields(text), " "), Lang: o.LanguageOf(folder, sound),
		})
	}
	if n := len(sounds) - len(utterances); n > 0 && len(utterances) > 0 {
		o.warn("%s: %d sound files without a text are left out", folder, n)
	}
	return utterances, nil
}
