package transcript

import (
	"fmt"
	"io"
	"strings"

	"glossa/eval"
)

// trnParser reads "words (id)".
type trnParser struct{ role Role }

func (p trnParser) next(l *lines) (*Record, error) {
	line, err := l.nextEntry()
	if err != nil {
		return nil, err
	}
	text, id, err := cutID(line)
	if err != nil {
		return nil, l.place().wrap(err)
	}
	r := &Record{Place: l.place(), Pair: eval.Pair{ID: id, Speaker: SpeakerOf(id)}}
	r.setText(p.role, text)
	return r, nil
}

// cutID parts a line of a trn in its text and the identifier in the last parentheses (remove_id of sclite's align.c).
func cutID(line string) (text, id string, err error) {
	open, end := strings.LastIndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return "", "", fmt.Errorf("%w: no utterance identifier in parentheses at the end of the line", ErrSyntax)
	}
	if rest := strings.TrimSpace(line[end+1:]); rest != "" {
		return "", "", fmt.Errorf("%w: %.40q behind the utterance identifier", ErrSyntax, rest)
	}
	if id = strings.TrimSpace(line[open+1 : end]); id == "" {
		return "", "", fmt.Errorf("%w: an empty utterance identifier", ErrSyntax)
	}
	return strings.TrimSpace(line[:open]), id, nil
}

// SpeakerOf returns the speaker that an utterance's identifier names: what is before its first hyphen or, where there is none, its first
// underscore; "" without either (extract_speaker of sclite's align.c, for the types spu_id, rm and swb).
func SpeakerOf(id string) string {
	for _, mark := range []string{"-", "_"} {
		if speaker, _, ok := strings.Cut(id, mark); ok {
			return speaker
		}
	}
	return ""
}

// WriteTRN writes a line of a trn. It fails with ErrSyntax on an identifier that is empty or has parentheses or line ends in it.
func WriteTRN(w io.Writer, id, text string) error {
	if strings.TrimSpace(id) != id || id == "" || strings.ContainsAny(id, "()\r\n") {
		return fmt.Errorf("%w: %q cannot be an utterance's identifier in a trn", ErrSyntax, id)
	}
	text = oneLine(text)
	if text != "" {
		text += " "
	}
	_, err := fmt.Fprintf(w, "%s(%s)\n", text, id)
	return err
}

// oneLine returns text with single spaces between its words.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// kaldiParser reads "id words".
type kaldiParser struct{ role Role }

func (p kaldiParser) next(l *lines) (*Record, error) {
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		id, text := cutWord(line)
		if id == "" {
			continue
		}
		r := &Record{Place: l.place(), Pair: eval.Pair{ID: id}}
		r.setText(p.role, text)
		return r, nil
	}
}

// WriteKaldi writes a line of Kaldi's text. It fails with ErrSyntax on an identifier that is empty or has white space in it.
func WriteKaldi(w io.Writer, id, text string) error {
	if id == "" || len(strings.Fields(id)) != 1 || strings.TrimSpace(id) != id {
		return fmt.Errorf("%w: %q cannot be an utterance's identifier in Kaldi's text", ErrSyntax, id)
	}
	_, err := fmt.Fprintf(w, "%s\n", strings.TrimRight(id+" "+oneLine(text), " "))
	return err
}

// textParser reads plain lines, each an utterance: a blank one is one in which nothing is said.
type textParser struct{ role Role }

func (p textParser) next(l *lines) (*Record, error) {
	line, err := l.next()
	if err != nil {
		return nil, err
	}
	r := &Record{Place: l.place()}
	r.setText(p.role, strings.TrimSpace(line))
	return r, nil
}
