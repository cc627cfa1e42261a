package eval

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// numerals is EnglishNumberNormalizer of openai/whisper (whisper/normalizers/english.py): spelled numbers become digits ("forty three
// thousand two hundred and sixty" 43260), currencies go before theirs ("two dollars and seventy cents" $2.70), suffixes stay (1960s, 274th),
// digits said one by one are put together ("one oh one" 101), and "one" and "ones" are written out.
func numerals(s string) string {
	return afterNumbers(strings.Join(numberWords(strings.FieldsFunc(beforeNumbers(s), isPythonSpace)), " "))
}

var (
	andAHalf     = regexp.MustCompile(`and` + pythonSpace + `+a` + pythonSpace + `+half`)
	letterDigit  = regexp.MustCompile(`([a-z])([0-9])`)
	digitLetter  = regexp.MustCompile(`([0-9])([a-z])`)
	looseOrdinal = regexp.MustCompile(`([0-9])` + pythonSpace + `+(st|nd|rd|th|s)`)
	dollarsCents = regexp.MustCompile(`([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})`)
	centsOnly    = regexp.MustCompile(`[€£$]0.([0-9]{1,2})`)
	oneDigit     = regexp.MustCompile(`1(s?)`)
)

// beforeNumbers is upstream's preprocess: "and a half" behind a number word becomes "point five", digits and letters are set apart, but
// for the suffixes of numbers.
func beforeNumbers(s string) string {
	var parts []string
	segments := splitWholeWords(andAHalf, s)
	for i, segment := range segments {
		words := strings.FieldsFunc(segment, isPythonSpace)
		if len(words) == 0 {
			continue
		}
		parts = append(parts, segment)
		if i == len(segments)-1 {
			break
		}
		if last := words[len(words)-1]; isDecimal(last) || multipliers[last] != nil {
			parts = append(parts, "point five")
		} else {
			parts = append(parts, "and a half")
		}
	}
	s = strings.Join(parts, " ")
	s = letterDigit.ReplaceAllString(s, "$1 $2")
	s = digitLetter.ReplaceAllString(s, "$1 $2")
	return replaceBounded(looseOrdinal, s, false, func(m []string) string { return m[1] + m[2] })
}

// afterNumbers is upstream's postprocess: "$2 and ¢7" becomes $2.07, "$0.36" ¢36, and 1 is written out.
func afterNumbers(s string) string {
	s = replaceBounded(dollarsCents, s, false, func(m []string) string {
		cents, _ := strconv.Atoi(m[3]) // one or two digits
		return fmt.Sprintf("%s%s.%02d", m[1], m[2], cents)
	})
	s = replaceBounded(centsOnly, s, false, func(m []string) string {
		cents, _ := strconv.Atoi(m[1])
		return fmt.Sprintf("¢%d", cents)
	})
	return replaceBounded(oneDigit, s, true, func(m []string) string { return "one" + m[1] })
}

// replaceBounded replaces the matches that end where a word does, and begin where one does if whole is set. It is re.sub of a
// pattern with \b at its end, for patterns of which no shorter match at the same place could end there.
func replaceBounded(pattern *regexp.Regexp, s string, whole bool, by func(groups []string) string) string {
	var out strings.Builder
	done := 0
	for at := 0; ; {
		m := pattern.FindStringSubmatchIndex(s[at:])
		if m == nil {
			out.WriteString(s[done:])
			return out.String()
		}
		begin, end := at+m[0], at+m[1]
		if wordFollows(s[end:]) || whole && wordPrecedes(s[:begin]) {
			_, n := utf8.DecodeRuneInString(s[begin:])
			at = begin + n
			continue
		}
		groups := make([]string, len(m)/2)
		for g := range groups {
			groups[g] = s[at+m[2*g] : at+m[2*g+1]]
		}
		out.WriteString(s[done:begin])
		out.WriteString(by(groups))
		done, at = end, end
	}
}

// splitWholeWords cuts s at the matches that begin and end where words do.
func splitWholeWords(pattern *regexp.Regexp, s string) []string {
	const cut = "\x00" // in no text of words
	return strings.Split(replaceBounded(pattern, strings.ReplaceAll(s, cut, ""), true, func([]string) string { return cut }), cut)
}
