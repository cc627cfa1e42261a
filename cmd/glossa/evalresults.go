package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"glossa/eval"
	"glossa/eval/transcript"
)

// resultLine is a line of a file of results.
type resultLine struct {
	eval.Pair
	WER *float64 `json:"wer,omitempty"` // where there is a hypothesis
}

// resultOf returns the line of an outcome.
func resultOf(o *eval.Outcome) resultLine {
	line := resultLine{Pair: o.Pair}
	if o.Err == "" {
		rate := o.Words.ErrorRate()
		line.WER = &rate
	}
	return line
}

// results is the file of results of an evaluation, a line for each trial, with the settings that they hang on in a file beside it.
type results struct {
	path   string
	file   *os.File
	seed   maphash.Seed
	done   map[uint64]struct{} // trials that are in it from an earlier run
	remove bool                // it is of no use when the evaluation is over
}

// settingsBeside returns the file beside a file of results.
func settingsBeside(path string) string { return path + ".settings.json" }

// newResults begins a file of results; path "" is a file that is removed in the end.
func newResults(path string, settings map[string]string) (*results, error) {
	r := &results{path: path, seed: maphash.MakeSeed()}
	var err error
	if path == "" {
		if r.file, err = os.CreateTemp("", "glossa-eval-*.jsonl"); err != nil {
			return nil, err
		}
		r.path, r.remove = r.file.Name(), true
		return r, nil
	}
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return nil, err
	}
	if r.file, err = os.Create(path); err != nil {
		return nil, err
	}
	if err := os.WriteFile(settingsBeside(path), append(text, '\n'), 0o666); err != nil {
		r.file.Close()
		return nil, err
	}
	return r, nil
}

// resumeResults goes on with a file of results, and has each score those that stay: of trials that have failed it is as if they had never
// been made, and a last line that is torn is dropped. The error says which settings are other ones than those of the file. Where there is no
// file it begins one.
func resumeResults(path string, settings map[string]string, each func(eval.Pair) (eval.Outcome, error)) (*results, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return newResults(path, settings)
	}
	if err := sameSettings(path, settings); err != nil {
		return nil, err
	}
	r := &results{path: path, seed: maphash.MakeSeed(), done: make(map[uint64]struct{})}
	kept, err := os.CreateTemp(filepath.Dir(path), ".glossa-eval-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(kept.Name()) // which by then has another name
	out := bufio.NewWriter(kept)
	for p, err := range transcript.ResultPairs(transcript.Source{Files: []string{path}, Format: transcript.JSONL, Open: openWhole}) {
		if err == nil && p.Err == "" {
			r.done[r.key(p.ID, p.Adapter)] = struct{}{}
			var o eval.Outcome
			if o, err = each(p); err == nil {
				err = encodeLine(out, resultOf(&o))
			}
		}
		if err != nil {
			kept.Close()
			return nil, err
		}
	}
	if err := errors.Join(out.Flush(), kept.Chmod(0o644), os.Rename(kept.Name(), path)); err != nil {
		kept.Close()
		return nil, err
	}
	r.file = kept
	return r, nil
}

// sameSettings compares settings with those of a file of results.
func sameSettings(path string, settings map[string]string) error {
	text, err := os.ReadFile(settingsBeside(path))
	if err != nil {
		return fmt.Errorf("--resume: the settings that %s was made with are not known: %w", path, err)
	}
	var before map[string]string
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("--resume: %s: %w", settingsBeside(path), err)
	}
	var other []string
	for _, name := range slices.Sorted(maps.Keys(union(before, settings))) {
		if before[name] != settings[name] {
			other = append(other, fmt.Sprintf("%s was %q and is %q", name, before[name], settings[name]))
		}
	}
	if len(other) > 0 {
		return fmt.Errorf("--resume: %s was made with other settings: %s; without --resume it is made anew", path, strings.Join(other, "; "))
	}
	return nil
}

// union returns all of two maps.
func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// key stands for a trial.
func (r *results) key(id, adapter string) uint64 {
	return maphash.Comparable(r.seed, [2]string{id, adapter})
}

// has reports whether a trial is in the file from an earlier run.
func (r *results) has(t trial) bool {
	if r == nil {
		return false
	}
	_, done := r.done[r.key(t.ID, t.adapter)]
	return done
}

// add adds a line, which is there whatever becomes of the process.
func (r *results) add(o *eval.Outcome) error {
	if r == nil {
		return nil
	}
	return encodeLine(r.file, resultOf(o))
}

// close ends the file.
func (r *results) close() error {
	if r == nil {
		return nil
	}
	err := r.file.Close()
	if r.remove {
		err = errors.Join(err, os.Remove(r.path))
	}
	return err
}

// resultPairs yields the pairs of a file of results.
func resultPairs(path string) iter.Seq2[eval.Pair, error] {
	return transcript.ResultPairs(transcript.Source{Files: []string{path}, Format: transcript.JSONL})
}

// openWhole opens a file of lines without a last one that has no end, as a crash leaves it.
func openWhole(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	end, err := wholeLines(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(file, 0, end), file}, nil
}

// wholeLines returns where the last line of a file ends that has an end.
func wholeLines(file *os.File) (int64, error) {
	end, err := file.Seek(0, io.SeekEnd)
	block := make([]byte, 64<<10)
	for err == nil && end > 0 {
		n := min(end, int64(len(block)))
		if _, err = file.ReadAt(block[:n], end-n); err == nil {
			if i := bytes.LastIndexByte(block[:n], '\n'); i >= 0 {
				return end - n + int64(i) + 1, nil
			}
			end -= n
		}
	}
	return end, err
}

// fingerprint returns what tells two test sets apart.
func (s *testSet) fingerprint() string {
	h := fnv.New64a()
	for i := range s.utterances {
		u := &s.utterances[i]
		fmt.Fprintf(h, "%q %q %q %q %g\n", u.ID, u.Lang, u.AudioFilepath, u.Text, u.Start)
	}
	return fmt.Sprintf("%d utterances, %x", len(s.utterances), h.Sum64())
}
