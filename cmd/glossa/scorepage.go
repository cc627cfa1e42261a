package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"glossa/eval"
	"glossa/eval/page"
)

// writePage writes the page of a report, for which all is read and scored again.
func (r *scoreRun) writePage(name string, report *eval.Report) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			removeHalf(name)
		}
	}()
	w := bufio.NewWriter(f)
	if err := page.Write(w, page.Data{Title: r.title(), Report: report, Outcomes: scoreAll(r.ctx, r.scorer, r.pairs(nil)), Sound: r.sound}); err != nil {
		return fmt.Errorf("--html %s: %w", name, err)
	}
	return w.Flush()
}

// title names what was scored.
func (r *scoreRun) title() string {
	if r.inputs.results != nil {
		return strings.Join(r.inputs.results.Files, ", ")
	}
	return strings.Join(r.inputs.names, ", ")
}

// soundMedia are the media types of sound files that browsers play.
var soundMedia = map[string]string{
	".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".webm": "audio/webm",
}

// maxPageSound is the most bytes of a file that the page embeds.
const maxPageSound = 4 << 20

// sound returns the sound file that an utterance is all of, as it is: its path is as the results have it, or relative to their folder.
func (r *scoreRun) sound(o eval.Outcome) (data []byte, media string, err error) {
	media = soundMedia[strings.ToLower(filepath.Ext(o.Audio))]
	if media == "" || o.Start != 0 {
		return nil, "", errors.New("no sound file of its own")
	}
	names := []string{o.Audio}
	if r.inputs.results != nil && !filepath.IsAbs(o.Audio) {
		names = append(names, filepath.Join(filepath.Dir(r.inputs.results.Files[0]), o.Audio))
	}
	for _, name := range names {
		info, statErr := os.Stat(name)
		switch {
		case statErr != nil:
			err = statErr
		case info.Size() > maxPageSound || !info.Mode().IsRegular():
			return nil, "", fmt.Errorf("%s is too long for a page", name)
		default:
			data, err = os.ReadFile(name)
			return data, media, err
		}
	}
	return nil, "", err
}
