package eval

import (
	"math/big"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// numberWords is upstream's process_words: words in, words out, with the number words among them put together to numbers.
func numberWords(words []string) []string {
	var n numberReader
	for i := 0; i < len(words); i++ {
		var previous, next string
		if i > 0 {
			previous = words[i-1]
		}
		if i+1 < len(words) {
			next = words[i+1]
		}
		if n.read(previous, words[i], next) {
			i++
		}
	}
	if n.has() {
		n.put(n.text())
	}
	return n.out
}

// numberReader is the state of process_words. Its number is a whole one, or digits in a row that say none (007, 2.5, 192.168.): then
// digits is not "".
type numberReader struct {
	out    []string
	prefix string
	whole  *big.Int
	digits string
}

func (n *numberReader) has() bool { return n.whole != nil || n.digits != "" }

// text returns the number as digits.
func (n *numberReader) text() string {
	if n.digits != "" || n.whole == nil {
		return n.digits
	}
	return n.whole.String()
}

// textOrNothing is Python's str(value or ""): the whole number 0 is nothing.
func (n *numberReader) textOrNothing() string {
	if n.whole != nil && n.whole.Sign() == 0 {
		return ""
	}
	return n.text()
}

func (n *numberReader) set(whole *big.Int)   { n.whole, n.digits = whole, "" }
func (n *numberReader) setInt(whole int64)   { n.set(big.NewInt(whole)) }
func (n *numberReader) setText(digit string) { n.whole, n.digits = nil, digit }

// put is upstream's output: a word with the prefix, after which there is neither prefix nor number.
func (n *numberReader) put(word string) {
	n.out = append(n.out, n.prefix+word)
	n.prefix, n.whole, n.digits = "", nil, ""
}

// flush puts the number, if there is one.
func (n *numberReader) flush() {
	if n.has() {
		n.put(n.text())
	}
}

var digitsOnly = regexp.MustCompile(`^\p{Nd}+(\.\p{Nd}+)?$`)

// read takes in a word that stands between two others, "" for none, and reports whether the next one is used up.
func (n *numberReader) read(previous, word, next string) (skip bool) {
	kind := kindOf(word)
	first, size := utf8.DecodeRuneInString(word)
	unsigned, prefix := word, ""
	if strings.ContainsRune(prefixes, first) {
		unsigned, prefix = word[size:], word[:size]
	}
	numberNext := next != "" && (kindOf(next) != otherWord || digitsOnly.MatchString(next))
	switch {
	case digitsOnly.MatchString(unsigned):
		n.arabic(word, prefix, unsigned)
	case kind == otherWord:
		n.flush()
		n.put(word)
	case kind == zeroWord:
		n.setText(n.textOrNothing() + "0")
	case kind == onesWord:
		n.addOnes(previous, ones[word])
	case kind == onesSuffixedWord:
		s := onesSuffixed[word]
		n.addOnes(previous, s.value.Int64())
		n.put(n.text() + s.suffix)
	case kind == tensWord:
		n.addTens(tens[word])
	case kind == tensSuffixedWord:
		s := tensSuffixed[word]
		n.addTens(s.value.Int64())
		n.put(n.text() + s.suffix)
	case kind == multiplierWord:
		n.multiply(multipliers[word], false)
	case kind == multiplierSuffixedWord:
		s := multipliersSuffixed[word]
		n.multiply(s.value, true)
		n.put(n.text() + s.suffix)
	case kind == signWord:
		n.flush()
		if numberNext {
			n.prefix = signs[word]
		} else {
			n.put(word)
		}
	case kind == currencyWord:
		if n.has() {
			n.prefix = currencies[word]
			n.flush()
		} else {
			n.put(word)
		}
	case kind == percentWord:
		return n.percent(word, next)
	default:
		return n.special(previous, word, next, numberNext)
	}
	return false
}

// arabic takes in digits, which may have a sign before and a fraction behind.
func (n *numberReader) arabic(word, prefix, unsigned string) {
	if n.has() {
		if strings.HasSuffix(n.digits, ".") { // decimals, or the parts of an address
			n.digits += word
			return
		}
		n.flush()
	}
	if prefix != "" {
		n.prefix = prefix
	}
	if value := fraction(unsigned); value.IsInt() {
		n.set(new(big.Int).Set(value.Num()))
	} else {
		n.setText(unsigned)
	}
}

// addOnes takes in a number word below twenty.
func (n *numberReader) addOnes(previous string, value int64) {
	_, afterOnes := ones[previous]
	_, afterTens := tens[previous]
	text := big.NewInt(value).String()
	switch {
	case !n.has():
		n.setInt(value)
	case n.digits != "" || afterOnes:
		if afterTens && value < 10 { // for the zero at the end
			n.setText(n.digits[:len(n.digits)-1] + text)
		} else {
			n.setText(n.text() + text)
		}
	case value < 10 && n.endsInZeros(10), value >= 10 && n.endsInZeros(100):
		n.set(new(big.Int).Add(n.whole, big.NewInt(value)))
	default:
		n.setText(n.text() + text)
	}
}

// addTens takes in twenty, thirty, …
func (n *numberReader) addTens(value int64) {
	switch {
	case !n.has():
		n.setInt(value)
	case n.digits == "" && n.endsInZeros(100):
		n.set(new(big.Int).Add(n.whole, big.NewInt(value)))
	default:
		n.setText(n.text() + big.NewInt(value).String())
	}
}

// endsInZeros reports whether a power of ten divides the whole number.
func (n *numberReader) endsInZeros(power int64) bool {
	return new(big.Int).Mod(n.whole, big.NewInt(power)).Sign() == 0
}

// multiply takes in hundred, thousand, … In a whole number it multiplies what is below a thousand.
func (n *numberReader) multiply(by *big.Int, hasSuffix bool) {
	switch {
	case !n.has():
		n.set(by)
	case n.digits != "" || n.whole.Sign() == 0 && !hasSuffix:
		value := fraction(n.text())
		if value != nil {
			value.Mul(value, new(big.Rat).SetInt(by))
		}
		if value != nil && value.IsInt() {
			n.set(new(big.Int).Set(value.Num()))
			return
		}
		n.flush()
		n.set(by)
	default:
		below := new(big.Int).Mod(n.whole, big.NewInt(1000))
		above := new(big.Int).Sub(n.whole, below)
		n.set(above.Add(above, below.Mul(below, by)))
	}
}

// percent takes in "percent" or "per".
func (n *numberReader) percent(word, next string) (skip bool) {
	switch {
	case !n.has():
		n.put(word)
	case word == "percent":
		n.put(n.text() + "%")
	case next == "cent":
		n.put(n.text() + "%")
		return true
	default:
		n.flush()
		n.put(word)
	}
	return false
}

// special takes in "and", "double", "triple" or "point", which mean something before a number only.
func (n *numberReader) special(previous, word, next string, numberNext bool) (skip bool) {
	switch {
	case !numberNext:
		n.flush()
		n.put(word)
	case word == "and": // nothing after hundred, thousand, …
		if multipliers[previous] == nil {
			n.flush()
			n.put(word)
		}
	case word == "point":
		if isDecimal(next) || digitsOnly.MatchString(next) {
			n.setText(n.textOrNothing() + ".")
		}
	case ones[next] > 0 || zeros[next]: // double, triple
		repeats := 2
		if word == "triple" {
			repeats = 3
		}
		n.setText(n.textOrNothing() + strings.Repeat(big.NewInt(ones[next]).String(), repeats))
		return true
	default:
		n.flush()
		n.put(word)
	}
	return false
}

// fraction returns the value of digits with at most one point among them, nil of anything else: Python's Fraction.
func fraction(text string) *big.Rat {
	var ascii strings.Builder
	points := 0
	for i, r := range text {
		switch {
		case r == '.' && (i > 0 || len(text) > 1):
			points++
			ascii.WriteByte('.')
		case unicode.Is(unicode.Nd, r):
			ascii.WriteByte('0' + byte(digitValue(r)))
		default:
			return nil
		}
	}
	if points > 1 || ascii.Len() == 0 {
		return nil
	}
	value, ok := new(big.Rat).SetString("0" + ascii.String() + "0"[:points])
	if !ok {
		return nil
	}
	return value
}

// digitValue returns the value of a decimal digit of any script: they stand in rows of ten.
func digitValue(digit rune) rune {
	for _, row := range unicode.Nd.R16 {
		if lo, hi := rune(row.Lo), rune(row.Hi); digit >= lo && digit <= hi {
			return (digit - lo) % 10
		}
	}
	for _, row := range unicode.Nd.R32 {
		if lo, hi := rune(row.Lo), rune(row.Hi); digit >= lo && digit <= hi {
			return (digit - lo) % 10
		}
	}
	return 0
}
