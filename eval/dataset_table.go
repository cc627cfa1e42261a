package eval

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names of the columns of a table, the first that is there.
var (
	audioColumns    = []string{"file_name", "path", fieldAudio, "audio", "filename", "file"}
	textColumns     = []string{fieldText, "sentence", "transcription", "transcript", "raw_transcription", "normalized_text"}
	langColumns     = []string{fieldLang, "language", "locale"}
	durationColumns = []string{fieldLength, "duration_seconds"}
	speakerColumns  = []string{fieldSpeaker, "client_id", "speaker_id"}
	idColumns       = []string{fieldID, "utterance_id", "utt_id"}
)

// columns are the places of what is read in a row, -1 for what is not there.
type columns struct{ audio, text, lang, duration, speaker, id int }

// fleurs are the columns of a table of FLEURS, which has no heading: a number, the sound, the text as
// written, normalised and by characters, the number of samples, and the speaker's gender. The
// number is that of the sentence, which several people speak.
var fleurs = columns{audio: 1, text: 2, lang: -1, duration: -1, speaker: -1, id: -1}

const (
	fleursColumns = 7
	fleursSamples = 5
	fleursRate    = 16000 // Hz
)

// findColumns returns the columns of a heading.
func findColumns(heading []string) columns {
	find := func(names []string) int {
		for _, name := range names {
			if i := slices.IndexFunc(heading, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); i >= 0 {
				return i
			}
		}
		return -1
	}
	return columns{find(audioColumns), find(textColumns), find(langColumns), find(durationColumns), find(speakerColumns), find(idColumns)}
}

// complete reports whether there are sounds and texts.
func (c columns) complete() bool { return c.audio >= 0 && c.text >= 0 }

// rowsOf returns the rows of a file with the numbers of their lines. It yields an error that stops it, or
// one that wraps ErrManifest for a row alone.
type rowsOf func(r io.Reader) iter.Seq2[row, error]

type row struct {
	line  int
	cells []string
}

// commaRows reads CSV (RFC 4180).
func commaRows(r io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		in := csv.NewReader(r)
		in.FieldsPerRecord = -1
		for {
			cells, err := in.Read()
			if err == io.EOF {
				return
			}
			line := 0
			if len(cells) > 0 {
				line, _ = in.FieldPos(0)
			}
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				line, err = bad.StartLine, fmt.Errorf("%w: %w", ErrManifest, bad.Err)
			}
			if !yield(row{line, cells}, err) {
				return
			}
		}
	}
}

// tabRows reads lines of cells between tabs. A quotation mark is what it is, but for a pair around a cell, in
// which each stands twice, as some releases of Common Voice have them.
func tabRows(r io.Reader) iter.Seq2[row, error] {
	return eachLine(r, func(line []byte) ([]string, error) {
		cells := strings.Split(string(line), "\t")
		for i, cell := range cells {
			if n := len(cell); n >= 2 && cell[0] == '"' && cell[n-1] == '"' {
				cells[i] = strings.ReplaceAll(cell[1:n-1], `""`, `"`)
			}
		}
		return cells, nil
	})
}

// jsonRows reads JSON objects, one a line, as a table whose heading is the names of the first one's fields.
func jsonRows(r io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		var heading []string
		eachLine(r, func(line []byte) ([]string, error) {
			var fields map[string]json.RawMessage
			if err := json.Unmarshal(line, &fields); err != nil {
				return nil, fmt.Errorf("%w: not a JSON object: %w", ErrManifest, err)
			}
			if heading == nil {
				heading = slices.Sorted(maps.Keys(fields))
				if !yield(row{0, heading}, nil) {
					return nil, io.EOF
				}
			}
			cells := make([]string, len(heading))
			for i, name := range heading {
				cells[i] = plainJSON(fields[name])
			}
			return cells, nil
		})(func(r row, err error) bool { return err != io.EOF && yield(r, err) })
	}
}

// plainJSON returns a string without its quotation marks, "" for null, and other values as they are.
func plainJSON(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// eachLine returns what parse makes of the lines that are not blank.
func eachLine(r io.Reader, parse func(line []byte) ([]string, error)) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		lines := bufio.NewReaderSize(r, maxLine)
		for number := 1; ; number++ {
			line, err := readLine(lines)
			if err == io.EOF {
				return
			}
			var cells []string
			if err == nil {
				line = bytes.TrimRight(line, "\r\n")
				if len(bytes.TrimSpace(line)) == 0 {
					continue
				}
				cells, err = parse(line)
			}
			if !yield(row{number, cells}, err) || err != nil && !errors.Is(err, ErrManifest) {
				return
			}
		}
	}
}

// readTable returns the utterances of a table.
func readTable(path string, rows rowsOf, o DataOptions) ([]Utterance, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("eval: data: %w", err)
	}
	defer file.Close()
	in := bufio.NewReader(file)
	if tag, err := in.Peek(len(byteOrderTag)); err == nil && string(tag) == byteOrderTag {
		in.Discard(len(byteOrderTag)) // never fails: it is buffered
	}
	t := table{path: path}
	for r, err := range rows(in) {
		if err != nil && !errors.Is(err, ErrManifest) {
			return nil, fmt.Errorf("%s:%d: eval: data: %w", path, r.line, err)
		}
		if err == nil {
			err = t.add(r.cells)
		}
		if err != nil {
			t.fail(r.line, err)
		}
		if t.unreadable {
			break
		}
	}
	if err := t.errors(); err != nil {
		return nil, err
	}
	if err := t.place(); err != nil {
		return nil, err
	}
	for i := range t.utterances {
		if u := &t.utterances[i]; u.Lang == "" {
			u.Lang = o.LanguageOf(filepath.Dir(path), u.AudioFilepath)
		}
	}
	return t.utterances, nil
}

// table is a table under way.
type table struct {
	path       string
	columns    *columns
	fleurs     bool
	unreadable bool // for its heading
	utterances []Utterance
	bad        []error
	omitted    int
}

// add takes the heading, and then an entry.
func (t *table) add(cells []string) error {
	if t.columns == nil {
		c := findColumns(cells)
		t.columns = &c
		switch {
		case c.complete():
			return nil
		case len(cells) == fleursColumns && isSound(cells[fleurs.audio]):
			t.columns, t.fleurs = &fleurs, true
		default:
			t.unreadable = true
			return fmt.Errorf("%w: a heading with a column for the sound (%s) and one for the text (%s) is needed",
				ErrManifest, strings.Join(audioColumns, ", "), strings.Join(textColumns, ", "))
		}
	}
	cell := func(i int) string {
		if i < 0 || i >= len(cells) {
			return ""
		}
		return strings.TrimSpace(cells[i])
	}
	if n := max(t.columns.audio, t.columns.text); n >= len(cells) {
		return fmt.Errorf("%w: %d columns, at least %d are needed", ErrManifest, len(cells), n+1)
	}
	u := Utterance{
		ID: cell(t.columns.id), AudioFilepath: cell(t.columns.audio), Text: cell(t.columns.text), Lang: cell(t.columns.lang),
		Speaker: cell(t.columns.speaker),
	}
	if d, err := strconv.ParseFloat(cell(t.columns.duration), 64); err == nil {
		u.Duration = d
	}
	if samples, err := strconv.ParseFloat(cell(fleursSamples), 64); t.fleurs && err == nil {
		u.Duration = samples / fleursRate
	}
	if err := u.check(); err != nil {
		return err
	}
	t.utterances = append(t.utterances, u)
	return nil
}

// fail takes note of a bad line.
func (t *table) fail(line int, err error) {
	if len(t.bad) == maxReported {
		t.omitted++
		return
	}
	t.bad = append(t.bad, fmt.Errorf("%s:%d: %w", t.path, line, err))
}

// errors returns what was wrong with the lines.
func (t *table) errors() error {
	if t.omitted > 0 {
		t.bad = append(t.bad, fmt.Errorf("%s: %w: %d more bad lines", t.path, ErrManifest, t.omitted))
	}
	if len(t.bad) == 0 && len(t.utterances) == 0 {
		return fmt.Errorf("%s: %w: no utterances", t.path, ErrManifest)
	}
	return errors.Join(t.bad...)
}

// place makes paths of the names of sound files, which stand beside the table or in one of the folders that
// data sets have for them: the first in which one of the first names is found.
func (t *table) place() error {
	const looked = 20
	folder := filepath.Dir(t.path)
	split := strings.TrimSuffix(filepath.Base(t.path), filepath.Ext(t.path))
	places := []string{"", "clips", "audio", filepath.Join("audio", split), split, "wavs", "data"}
	for _, place := range places {
		at := filepath.Join(folder, place)
		for _, u := range t.utterances[:min(looked, len(t.utterances))] {
			if _, err := os.Stat(resolve(at, u.AudioFilepath)); err != nil {
				continue
			}
			for i := range t.utterances {
				t.utterances[i].AudioFilepath = resolve(at, t.utterances[i].AudioFilepath)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: %w: its sound files are not there: %s is neither in %s nor in its subfolders %s",
		t.path, ErrManifest, t.utterances[0].AudioFilepath, folder, strings.Join(places[1:], ", "))
}
