package main

import (
	"errors"
	"path/filepath"
	"strings"

	"glossa/eval"
)

// title names what was scored.
func (r *scoreRun) title() string {
	if r.inputs.results != nil {
		return strings.Join(r.inputs.results.Files, ", ")
	}
	return strings.Join(r.inputs.names, ", ")
}

// sound returns the sound file that an utterance is all of, as it is: its path is as the results have it, or relative to their folder.
func (r *scoreRun) sound(o eval.Outcome) (data []byte, media string, err error) {
	if o.Audio == "" || o.Start != 0 {
		return nil, "", errors.New("no sound file of its own")
	}
	data, media, err = clipOf(o.Audio)
	if err != nil && r.inputs.results != nil && !filepath.IsAbs(o.Audio) {
		data, media, err = clipOf(filepath.Join(filepath.Dir(r.inputs.results.Files[0]), o.Audio))
	}
	return data, media, err
}
