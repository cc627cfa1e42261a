package page

import (
	"fmt"
	"strconv"
	"strings"

	"glossa/eval"
)

// lead is the first sentence of a report: what the adapters come to.
func lead(r *eval.Report) string {
	better, worse, open := 0, 0, 0
	for _, c := range gains(r) {
		switch verdict(c) {
		case "better":
			better++
		case "worse":
			worse++
		default:
			open++
		}
	}
	of := better + worse + open
	if of == 0 {
		return ""
	}
	s := fmt.Sprintf("Adapters lower the word error rate in %d of %s with the base model", better, plural(of, "comparison"))
	switch {
	case worse > 0 && open > 0:
		s += fmt.Sprintf(" and raise it in %d; of %d the interval holds zero", worse, open)
	case worse > 0:
		s += fmt.Sprintf(" and raise it in %d", worse)
	case open > 0:
		s += fmt.Sprintf("; of %d the interval holds zero", open)
	}
	s += "."
	if together, _ := split(r); together != nil {
		s += fmt.Sprintf(" All languages together gain %s points", signed(together.WER))
		if hasInterval(together) {
			s += interval(&together.Interval, signed)
		}
		s += "."
	}
	return s
}

// notes say what the page left out, and why.
func notes(d Data, s *selection, sounds sound) (lines []string) {
	shown := len(s.utterances)
	if shown == 0 {
		return []string{"There are no utterances in this report."}
	}
	if left := s.seen - s.kept; left > 0 {
		var line string
		if s.worst+s.sample > 0 {
			line = fmt.Sprintf("There is room for %s of %s transcriptions: those of the %s with the most errors and of %s others, a random sample. The numbers and charts above count all of them.",
				count(s.kept), count(s.seen), plural(s.worst, "utterance"), count(s.sample))
		} else {
			line = fmt.Sprintf("The page has %s of %s transcriptions: no more than %d of one utterance. The numbers and charts above count all of them.", count(s.kept), count(s.seen), maxOutcomes)
		}
		lines = append(lines, line)
	}
	if d.Sound == nil || d.SoundBudget < 0 {
		return lines
	}
	line := fmt.Sprintf("%s of %s %s sound", count(len(sounds.clips)), plural(shown, "utterance"), hasHave(len(sounds.clips)))
	if sounds.beyond > 0 {
		line += fmt.Sprintf(", first those with the most errors; that of %s would exceed the %s that are set aside for it", count(sounds.beyond), bytesText(sounds.budget))
	}
	if sounds.unreadable > 0 {
		line += fmt.Sprintf("; that of %s could not be read", count(sounds.unreadable))
	}
	return append(lines, line+".")
}

// count writes a number with a thin space between thousands.
func count(n int) string {
	digits := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), "\u202f")
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return count(n) + " " + thing
}

func hasHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// bytesText writes a size.
func bytesText(n int) string {
	switch {
	case n >= 1<<20:
		return number(float64(n)/(1<<20)) + " MiB"
	case n >= 1<<10:
		return number(float64(n)/(1<<10)) + " KiB"
	}
	return plural(n, "byte")
}

// bare returns a fraction in per cent with one decimal and no sign of it.
func bare(x float64) string { return strings.TrimSuffix(percent(x), "%") }

// probability writes a p-value.
func probability(p *float64) string {
	switch {
	case p == nil:
		return ""
	case *p < 0.001:
		return "<0.001"
	}
	return strconv.FormatFloat(*p, 'f', 3, 64)
}
