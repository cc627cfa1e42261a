package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format is a form of files.
type Format string

// The formats. Auto is told by a file's ending or, where that says nothing, by a look at it.
const (
	Auto  Format = "auto"
	TRN   Format = "trn"
	CTM   Format = "ctm"
	STM   Format = "stm"
	JSONL Format = "jsonl"
	Kaldi Format = "kaldi"
	Text  Format = "text"
)

// Formats are the formats, Auto first.
func Formats() []Format { return []Format{Auto, TRN, CTM, STM, JSONL, Kaldi, Text} }

// UnmarshalText takes a format's name.
func (f *Format) UnmarshalText(text []byte) error {
	*f = Format(text)
	if !slices.Contains(Formats(), *f) {
		return fmt.Errorf("%w: no format %q; there are %v", ErrSyntax, text, Formats())
	}
	return nil
}

// endings are those that tell a format.
var endings = map[string]Format{".trn": TRN, ".ctm": CTM, ".stm": STM, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL}

// kaldiName is what Kaldi calls the file of transcripts in a data folder.
const kaldiName = "text"

// detect returns the format of a file from its name and its beginning, which may end within a line.
//
// Kaldi's form is not to be told from plain text by looking, for an identifier is a word like any other: it is taken for Kaldi's where the file is
// named text, as in Kaldi's folders.
func detect(name string, head []byte) Format {
	name = strings.TrimSuffix(filepath.Base(name), ".gz")
	if f, ok := endings[strings.ToLower(filepath.Ext(name))]; ok {
		return f
	}
	var lines []string
	for line := range bytes.Lines(head) {
		text := strings.TrimSpace(string(line))
		if !bytes.HasSuffix(line, []byte("\n")) && len(lines) > 0 {
			break // it may be cut
		}
		if text != "" && !strings.HasPrefix(text, commentMark) {
			lines = append(lines, text)
		}
	}
	every := func(fits func(string) bool) bool {
		return len(lines) > 0 && !slices.ContainsFunc(lines, func(l string) bool { return !fits(l) })
	}
	switch {
	case every(looksJSON):
		return JSONL
	case every(looksTRN):
		return TRN
	case every(looksCTM):
		return CTM
	case every(looksSTM):
		return STM
	case name == kaldiName:
		return Kaldi
	}
	return Text
}

// looksJSON reports whether a line is a JSON object, or the beginning of a long one.
func looksJSON(line string) bool {
	return json.Valid([]byte(line)) && line[0] == '{' || len(line) >= peeked/2 && strings.HasPrefix(line, `{"`)
}

// looksTRN reports whether a line ends with an identifier in parentheses.
func looksTRN(line string) bool {
	_, id, err := cutID(line)
	return err == nil && !strings.ContainsAny(id, " \t") && strings.HasSuffix(line, ")")
}

// looksCTM reports whether a line has two times, or those of an alternative, in its third and fourth columns and a word behind them.
func looksCTM(line string) bool {
	f := strings.Fields(line)
	if len(f) < 5 || len(f) > maxColumns {
		return false
	}
	times := isNumber(f[2]) && isNumber(f[3]) || f[2] == "*" && f[3] == "*"
	return times && (len(f) == 5 || isNumber(f[5]) || strings.EqualFold(f[5], noConfidence))
}

// looksSTM reports whether a line has two times in its fourth and fifth columns.
func looksSTM(line string) bool {
	f := strings.Fields(line)
	return len(f) >= 5 && isNumber(f[3]) && isNumber(f[4])
}

// isNumber reports whether a field is a decimal number.
func isNumber(field string) bool {
	_, err := strconv.ParseFloat(field, 64)
	return err == nil && strings.IndexByte("-+.0123456789", field[0]) >= 0
}

// cutWord returns the first word of a line and what is behind it.
func cutWord(line string) (word, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexFunc(line, isSpace); i >= 0 {
		_, n := utf8.DecodeRuneInString(line[i:])
		return line[:i], strings.TrimSpace(line[i+n:])
	}
	return line, ""
}

// isSpace reports whether r parts columns. No-break spaces do not: they may stand within a name.
func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\v' || r == '\f' || r == '\r' }
