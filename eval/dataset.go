package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"
)

// DataOptions are what a data set may not tell by itself.
type DataOptions struct {
	// Language is that of entries that do not name theirs.
	Language string

	// Code returns the code of the language that a name or a tag stands for, if it is known. Where it is
	// nil, tags stay as they are and folders name no language.
	Code func(name string) (code string, ok bool)

	// Split is the table that is meant where a folder has several, such as "test". The default value is "": none is.
	Split string

	// Parts lets entries be parts of files. The default value is false: one that does not begin with its file is refused, for those who read whole files.
	Parts bool

	// NoExtra leaves out fields that are not those of an Utterance, which may take more memory than all others. The default value is false.
	NoExtra bool

	// Warn is told of what is left out. It may be nil.
	Warn func(message string)
}

// ReadData returns the utterances of a data set in any of these forms, which it tells apart by looking:
//
//   - a manifest (see [ReadManifest]),
//   - a table of sound files and texts: metadata.csv or metadata.jsonl as the Hugging Face hub has them
//     (file_name; text, sentence, transcription or transcript), a TSV file of Common Voice (path,
//     sentence, locale; the sound in clips) or of FLEURS (no heading; the sound in audio), or another CSV
//     or TSV file with a heading of such names,
//   - a folder that holds one of these, or else sound files with their texts in .txt files of the same names,
//     in subfolders too.
//
// Languages are told by the entries, else by DataOptions.Language, else by the nearest folder that is
// named after one, up to the folder of the data set. They are codes where DataOptions.Code knows them.
// Errors about what the data set says wrap ErrManifest.
func ReadData(path string, o DataOptions) ([]Utterance, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("eval: data: %w", err)
	}
	read := readDataFile
	if info.IsDir() {
		read = readDataFolder
	}
	utterances, err := read(path, o)
	if err != nil {
		return nil, err
	}
	for i := range utterances {
		u := &utterances[i]
		if u.Lang == "" {
			u.Lang = o.Language
		}
		if code, ok := o.code(u.Lang); ok {
			u.Lang = code
		}
		if u.Start > 0 && !o.Parts {
			return nil, fmt.Errorf("%s: %w: utterance %d is a part of %s, and whole files alone can be read here", path, ErrManifest, i+1, u.AudioFilepath)
		}
		if o.NoExtra {
			u.Extra = nil
		}
	}
	return utterances, nil
}

// readDataFile reads a file by its ending, and one of JSON by the names of its fields.
func readDataFile(path string, o DataOptions) ([]Utterance, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return readTable(path, commaRows, o)
	case ".tsv":
		return readTable(path, tabRows, o)
	case ".parquet", ".arrow", ".zip", ".tar", ".gz", ".tgz":
		return nil, fmt.Errorf("%s: %w: packed data is not read; unpack it to sound files and a metadata.jsonl of file_name and text", path, ErrManifest)
	}
	ours, err := isManifest(path)
	if err != nil {
		return nil, err
	}
	if ours {
		return ReadManifest(path)
	}
	return readTable(path, jsonRows, o)
}

// isManifest reports whether the first entry of a file of JSON lines does not have the fields of a table.
func isManifest(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("eval: data: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, maxLine)
	for {
		line, err := readLine(lines)
		if err != nil {
			return true, nil // the reader of manifests says what is wrong
		}
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte(byteOrderTag)))
		if len(line) == 0 {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(line, &fields) != nil || fields[fieldAudio] != nil {
			return true, nil
		}
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		return !findColumns(names).complete(), nil
	}
}

// tables are the files of a folder that are its data set, the first of them that is there.
var tables = []string{"metadata.jsonl", "metadata.csv", "metadata.tsv", "manifest.jsonl"}

// readDataFolder reads the table of a folder, or its sound files with their texts.
func readDataFolder(folder string, o DataOptions) ([]Utterance, error) {
	for _, name := range tables {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return readDataFile(path, o)
		}
	}
	splits := tablesIn(folder)
	if meant := filepath.Join(folder, o.Split+".tsv"); slices.Contains(splits, meant) {
		splits = []string{meant}
	}
	switch len(splits) {
	case 0:
	case 1:
		return readDataFile(splits[0], o)
	default:
		return nil, fmt.Errorf("%s: %w: it holds several tables; name one of them: %s", folder, ErrManifest, strings.Join(splits, " "))
	}
	utterances, err := readPairs(folder, o)
	if err != nil || len(utterances) > 0 {
		return utterances, err
	}
	if below := tablesBelow(folder); len(below) > 0 {
		return nil, fmt.Errorf("%s: %w: its tables are in subfolders; name one of them: %s", folder, ErrManifest, strings.Join(below, " "))
	}
	return nil, fmt.Errorf("%s: %w: neither a table (%s, or a TSV file) nor sound files with texts in .txt files of the same names",
		folder, ErrManifest, strings.Join(tables, ", "))
}

// commonSplits are the tables of Common Voice that hold what is usually trained on or tested with.
var commonSplits = []string{"train.tsv", "dev.tsv", "test.tsv", "validated.tsv"}

// tablesIn returns the TSV files of a folder: those of the usual names, if there are any.
func tablesIn(folder string) []string {
	all, _ := filepath.Glob(filepath.Join(escapeGlob(folder), "*.tsv"))
	usual := slices.DeleteFunc(slices.Clone(all), func(path string) bool {
		return !slices.Contains(commonSplits, filepath.Base(path))
	})
	if len(usual) > 0 {
		return usual
	}
	return all
}

// tablesBelow returns the tables in the subfolders of a folder, the first few.
func tablesBelow(folder string) []string {
	const atMost = 8
	var found []string
	for _, pattern := range append(slices.Clone(tables), "*.tsv") {
		paths, _ := filepath.Glob(filepath.Join(escapeGlob(folder), "*", pattern))
		found = append(found, paths...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), atMost)]
}

// escapeGlob returns the pattern that matches path alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// otherTags are tags of languages that Whisper has under another.
var otherTags = map[string]string{"fil": "tl", "jv": "jw"}

// code returns the code of the language that a tag such as "cs", "pt-BR" or "cmn_hans_cn" stands for.
func (o DataOptions) code(tag string) (code string, ok bool) {
	if o.Code == nil || tag == "" {
		return "", false
	}
	first := primarySubtag(tag)
	for _, name := range []string{tag, first, otherTags[first]} {
		if code, ok = o.Code(name); ok {
			return code, true
		}
	}
	parsed, err := language.All.Parse(strings.ReplaceAll(tag, "_", "-"))
	if err != nil {
		return "", false
	}
	subtag, _ := parsed.Base()
	return o.Code(subtag.String())
}

// folderLanguage returns the language that the nearest folder of a file is named after, up to root, the
// folder of its data set; "" where none is.
func (o DataOptions) folderLanguage(root, file string) string {
	root, err := filepath.Abs(root)
	if err != nil {
		return ""
	}
	for dir := file; ; {
		if dir, err = filepath.Abs(filepath.Dir(dir)); err != nil {
			return ""
		}
		if code, ok := o.code(filepath.Base(dir)); ok {
			return code
		}
		if rel, err := filepath.Rel(root, dir); err != nil || rel == "." || strings.HasPrefix(rel, "..") || dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// LanguageOf returns the language of a file of the data set in root whose entry does not tell it.
func (o DataOptions) LanguageOf(root, file string) string {
	if o.Language != "" {
		return o.Language
	}
	return o.folderLanguage(root, file)
}

func (o DataOptions) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Sprintf(format, args...))
	}
}

// readAll returns what a text file holds, in UTF-8, of maxLine bytes at most.
func readAll(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("eval: data: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxLine+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("eval: data: %w", err)
	case len(text) > maxLine:
		return "", fmt.Errorf("%s: %w: a text of more than %d bytes", path, ErrManifest, maxLine)
	}
	if !utf8.Valid(text) {
		return "", fmt.Errorf("%s: %w: not UTF-8", path, ErrManifest)
	}
	return string(bytes.TrimPrefix(text, []byte(byteOrderTag))), nil
}
