package transcript

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"glossa/eval"
)

// Word is a word of a ctm.
type Word struct {
	Start, Duration float64 // seconds
	Text            string  // of a reference's alternatives, "{ um / uh }"
	Confidence      float64 // NaN where the file does not say
}

// Middle returns the time that says which segment a word is of.
func (w Word) Middle() float64 { return w.Start + w.Duration/2 }

const (
	maxColumns   = 8 // of a ctm: NIST's evaluations add a type and a speaker to the confidence
	noConfidence = "NA"

	altBegin = "<ALT_BEGIN>"
	altNext  = "<ALT>"
	altEnd   = "<ALT_END>"
)

// ctmParser reads words, and yields those of a channel of a recording together.
type ctmParser struct {
	role  Role
	ahead *ctmLine // the first word of the next recording
}

// ctmLine is a line of a ctm.
type ctmLine struct {
	place              Place
	recording, channel string
	mark               string // one of the words that part alternatives, or ""
	word               Word
}

func (p *ctmParser) next(l *lines) (*Record, error) {
	first := p.ahead
	p.ahead = nil
	if first == nil {
		var err error
		if first, err = parseCTM(l); err != nil {
			return nil, err
		}
	}
	r := &Record{Place: first.place, Channel: first.channel, Pair: eval.Pair{ID: first.recording, Audio: first.recording}}
	alternatives := ctmAlternatives{reader: l}
	for line := first; ; {
		if line.recording != r.Audio || line.channel != r.Channel {
			p.ahead = line
			break
		}
		if line.mark != "" && p.role == Hypothesis {
			return nil, line.place.wrap(fmt.Errorf("%w: %s: a hypothesis can have no alternatives", ErrSyntax, line.mark))
		}
		if err := alternatives.add(r, line); err != nil {
			return nil, line.place.wrap(err)
		}
		var err error
		if line, err = parseCTM(l); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if alternatives.open {
		return nil, r.Place.wrap(fmt.Errorf("%w: alternatives of recording %s, channel %s, without %s", ErrSyntax, r.Audio, r.Channel, altEnd))
	}
	slices.SortStableFunc(r.Words, func(a, b Word) int { return cmp.Compare(a.Start, b.Start) })
	words := make([]string, len(r.Words))
	for i, w := range r.Words {
		words[i] = w.Text
		r.Duration = max(r.Duration, w.Start+w.Duration)
	}
	r.setText(p.role, strings.Join(words, " "))
	return r, nil
}

// ctmAlternatives puts alternatives together in one word, as trn and stm write them.
type ctmAlternatives struct {
	reader *lines
	open   bool
	word   Word // times of those so far
	text   []string
	empty  bool // nothing is in the present one
}

// add adds a line to the words of a record.
func (a *ctmAlternatives) add(r *Record, line *ctmLine) error {
	end := func() {
		if a.empty {
			a.text = append(a.text, "@") // the word of nothing
		}
	}
	switch {
	case line.mark == altBegin && !a.open:
		*a = ctmAlternatives{reader: a.reader, open: true, empty: true, text: []string{"{"}, word: Word{Start: math.Inf(1), Confidence: math.NaN()}}
	case line.mark == altNext && a.open:
		end()
		a.text = append(a.text, "/")
		a.empty = true
	case line.mark == altEnd && a.open:
		end()
		a.word.Text = strings.Join(append(a.text, "}"), " ")
		a.open = false
		if math.IsInf(a.word.Start, 1) {
			return fmt.Errorf("%w: alternatives without a word", ErrSyntax)
		}
		r.Words = append(r.Words, a.word)
	case line.mark != "":
		return fmt.Errorf("%w: %s out of place", ErrSyntax, line.mark)
	case a.open:
		begin, until := min(a.word.Start, line.word.Start), line.word.Start+line.word.Duration
		if !math.IsInf(a.word.Start, 1) {
			until = max(until, a.word.Start+a.word.Duration)
		}
		a.word.Start, a.word.Duration = begin, until-begin
		a.text = append(a.text, line.word.Text)
		a.empty = false
	default:
		r.Words = append(r.Words, line.word)
	}
	return nil
}

// parseCTM returns the next line.
func parseCTM(l *lines) (*ctmLine, error) {
	line, err := l.nextEntry()
	if err != nil {
		return nil, err
	}
	f := strings.FieldsFunc(line, isSpace)
	if len(f) < 5 || len(f) > maxColumns {
		return nil, l.fail("%d columns; a ctm has: recording channel start duration word [confidence]", len(f))
	}
	c := &ctmLine{place: l.place(), recording: f[0], channel: f[1], word: Word{Text: f[4], Confidence: math.NaN()}}
	if mark := strings.ToUpper(f[4]); mark == altBegin || mark == altNext || mark == altEnd {
		c.mark = mark
		return c, nil
	}
	if c.word.Start, err = parseTime(f[2]); err != nil {
		return nil, l.fail("start %v", err)
	}
	if c.word.Duration, err = parseTime(f[3]); err != nil {
		return nil, l.fail("duration %v", err)
	}
	if len(f) > 5 && !strings.EqualFold(f[5], noConfidence) {
		if c.word.Confidence, err = strconv.ParseFloat(f[5], 64); err != nil {
			return nil, l.fail("confidence %.40q is not a number", f[5])
		}
	}
	return c, nil
}

// parseTime returns a time in seconds that is not negative.
func parseTime(field string) (float64, error) {
	t, err := strconv.ParseFloat(field, 64)
	if err != nil || !(t >= 0) || math.IsInf(t, 1) {
		return 0, fmt.Errorf("%.40q is not a time in seconds", field)
	}
	return t, nil
}

// WriteCTM writes words of a channel of a recording. It fails with ErrSyntax where one of the names or words is empty or has white space in it,
// or a time is negative or not finite.
func WriteCTM(w io.Writer, recording, channel string, words []Word) error {
	for _, word := range words {
		if err := checkColumns(recording, channel, word.Text); err != nil {
			return err
		}
		if err := checkTimes(word.Start, word.Duration); err != nil {
			return err
		}
		confidence := ""
		if !math.IsNaN(word.Confidence) {
			confidence = fmt.Sprintf(" %.4g", word.Confidence)
		}
		if _, err := fmt.Fprintf(w, "%s %s %.3f %.3f %s%s\n", recording, channel, word.Start, word.Duration, word.Text, confidence); err != nil {
			return err
		}
	}
	return nil
}

// checkColumns returns an error unless each of the columns is a word.
func checkColumns(columns ...string) error {
	for i, c := range columns {
		if len(strings.FieldsFunc(c, isSpace)) != 1 || strings.ContainsAny(c, " \t\r\n\v\f") {
			return fmt.Errorf("%w: %q cannot be a column", ErrSyntax, c)
		}
		if i == 0 && strings.HasPrefix(c, commentMark) {
			return fmt.Errorf("%w: %q would begin a comment", ErrSyntax, c)
		}
	}
	return nil
}

// checkTimes returns an error unless the times can be written.
func checkTimes(times ...float64) error {
	for _, t := range times {
		if !(t >= 0) || math.IsInf(t, 1) {
			return fmt.Errorf("%w: a time of %v seconds", ErrSyntax, t)
		}
	}
	return nil
}

// Spread returns the words of a text over a time in seconds, each as long as its share of the characters: a guess for what has no times of
// its words, which keeps them within their segment.
func Spread(text string, start, duration float64) []Word {
	fields := strings.Fields(text)
	total := 0
	for _, f := range fields {
		total += len([]rune(f))
	}
	words, done := make([]Word, len(fields)), 0
	for i, f := range fields {
		n := len([]rune(f))
		words[i] = Word{
			Start: start + duration*float64(done)/float64(total), Duration: duration * float64(n) / float64(total),
			Text: f, Confidence: math.NaN(),
		}
		done += n
	}
	return words
}
