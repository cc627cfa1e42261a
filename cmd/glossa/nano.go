package main

import (
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/nano"
)

// openNano returns the embedded model, its adapters, and the name of the adapter of each language.
func openNano() (*whisper.Checkpoint, []*flora.Adapter, map[string]string, error) { return nano.Open() }

// nanoLanguages returns the codes of the languages that the embedded model writes, adapters included.
func nanoLanguages() ([]string, error) { return nano.Languages() }
