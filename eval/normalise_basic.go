package eval

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
)

// pythonSpace is what \s matches in a text of Python: str.isspace.
const pythonSpace = `[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`

// The patterns of remarks that openai/whisper drops: between brackets, which may be of different kinds, and between parentheses.
var (
	remarkInBrackets    = regexp.MustCompile(`[<\[][^>\]]*[>\]]`)
	remarkInParentheses = regexp.MustCompile(`\([^)]+?\)`)
)

// basic is BasicTextNormalizer of openai/whisper (whisper/normalizers/basic.py; Radford et al. 2022, appendix C): lower case, remarks in
// brackets dropped, cleaned, white space made single. White space at either end, which upstream leaves, is cut off.
func basic(text string, clean func(string) string) string {
	text = withoutRemarks(pythonLower(strings.ToValidUTF8(text, "\uFFFD")))
	return strings.Join(strings.FieldsFunc(pythonLower(clean(text)), isPythonSpace), " ")
}

// withoutRemarks drops what stands in brackets.
func withoutRemarks(text string) string {
	return remarkInParentheses.ReplaceAllString(remarkInBrackets.ReplaceAllString(text, ""), "")
}

// pythonLower is str.lower: Unicode's lower case without rules of languages.
func pythonLower(text string) string { return cases.Lower(language.Und).String(text) }

// isPythonSpace is str.isspace.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// removeSymbols is upstream's remove_symbols: marks, symbols and punctuation of the NFKC form become spaces.
func removeSymbols(text string) string {
	return strings.Map(func(r rune) rune {
		if isMarkOrSymbol(r) {
			return ' '
		}
		return r
	}, norm.NFKC.String(text))
}

// isMarkOrSymbol reports whether the category of r is M, S or P.
func isMarkOrSymbol(r rune) bool { return unicode.In(r, unicode.M, unicode.S, unicode.P) }

// undecomposed is upstream's ADDITIONAL_DIACRITICS: letters that NFKD leaves whole.
var undecomposed = map[rune]string{
	'œ': "oe", 'Œ': "OE", 'ø': "o", 'Ø': "O", 'æ': "ae", 'Æ': "AE", 'ß': "ss", 'ẞ': "SS", 'đ': "d", 'Đ': "D", 'ð': "d", 'Ð': "D",
	'þ': "th", 'Þ': "th", 'ł': "l", 'Ł': "L",
}

// removeSymbolsAndDiacritics is upstream's remove_symbols_and_diacritics: nonspacing marks of the NFKD form are dropped, other marks,
// symbols and punctuation become spaces, but for those in keep.
func removeSymbolsAndDiacritics(text, keep string) string {
	var out strings.Builder
	out.Grow(len(text))
	for _, r := range norm.NFKD.String(text) {
		plain, found := undecomposed[r]
		switch {
		case strings.ContainsRune(keep, r):
			out.WriteRune(r)
		case found:
			out.WriteString(plain)
		case unicode.Is(unicode.Mn, r):
		case isMarkOrSymbol(r):
			out.WriteByte(' ')
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
