package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/asr"
	"glossa/eval"
)

// soundFile is a file that is to be transcribed as a job.
type soundFile struct {
	path     string
	below    string  // its path below what was named on the command line, by which its text is called in --output-dir
	language string  // that a manifest tells, "" where none does
	seconds  float64 // likewise, 0
	size     int64   // bytes, 0 where it cannot be read
}

// soundFiles returns the files that arguments name: files, those of folders and their subfolders, and those of manifests. Each is there
// once; of a file that is there twice with two languages the error tells.
func soundFiles(args []string) ([]soundFile, error) {
	var files []soundFile
	at := make(map[string]int) // index by path, however it is spelt
	for _, arg := range args {
		more, err := soundFilesOf(arg)
		if err != nil {
			return nil, err
		}
		for _, f := range more {
			key := filepath.Clean(f.path)
			if i, twice := at[key]; twice {
				if files[i].language != f.language {
					return nil, fmt.Errorf("%s is there twice, as %q and as %q", f.path, files[i].language, f.language)
				}
				continue
			}
			if info, err := os.Stat(f.path); err == nil {
				f.size = info.Size()
			}
			at[key] = len(files)
			files = append(files, f)
		}
	}
	return files, nil
}

// manifestEndings are the endings of manifests, in small letters.
var manifestEndings = []string{".jsonl", ".json", ".ndjson"}

// soundFilesOf returns the files that one argument names. That a file is there is for who opens it to say.
func soundFilesOf(arg string) ([]soundFile, error) {
	info, err := os.Stat(arg)
	isFolder := err == nil && info.IsDir()
	isManifest := slices.Contains(manifestEndings, strings.ToLower(filepath.Ext(arg)))
	switch {
	case arg == stdinName:
		return nil, errors.New("the standard input cannot be a job; name a file")
	case isFolder:
		return filesOfFolder(arg)
	case isManifest:
		return filesOfManifest(arg)
	}
	return []soundFile{{path: arg, below: filepath.Base(arg)}}, nil
}

func filesOfFolder(folder string) ([]soundFile, error) {
	sounds, err := eval.SoundFiles(folder)
	if err != nil {
		return nil, err
	}
	if len(sounds) == 0 {
		return nil, fmt.Errorf("%s: there is no sound file in this folder", folder)
	}
	files := make([]soundFile, len(sounds))
	for i, path := range sounds {
		files[i] = soundFile{path: path, below: pathBelow(folder, path)}
	}
	return files, nil
}

func filesOfManifest(manifest string) ([]soundFile, error) {
	recordings, err := eval.ReadRecordings(manifest)
	if err != nil {
		return nil, err
	}
	files := make([]soundFile, len(recordings))
	for i, u := range recordings {
		files[i] = soundFile{
			path: u.AudioFilepath, below: pathBelow(filepath.Dir(manifest), u.AudioFilepath), language: u.Lang, seconds: u.Duration,
		}
	}
	return files, nil
}

// pathBelow returns the path of a file from a folder, its last element alone where it is elsewhere.
func pathBelow(folder, path string) string {
	if rel, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return filepath.Base(path)
}

// output returns the file that the text of a sound file is written to: beside it, or in a folder.
func (f *soundFile) output(dir, format string) string {
	stem := func(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) }
	if dir == "" {
		return stem(f.path) + "." + format
	}
	return filepath.Join(dir, stem(f.below)) + "." + format
}

// checkOutputs finds files whose texts would be written to the same file, or over a sound file.
func checkOutputs(files []soundFile, dir, format string) error {
	sounds := make(map[string]bool)
	for _, f := range files {
		sounds[filepath.Clean(f.path)] = true
	}
	source := make(map[string]string) // path by that of its output
	for _, f := range files {
		out := filepath.Clean(f.output(dir, format))
		if other, taken := source[out]; taken {
			return fmt.Errorf("%s and %s would both be written to %s", other, f.path, out)
		}
		if sounds[out] {
			return fmt.Errorf("the text of %s would be written over %s", f.path, out)
		}
		source[out] = f.path
	}
	return nil
}

// errOther is the error of an output whose place is taken.
var errOther = errors.New("another file is there")

// writeOutput writes the text of a sound file. A file that is there with the same content stays, one with another content does too unless it
// may be overwritten: the error then is errOther.
func writeOutput(name string, r *asr.Result, format string, o asr.SubtitleOptions, overwrite bool) error {
	var b strings.Builder
	if err := asr.Write(&b, format, r, o); err != nil {
		return err
	}
	switch there, err := os.ReadFile(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && string(there) == b.String():
		return nil
	case !overwrite: // nor one that cannot be read
		return fmt.Errorf("%s: %w; --overwrite replaces it, --output-dir writes elsewhere", name, errOther)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	return replaceFile(name, []byte(b.String()))
}

// replaceFile writes a file at once: who reads it sees all of it or what was there before. A device or a pipe is written to.
func replaceFile(name string, content []byte) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(name, content, 0o666)
	}
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"-"+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
