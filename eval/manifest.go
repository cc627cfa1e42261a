package eval

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// ErrManifest is wrapped by every error about what a manifest says, as opposed to errors of reading it.
var ErrManifest = errors.New("eval: bad manifest")

// Utterance is one entry of a manifest: a piece of audio and what is said in it.
type Utterance struct {
	ID            string  // names the utterance within its test set; "" where the manifest does not say
	AudioFilepath string  // never empty; what ReadManifest returns can be opened as it is
	Part          bool    // it is the part of the file from Start on, Duration long, or to the file's end where that is 0
	Start         float64 // seconds; 0 unless it is a part
	Duration      float64 // seconds; 0 where the manifest does not say
	Text          string  // as written, not normalised; "" where nothing is said
	Lang          string  // language tag such as "cs"; "" where the manifest does not say
	Speaker       string  // who speaks; "" where the manifest does not say
	// Extra holds the entry's other fields by name. They are kept when the manifest is written again.
	Extra map[string]json.RawMessage
}

const (
	maxLine      = 1 << 20 // bytes; a line of 30 s of speech has a few hundred
	maxLang      = 35      // bytes of a language tag, by RFC 5646 section 4.4.1
	maxReported  = 20      // bad lines that an error spells out
	fieldAudio   = "audio_filepath"
	fieldLength  = "duration"
	fieldText    = "text"
	fieldLang    = "lang"
	fieldOffset  = "offset"
	fieldStart   = "start" // another name of offset
	fieldID      = "id"
	fieldSpeaker = "speaker"
	byteOrderTag = "\uFEFF"
)

// ReadManifest returns the utterances of a manifest in the form that NVIDIA NeMo reads: a file of JSON objects, one a line, with
// audio_filepath (relative to the manifest's folder), duration (seconds), text, lang, id and speaker (texts or numbers), and offset or
// start (seconds), which make the entry a part of a file, so long as its duration. audio_filepath and text are required; blank lines are
// skipped, and fields of other names kept in Extra.
//
// The errors of all bad lines come joined, each as "file:line: reason" and wrapping ErrManifest; so does that of a manifest without
// utterances.
func ReadManifest(path string) ([]Utterance, error) { return readManifest(path, true) }

// DecodeManifest is ReadManifest from an open reader. path names the manifest in errors, and its folder is what paths are relative to.
func DecodeManifest(r io.Reader, path string) ([]Utterance, error) {
	return decodeManifest(r, path, true)
}

// ReadRecordings is ReadManifest of a manifest whose entries need no text: what is to be transcribed.
func ReadRecordings(path string) ([]Utterance, error) { return readManifest(path, false) }

// readManifest opens a manifest whose entries need a text, or do not.
func readManifest(path string, needsText bool) ([]Utterance, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("eval: manifest: %w", err)
	}
	defer file.Close()
	return decodeManifest(file, path, needsText)
}

// decodeManifest reads a manifest whose entries need a text, or do not.
func decodeManifest(r io.Reader, path string, needsText bool) ([]Utterance, error) {
	var (
		utterances []Utterance
		bad        []error
		omitted    int
		lines      = bufio.NewReaderSize(r, maxLine)
	)
	for number := 1; ; number++ {
		line, err := readLine(lines)
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, ErrManifest) {
			return nil, fmt.Errorf("%s:%d: eval: manifest: %w", path, number, err)
		}
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte(byteOrderTag))
		}
		line = bytes.TrimSpace(line)
		if err == nil && len(line) == 0 {
			continue
		}
		var u Utterance
		if err == nil {
			u, err = decodeUtterance(line, needsText)
		}
		switch {
		case err == nil:
			u.AudioFilepath = resolve(filepath.Dir(path), u.AudioFilepath)
			utterances = append(utterances, u)
		case len(bad) < maxReported:
			bad = append(bad, fmt.Errorf("%s:%d: %w", path, number, err))
		default:
			omitted++
		}
	}
	if omitted > 0 {
		bad = append(bad, fmt.Errorf("%s: %w: %d more bad lines", path, ErrManifest, omitted))
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	if len(utterances) == 0 {
		return nil, fmt.Errorf("%s: %w: no utterances", path, ErrManifest)
	}
	return utterances, nil
}

// WriteManifest writes utterances to a file that ReadManifest reads, audio paths relative to its folder. Fields are in the order of
// their names, so that equal utterances make equal files. It fails with ErrManifest, before it writes, on an utterance that ReadManifest
// would refuse.
func WriteManifest(path string, utterances []Utterance) error {
	out, err := encodeManifest(filepath.Dir(path), utterances)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(path, out, 0o666); err != nil {
		return fmt.Errorf("eval: manifest: %w", err)
	}
	return nil
}

// readLine returns the next line without its end, valid until the next call, io.EOF after the last, or ErrManifest for a line that is
// longer than the reader's buffer, which it skips.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		for err == bufio.ErrBufferFull {
			_, err = r.ReadSlice('\n')
		}
		if err == nil || err == io.EOF {
			err = fmt.Errorf("%w: line of more than %d bytes", ErrManifest, maxLine)
		}
		return nil, err
	}
	if err == io.EOF && len(line) > 0 {
		err = nil
	}
	return line, err
}

// decodeUtterance returns the entry that a line holds, its path as written.
func decodeUtterance(line []byte, needsText bool) (u Utterance, err error) {
	if !utf8.Valid(line) {
		return u, fmt.Errorf("%w: not UTF-8", ErrManifest)
	}
	// Not decoded into a struct, for encoding/json would take "Text" or "TEXT" for "text".
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return u, fmt.Errorf("%w: not a JSON object: %v", ErrManifest, err)
	}
	if fields == nil {
		return u, fmt.Errorf("%w: null is not a JSON object", ErrManifest)
	}
	var id, speaker json.RawMessage
	var offset, start *float64
	for _, f := range []struct {
		name     string
		value    any
		required bool
	}{
		{fieldAudio, &u.AudioFilepath, true},
		{fieldText, &u.Text, needsText},
		{fieldLength, &u.Duration, false},
		{fieldLang, &u.Lang, false},
		{fieldOffset, &offset, false},
		{fieldStart, &start, false},
		{fieldID, &id, false},
		{fieldSpeaker, &speaker, false},
	} {
		raw, ok := fields[f.name]
		delete(fields, f.name)
		if !ok || string(raw) == "null" {
			if f.required {
				return u, fmt.Errorf("%w: no %s", ErrManifest, f.name)
			}
			continue
		}
		if err := json.Unmarshal(raw, f.value); err != nil {
			return u, fmt.Errorf("%w: %s: %v", ErrManifest, f.name, err)
		}
	}
	if offset = cmp.Or(offset, start); offset != nil {
		u.Part, u.Start = true, *offset
	}
	if u.ID, err = plainName(fieldID, id); err != nil {
		return u, err
	}
	if u.Speaker, err = plainName(fieldSpeaker, speaker); err != nil {
		return u, err
	}
	if len(fields) > 0 {
		u.Extra = fields
	}
	return u, u.check()
}

// plainName returns a text, or a number as it is written.
func plainName(field string, raw json.RawMessage) (string, error) {
	name := plainJSON(raw)
	if len(raw) > 0 && raw[0] != '"' && (raw[0] < '0' || raw[0] > '9') && raw[0] != '-' {
		return "", fmt.Errorf("%w: %s is neither a text nor a number", ErrManifest, field)
	}
	return strings.Join(strings.Fields(name), " "), nil
}

// check returns an error that wraps ErrManifest unless u may stand in a manifest.
func (u Utterance) check() error {
	switch {
	case u.AudioFilepath == "":
		return fmt.Errorf("%w: %s is empty", ErrManifest, fieldAudio)
	case !(u.Duration >= 0) || math.IsInf(u.Duration, 0):
		return fmt.Errorf("%w: %s of %v seconds", ErrManifest, fieldLength, u.Duration)
	case !(u.Start >= 0) || math.IsInf(u.Start, 0):
		return fmt.Errorf("%w: %s of %v seconds", ErrManifest, fieldOffset, u.Start)
	case u.Start > 0 && !u.Part:
		return fmt.Errorf("%w: it begins at %v seconds, and is no part", ErrManifest, u.Start)
	case !plausibleLang(u.Lang):
		return fmt.Errorf("%w: %s %.50q is not a language tag", ErrManifest, fieldLang, u.Lang)
	case !utf8.ValidString(u.AudioFilepath + u.Text + u.ID + u.Speaker):
		return fmt.Errorf("%w: not UTF-8", ErrManifest)
	}
	for name := range u.Extra {
		switch name {
		case fieldAudio, fieldText, fieldLength, fieldLang, fieldOffset, fieldStart, fieldID, fieldSpeaker:
			return fmt.Errorf("%w: %s among the extra fields", ErrManifest, name)
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("%w: field %.50q is not UTF-8", ErrManifest, name)
		}
	}
	return nil
}

// plausibleLang reports whether tag is empty or has the characters of a language tag (RFC 5646). Whether there is such a language is for
// the model to say.
func plausibleLang(tag string) bool {
	for _, c := range []byte(tag) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && !('0' <= c && c <= '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(tag) <= maxLang
}

// resolve returns the path of an audio file that a manifest in folder names.
func resolve(folder, audio string) string {
	audio = filepath.FromSlash(audio)
	if filepath.IsAbs(audio) {
		return filepath.Clean(audio)
	}
	return filepath.Join(folder, audio)
}

// relative returns the name in a manifest in folder of an audio file, the inverse of resolve; absolute where there is no way between.
func relative(folder, audio string) (string, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	audio, err = filepath.Abs(audio)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(folder, audio); err == nil {
		audio = rel
	}
	return filepath.ToSlash(audio), nil
}

// encodeManifest returns the content of a manifest in folder.
func encodeManifest(folder string, utterances []Utterance) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for i, u := range utterances {
		if err := u.check(); err != nil {
			return nil, fmt.Errorf("utterance %d: %w", i, err)
		}
		audio, err := relative(folder, u.AudioFilepath)
		if err != nil {
			return nil, fmt.Errorf("eval: manifest: utterance %d: %w", i, err)
		}
		entry := map[string]any{fieldAudio: audio, fieldText: u.Text}
		if u.Duration != 0 {
			entry[fieldLength] = u.Duration
		}
		if u.Part {
			entry[fieldOffset] = u.Start
		}
		for name, value := range map[string]string{fieldLang: u.Lang, fieldID: u.ID, fieldSpeaker: u.Speaker} {
			if value != "" {
				entry[name] = value
			}
		}
		for name, raw := range u.Extra {
			entry[name] = raw
		}
		start := out.Len()
		if err := encoder.Encode(entry); err != nil {
			return nil, fmt.Errorf("%w: utterance %d: %v", ErrManifest, i, err)
		}
		if out.Len()-start > maxLine {
			return nil, fmt.Errorf("%w: utterance %d: line of more than %d bytes", ErrManifest, i, maxLine)
		}
	}
	if len(utterances) == 0 {
		return nil, fmt.Errorf("%w: no utterances", ErrManifest)
	}
	return out.Bytes(), nil
}
