package main

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"glossa/eval"
)

// alignments returns what prints the alignment of an outcome, if that is asked for.
func (r *scoreRun) alignments() func(*eval.Outcome) error {
	p := &r.command.Print
	if !p.Align && !p.AlignCorrect {
		return func(*eval.Outcome) error { return nil }
	}
	a := newAligner(r.console)
	return func(o *eval.Outcome) error {
		if o.Words.Edits() == 0 && !p.AlignCorrect {
			return nil
		}
		return r.console.print(a.text(o))
	}
}

// aligner writes alignments as sclite does (its output pra): the words of both texts under each other, those that differ in capitals, stars where there is no
// word, and the letter of the error under them.
type aligner struct {
	width  int // columns of a line
	colour bool
}

const (
	plainWidth = 100 // columns where there is no terminal
	leastWidth = 30
)

// newAligner returns an aligner for what is at the console's end.
func newAligner(c *console) aligner {
	a := aligner{width: plainWidth}
	if f, ok := c.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, dull := os.LookupEnv("NO_COLOR") // no-color.org
		a.colour = !dull
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width >= leastWidth {
			a.width = width
		}
	}
	return a
}

// Colours of the errors (ECMA-48, SGR).
var alignColours = map[eval.Op]string{eval.Substitution: "\x1b[33m", eval.Deletion: "\x1b[31m", eval.Insertion: "\x1b[36m"}

const noColour = "\x1b[0m"

// text returns the alignment of an outcome.
func (a aligner) text(o *eval.Outcome) string {
	var out strings.Builder
	out.WriteString("id: " + visible(o.ID))
	for _, part := range []string{o.Lang, o.Adapter} {
		if part != "" {
			out.WriteString("  " + visible(part))
		}
	}
	if o.Err != "" {
		return out.String() + "\nError: " + visible(o.Err) + "\n\n"
	}
	w := o.Words
	fmt.Fprintf(&out, "\nScores: (#C #S #D #I) %d %d %d %d\n", w.Hits, w.Substitutions, w.Deletions, w.Insertions)
	lines := newAlignLines(a)
	ref, hyp := o.Ref, o.Hyp
	for _, op := range o.Ops {
		var r, h string
		if op != eval.Insertion {
			r, ref = ref[0], ref[1:]
		}
		if op != eval.Deletion {
			h, hyp = hyp[0], hyp[1:]
		}
		lines.add(&out, op, visible(r), visible(h))
	}
	lines.flush(&out)
	out.WriteString("\n")
	return out.String()
}

// alignLines are the three lines that are being written.
type alignLines struct {
	aligner
	ref, hyp, eval strings.Builder
	columns        int
}

const alignLabel = len("Eval: ")

func newAlignLines(a aligner) *alignLines { return &alignLines{aligner: a} }

// add adds a column, in new lines where it does not fit.
func (l *alignLines) add(out *strings.Builder, op eval.Op, ref, hyp string) {
	letter := ""
	if op != eval.Hit {
		ref, hyp, letter = strings.ToUpper(ref), strings.ToUpper(hyp), op.String()
	}
	width := max(uniseg.StringWidth(ref), uniseg.StringWidth(hyp), 1)
	switch op {
	case eval.Insertion:
		ref = strings.Repeat("*", width)
	case eval.Deletion:
		hyp = strings.Repeat("*", width)
	}
	if l.columns > 0 && alignLabel+l.columns+1+width > l.width {
		l.flush(out)
	}
	for _, cell := range []struct {
		line *strings.Builder
		text string
	}{{&l.ref, ref}, {&l.hyp, hyp}, {&l.eval, letter}} {
		padding := strings.Repeat(" ", max(0, width-uniseg.StringWidth(cell.text)))
		if colour := alignColours[op]; l.colour && colour != "" {
			cell.text = colour + cell.text + noColour
		}
		cell.line.WriteString(" " + cell.text + padding)
	}
	l.columns += 1 + width
}

// flush writes the lines.
func (l *alignLines) flush(out *strings.Builder) {
	if l.columns == 0 && out.Len() == 0 {
		return
	}
	for _, line := range []struct {
		label string
		text  *strings.Builder
	}{{"REF: ", &l.ref}, {"HYP: ", &l.hyp}, {"Eval:", &l.eval}} {
		out.WriteString(strings.TrimRight(line.label+line.text.String(), " ") + "\n")
		line.text.Reset()
	}
	l.columns = 0
}

// visible returns text without what a terminal would obey.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return utf8.RuneError
		}
		return r
	}, text)
}
