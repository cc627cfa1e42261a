package transcript

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"glossa/eval"
)

// ignoreMark is the text of a segment that is not scored: words of a ctm within it count nowhere.
const ignoreMark = "IGNORE_TIME_SEGMENT_IN_SCORING"

// stmParser reads segments.
type stmParser struct{ role Role }

func (p stmParser) next(l *lines) (*Record, error) {
	line, err := l.nextEntry()
	if err != nil {
		return nil, err
	}
	var column [5]string
	rest := line
	for i := range column {
		column[i], rest = cutWord(rest)
	}
	if column[4] == "" {
		return nil, l.fail("%d columns; an stm has: recording channel speaker start end [<labels>] words", len(strings.FieldsFunc(line, isSpace)))
	}
	start, err := parseTime(column[3])
	if err != nil {
		return nil, l.fail("start %v", err)
	}
	end, err := parseTime(column[4])
	if err != nil {
		return nil, l.fail("end %v", err)
	}
	if end < start {
		return nil, l.fail("a segment from %s to %s ends before it begins", column[3], column[4])
	}
	r := &Record{Place: l.place(), Channel: column[1], until: end}
	r.Pair = eval.Pair{
		ID:    strings.Join([]string{column[2], column[0], column[1], column[3], column[4]}, "-"),
		Audio: column[0], Speaker: column[2], Start: start, Duration: end - start,
	}
	if strings.HasPrefix(rest, "<") { // as in parse_stm_line of sclite's stm.c
		r.Labels, rest = cutWord(rest)
	}
	r.Ignored = strings.Contains(strings.ToUpper(rest), ignoreMark)
	r.setText(p.role, rest)
	return r, nil
}

// WriteSTM writes a segment: its reference, or where that is what role says, its hypothesis. An utterance of an unknown channel is of channel 1, of
// an unknown speaker of the recording's own. It fails with ErrSyntax where a name is empty or has white space in it, or a time is not finite.
func WriteSTM(w io.Writer, r Record, role Role) error {
	channel, speaker := r.Channel, r.Speaker
	if channel == "" {
		channel = "1"
	}
	if speaker == "" {
		speaker = r.Audio
	}
	if err := checkColumns(r.Audio, channel, speaker); err != nil {
		return err
	}
	if err := checkTimes(r.Start, r.Duration, r.Start+r.Duration); err != nil {
		return err
	}
	columns := []string{r.Audio, channel, speaker, seconds(r.Start), seconds(r.Start + r.Duration)}
	if r.Labels != "" {
		if err := checkColumns(r.Labels); err != nil || r.Labels[0] != '<' {
			return fmt.Errorf("%w: %q cannot be labels", ErrSyntax, r.Labels)
		}
		columns = append(columns, r.Labels)
	}
	text := oneLine(r.text(role))
	if r.Ignored {
		text = ignoreMark
	}
	if strings.HasPrefix(text, "<") && r.Labels == "" {
		columns = append(columns, "<>") // or the first word would be read as labels
	}
	if text != "" {
		columns = append(columns, text)
	}
	_, err := fmt.Fprintln(w, strings.Join(columns, " "))
	return err
}

// seconds returns a time to the millisecond.
func seconds(t float64) string { return strconv.FormatFloat(t, 'f', 3, 64) }
