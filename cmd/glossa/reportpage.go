package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"glossa/eval/page"
)

// writePage writes a page to a file.
func writePage(name string, d page.Data) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--html %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			removeHalf(name)
			err = fmt.Errorf("--html %s: %w", name, err)
		}
	}()
	w := bufio.NewWriter(file)
	if err := page.Write(w, d); err != nil {
		return err
	}
	return w.Flush()
}

// soundMedia are the media types of sound files that browsers play.
var soundMedia = map[string]string{
	".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".webm": "audio/webm",
}

// maxPageSound is the most bytes of a file that a page embeds.
const maxPageSound = 4 << 20

// clipOf returns a sound file as it is, and its media type, where a page may have it.
func clipOf(name string) (data []byte, media string, err error) {
	media = soundMedia[strings.ToLower(filepath.Ext(name))]
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, "", err
	case media == "" || !info.Mode().IsRegular():
		return nil, "", fmt.Errorf("%s: it is no sound that browsers play", name)
	case info.Size() > maxPageSound:
		return nil, "", fmt.Errorf("%s: %d bytes are too many for a page", name, info.Size())
	}
	data, err = os.ReadFile(name)
	return data, media, err
}
