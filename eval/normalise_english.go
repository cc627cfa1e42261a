package eval

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fillers are the words that are dropped: upstream's ignore_patterns.
var fillers = []string{"hmm", "mm", "mhm", "mmm", "uh", "um"}

// replacement is one of upstream's replacers: a word or the end of one, and what stands for it.
type replacement struct {
	text, by string
	whole    bool // the text begins a word: upstream's pattern begins with \b
}

// contractions are upstream's replacers in their order.
var contractions = []replacement{
	{"won't", "will not", true}, {"can't", "can not", true}, {"let's", "let us", true}, {"ain't", "aint", true},
	{"y'all", "you all", true}, {"wanna", "want to", true}, {"gotta", "got to", true}, {"gonna", "going to", true},
	{"i'ma", "i am going to", true}, {"imma", "i am going to", true}, {"woulda", "would have", true}, {"coulda", "could have", true},
	{"shoulda", "should have", true}, {"ma'am", "madam", true},

	{"mr", "mister ", true}, {"mrs", "missus ", true}, {"st", "saint ", true}, {"dr", "doctor ", true}, {"prof", "professor ", true},
	{"capt", "captain ", true}, {"gov", "governor ", true}, {"ald", "alderman ", true}, {"gen", "general ", true},
	{"sen", "senator ", true}, {"rep", "representative ", true}, {"pres", "president ", true}, {"rev", "reverend ", true},
	{"hon", "honorable ", true}, {"asst", "assistant ", true}, {"assoc", "associate ", true}, {"lt", "lieutenant ", true},
	{"col", "colonel ", true}, {"jr", "junior ", true}, {"sr", "senior ", true}, {"esq", "esquire ", true},

	{"'d been", " had been", false}, {"'s been", " has been", false}, {"'d gone", " had gone", false}, {"'s gone", " has gone", false},
	{"'d done", " had done", false}, {"'s got", " has got", false},

	{"n't", " not", false}, {"'re", " are", false}, {"'s", " is", false}, {"'d", " would", false}, {"'ll", " will", false},
	{"'t", " not", false}, {"'ve", " have", false}, {"'m", " am", false},
}

var (
	spaceBeforeApostrophe = regexp.MustCompile(pythonSpace + `+'`)
	commaBetweenDigits    = regexp.MustCompile(`(\p{Nd}),(\p{Nd})`)
	fullStop              = regexp.MustCompile(`\.([^0-9]|$)`)
	loosePrefix           = regexp.MustCompile(`[.$¢€£]([^0-9])`)
	looseSuffix           = regexp.MustCompile(`([^0-9])%`)
)

// english is EnglishTextNormalizer of openai/whisper (whisper/normalizers/english.py; Radford et al. 2022, appendix C): remarks and
// fillers dropped, contractions and titles written out, numbers as digits (see numerals), accents and symbols dropped, spellings mapped.
// White space at either end, which upstream may leave, is cut off.
func english(text string, spellings map[string]string) string {
	s := withoutRemarks(pythonLower(strings.ToValidUTF8(text, "\uFFFD")))
	for _, filler := range fillers {
		s = replaceWords(s, replacement{filler, "", true})
	}
	s = spaceBeforeApostrophe.ReplaceAllString(s, "'")
	for _, r := range contractions {
		s = replaceWords(s, r)
	}
	s = commaBetweenDigits.ReplaceAllString(s, "$1$2")
	s = fullStop.ReplaceAllString(s, " $1")
	s = removeSymbolsAndDiacritics(s, ".%$¢€£")

	s = numerals(s)
	words := strings.FieldsFunc(s, isPythonSpace)
	for i, w := range words {
		if as, ok := spellings[w]; ok {
			words[i] = as
		}
	}
	s = strings.Join(words, " ")

	s = loosePrefix.ReplaceAllString(s, " $1")
	s = looseSuffix.ReplaceAllString(s, "$1 ")
	return strings.Join(strings.FieldsFunc(s, isPythonSpace), " ")
}

// replaceWords replaces a text wherever a word ends with it, and begins with it where the replacement is of whole words. A word is what
// \b bounds in a text of Python, so that é is part of one.
func replaceWords(s string, r replacement) string {
	if !strings.Contains(s, r.text) {
		return s
	}
	var out strings.Builder
	done := 0
	for at := 0; ; {
		i := strings.Index(s[at:], r.text)
		if i < 0 {
			out.WriteString(s[done:])
			return out.String()
		}
		begin, end := at+i, at+i+len(r.text)
		if wordFollows(s[end:]) || r.whole && wordPrecedes(s[:begin]) {
			at = begin + 1
			continue
		}
		out.WriteString(s[done:begin])
		out.WriteString(r.by)
		done, at = end, end
	}
}

// wordPrecedes reports whether s ends within a word.
func wordPrecedes(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isPythonWord(r)
}

// wordFollows reports whether s begins within a word.
func wordFollows(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isPythonWord(r)
}

// isPythonWord reports whether \w matches r in a text of Python: a letter, a number or an underscore, but no mark.
func isPythonWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || r == '_' }
