package transcript

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"unicode/utf8"

	"glossa/eval"
)

// ErrSyntax is wrapped by errors about what a file says by itself.
var ErrSyntax = errors.New("transcript: bad input")

// Stdin is the name of the standard input among the files of a Source.
const Stdin = "-"

// Role is what the texts of a source are.
type Role uint8

// The roles. Results have both, a reference and a hypothesis in each line of JSON.
const (
	Reference Role = iota
	Hypothesis
	Results
)

// Source is files that are read one after the other. They are of one format.
type Source struct {
	Name   string   // of the system, as Pair.Adapter has it
	Files  []string // Stdin for the standard input
	Format Format   // the default value is Auto, as is ""
	Role   Role
	// Adapter keeps the lines of one adapter alone, "" for the base model, in results of several. The default value is nil: all.
	Adapter *string
	// Open opens a file. The default value is nil: os.Open, and os.Stdin for Stdin.
	Open func(name string) (io.ReadCloser, error)
}

// Place is a line of a file.
type Place struct {
	File string
	Line int // from 1 on
}

// String returns file:line.
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// wrap returns an error about the place.
func (p Place) wrap(err error) error { return fmt.Errorf("%v: %w", p, err) }

// Record is what a file says of one utterance; of a ctm, of one channel of a recording.
//
// Of the texts of the Pair the one of the source's role is set. ID is "" where the file names sound alone; Audio of ctm and stm is the recording
// as it is written there, without a path or an ending.
type Record struct {
	eval.Pair
	Place   Place
	Channel string // of ctm and stm
	Labels  string // of stm, as written: "<O,F,00>"
	Ignored bool   // of stm: IGNORE_TIME_SEGMENT_IN_SCORING
	Words   []Word // of ctm, in order of their times

	until    float64   // of stm: when the segment ends
	segments []*Record // of a channel of a recording, in order of their times
}

// text returns the text of a role.
func (r *Record) text(role Role) string {
	if role == Hypothesis {
		return r.Hypothesis
	}
	return r.Reference
}

// setText sets the text of a role.
func (r *Record) setText(role Role, text string) {
	if role == Hypothesis {
		r.Hypothesis = text
	} else {
		r.Reference = text
	}
}

// Records yields what the files say, in their order, up to the first error.
func (s Source) Records() iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		in, err := s.open()
		if err != nil {
			yield(nil, err)
			return
		}
		defer in.close()
		for {
			r, err := in.next()
			if err == io.EOF || !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// parser reads records of a format. It returns io.EOF behind the last one of a file.
type parser interface {
	next(*lines) (*Record, error)
}

// stream is an open source.
type stream struct {
	source Source
	format Format
	files  []string // those that are not open yet
	file   *lines
	parser parser

	regroup func(parser) parser // what the parser of each further file is put behind, or nil
}

// open opens the first file, and so finds out the format.
func (s Source) open() (*stream, error) {
	if len(s.Files) == 0 {
		return nil, fmt.Errorf("%w: no files", ErrSyntax)
	}
	st := &stream{source: s, format: s.Format, files: s.Files}
	if st.format == "" {
		st.format = Auto
	}
	return st, st.openNext()
}

// openNext goes on to the next file.
func (s *stream) openNext() error {
	file, err := openLines(s.source, s.files[0])
	if err != nil {
		return err
	}
	s.file, s.files = file, s.files[1:]
	format := s.format
	if s.source.Format == Auto || s.source.Format == "" {
		format = detect(file.name, file.head())
	}
	if s.format != Auto && s.format != format {
		s.close()
		return fmt.Errorf("%s: %w: a file of format %s among those of format %s", file.name, ErrSyntax, format, s.format)
	}
	s.format = format
	if s.parser, err = newParser(format, s.source.Role); err != nil {
		s.close()
		return fmt.Errorf("%s: %w", file.name, err)
	}
	if s.regroup != nil {
		s.parser = s.regroup(s.parser)
	}
	return nil
}

// newParser returns a parser for one file.
func newParser(f Format, role Role) (parser, error) {
	if role == Results && f != JSONL {
		return nil, fmt.Errorf("%w: of format %s, which has one text for each utterance; references and hypotheses are to be named apart", ErrSyntax, f)
	}
	switch f {
	case TRN:
		return trnParser{role}, nil
	case CTM:
		return &ctmParser{role: role}, nil
	case STM:
		return stmParser{role}, nil
	case JSONL:
		return jsonParser{role}, nil
	case Kaldi:
		return kaldiParser{role}, nil
	case Text:
		return textParser{role}, nil
	}
	return nil, fmt.Errorf("%w: no format %q", ErrSyntax, f)
}

// next returns the next record, io.EOF behind the last.
func (s *stream) next() (*Record, error) {
	for {
		r, err := s.parser.next(s.file)
		switch {
		case err == nil:
			if s.source.Adapter != nil && r.Adapter != *s.source.Adapter {
				continue
			}
			return r, nil
		case err != io.EOF:
			return nil, err
		case len(s.files) == 0:
			return nil, io.EOF
		}
		s.close()
		if err := s.openNext(); err != nil {
			return nil, err
		}
	}
}

// name names the files in messages.
func (s *stream) name() string { return strings.Join(s.source.Files, ", ") }

// close closes what is open.
func (s *stream) close() {
	if s.file != nil {
		s.file.closer.Close() // it was read only
	}
	s.file = nil
}

const (
	maxLine = 8 << 20  // bytes; ten hours of speech in one line have half a megabyte
	peeked  = 16 << 10 // bytes that are looked at to tell the format
)

// lines are those of a file.
type lines struct {
	name   string
	number int
	r      *bufio.Reader
	closer io.Closer
	packed bool
	long   []byte // what there is of a line longer than r's buffer
}

// openLines opens a file, compressed or not.
func openLines(s Source, name string) (*lines, error) {
	open := s.Open
	if open == nil {
		open = openFile
	}
	file, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("transcript: %w", err)
	}
	l := &lines{name: name, r: bufio.NewReaderSize(file, 4*peeked), closer: file}
	if name == Stdin {
		l.name = "standard input"
	}
	if magic, _ := l.r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) { // RFC 1952
		z, err := gzip.NewReader(l.r)
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("%s: %w: %w", l.name, ErrSyntax, err)
		}
		l.r, l.packed = bufio.NewReaderSize(z, 4*peeked), true
	}
	if mark, _ := l.r.Peek(2); bytes.Equal(mark, []byte{0xff, 0xfe}) || bytes.Equal(mark, []byte{0xfe, 0xff}) {
		file.Close()
		return nil, fmt.Errorf("%s: %w: UTF-16; iconv -f UTF-16 -t UTF-8 makes UTF-8 of it", l.name, ErrSyntax)
	}
	if mark, _ := l.r.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		l.r.Discard(len(byteOrderMark))
	}
	return l, nil
}

const byteOrderMark = "\uFEFF"

// openFile is the default of Source.Open.
func openFile(name string) (io.ReadCloser, error) {
	if name == Stdin {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// head returns the beginning of the file, which stays to be read.
func (l *lines) head() []byte {
	head, _ := l.r.Peek(peeked) // an error is met again
	return head
}

// place is that of the last line.
func (l *lines) place() Place { return Place{l.name, l.number} }

// fail returns an error about the last line.
func (l *lines) fail(format string, args ...any) error {
	return l.place().wrap(fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, args...)))
}

// next returns the next line without its end, io.EOF behind the last.
func (l *lines) next() (string, error) {
	l.number++
	l.long = l.long[:0]
	part, err := l.r.ReadSlice('\n')
	for err == bufio.ErrBufferFull {
		if l.long = append(l.long, part...); len(l.long) > maxLine {
			return "", l.fail("a line of more than %d bytes", maxLine)
		}
		part, err = l.r.ReadSlice('\n')
	}
	if len(l.long) > 0 {
		l.long = append(l.long, part...)
		part = l.long
	}
	if len(part) > maxLine {
		return "", l.fail("a line of more than %d bytes", maxLine)
	}
	switch {
	case err != nil && err != io.EOF && l.packed:
		return "", l.fail("gzip: %v", err)
	case err != nil && err != io.EOF:
		return "", l.place().wrap(fmt.Errorf("transcript: %w", err))
	}
	if err == io.EOF && len(part) == 0 {
		return "", io.EOF
	}
	part = bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
	if !utf8.Valid(part) {
		return "", l.fail("not UTF-8; iconv -t UTF-8 -f with the encoding it has makes UTF-8 of it")
	}
	return string(part), nil
}

// commentMark begins a comment in SCTK's formats.
const commentMark = ";;"

// nextEntry is next without what is blank or a comment.
func (l *lines) nextEntry() (string, error) {
	for {
		line, err := l.next()
		if err != nil {
			return "", err
		}
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, commentMark) {
			return line, nil
		}
	}
}
