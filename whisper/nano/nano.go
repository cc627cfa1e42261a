// Package nano is the model that Glossa carries: a Whisper of 5 million parameters for trying
// things out, and an adapter for each language that it learned later.
//
// It was trained from nothing on synthetic speech by build.sh, 185 hours of everyday commands, numbers, dates, names of
// countries and languages, and sentences of programs and games. It writes lower case without punctuation, and spells
// words that it does not know by their sound. The base model writes English, German, Spanish, French, Polish and Hindi; of
// Catalan, Czech, Finnish, Italian, Marathi and Russian it has heard a little, and writes them under an adapter each.
package nano

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"glossa/flora"
	"glossa/whisper"
)

//go:embed model adapters
var files embed.FS

// languagesFile lists the codes of the languages that the base model writes. The recipe writes it beside the
// model, which has tokens for all languages.
const languagesFile = "model/languages.txt"

// Languages returns the codes of the languages that nano writes: those of the base model, then those that it
// has an adapter for.
func Languages() ([]string, error) {
	text, err := fs.ReadFile(files, languagesFile)
	if err != nil {
		return nil, fmt.Errorf("nano: %w", err)
	}
	adapters, err := fs.ReadDir(files, "adapters")
	if err != nil {
		return nil, fmt.Errorf("nano: %w", err)
	}
	codes := strings.Fields(string(text))
	for _, dir := range adapters {
		codes = append(codes, dir.Name())
	}
	return codes, nil
}

// Open returns the checkpoint of the base model, its adapters, and the name of the adapter of each
// language that has one.
func Open() (*whisper.Checkpoint, []*flora.Adapter, map[string]string, error) {
	model, err := fs.Sub(files, "model")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("nano: %w", err)
	}
	c, err := whisper.OpenFS(model)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("nano: %w", err)
	}
	dirs, err := fs.ReadDir(files, "adapters")
	if err != nil {
		return nil, nil, nil, fmt.Errorf("nano: %w", err)
	}
	var adapters []*flora.Adapter
	byLanguage := make(map[string]string)
	for _, dir := range dirs {
		sub, err := fs.Sub(files, "adapters/"+dir.Name())
		if err != nil {
			return nil, nil, nil, fmt.Errorf("nano: %w", err)
		}
		a, err := flora.OpenFS(sub, dir.Name())
		if err != nil {
			return nil, nil, nil, fmt.Errorf("nano: adapter %s: %w", dir.Name(), err)
		}
		adapters = append(adapters, a)
		byLanguage[dir.Name()] = a.Name
	}
	return c, adapters, byLanguage, nil
}
