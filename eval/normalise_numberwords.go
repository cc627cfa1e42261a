package eval

import (
	"math/big"
	"strings"
)

// suffixed is a number word with an ending: thirds is {3, "rds"}.
type suffixed struct {
	value  *big.Int
	suffix string
}

// The number words of upstream's EnglishNumberNormalizer.
var (
	zeros = map[string]bool{"o": true, "oh": true, "zero": true}
	ones  = map[string]int64{
		"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
		"twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
	}
	tens = map[string]int64{
		"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
	}
	multipliers = powersOfTen()

	onesSuffixed        = suffixedOnes()
	tensSuffixed        = suffixedTens()
	multipliersSuffixed = suffixedMultipliers()

	signs      = map[string]string{"minus": "-", "negative": "-", "plus": "+", "positive": "+"} // preceding_prefixers
	currencies = map[string]string{                                                             // following_prefixers
		"pound": "£", "pounds": "£", "euro": "€", "euros": "€", "dollar": "$", "dollars": "$", "cent": "¢", "cents": "¢",
	}
)

// prefixes are the signs that may stand before digits.
const prefixes = "-+£€$¢"

func powersOfTen() map[string]*big.Int {
	m := map[string]*big.Int{"hundred": big.NewInt(100)}
	power := big.NewInt(1)
	for _, name := range []string{
		"thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion", "octillion", "nonillion", "decillion",
	} {
		power = new(big.Int).Mul(power, big.NewInt(1000))
		m[name] = power
	}
	return m
}

func suffixedOnes() map[string]suffixed {
	m := map[string]suffixed{"zeroth": {big.NewInt(0), "th"}, "first": {big.NewInt(1), "st"}, "second": {big.NewInt(2), "nd"},
		"third": {big.NewInt(3), "rd"}, "fifth": {big.NewInt(5), "th"}, "twelfth": {big.NewInt(12), "th"}}
	for name, value := range ones {
		plural := name + "s"
		if name == "six" {
			plural = "sixes"
		}
		m[plural] = suffixed{big.NewInt(value), "s"}
		if value <= 3 || value == 5 || value == 12 {
			continue
		}
		ordinal := name + "th"
		if strings.HasSuffix(name, "t") {
			ordinal = name + "h"
		}
		m[ordinal] = suffixed{big.NewInt(value), "th"}
	}
	return m
}

func suffixedTens() map[string]suffixed {
	m := make(map[string]suffixed)
	for name, value := range tens {
		m[strings.Replace(name, "y", "ies", 1)] = suffixed{big.NewInt(value), "s"}
		m[strings.Replace(name, "y", "ieth", 1)] = suffixed{big.NewInt(value), "th"}
	}
	return m
}

func suffixedMultipliers() map[string]suffixed {
	m := make(map[string]suffixed)
	for name, value := range multipliers {
		m[name+"s"] = suffixed{value, "s"}
		m[name+"th"] = suffixed{value, "th"}
	}
	return m
}

// wordKind says which rule of numberReader.read a word falls under.
type wordKind uint8

const (
	otherWord wordKind = iota
	zeroWord
	onesWord
	onesSuffixedWord
	tensWord
	tensSuffixedWord
	multiplierWord
	multiplierSuffixedWord
	signWord
	currencyWord
	percentWord // "per", "percent"
	specialWord // "and", "double", "triple", "point"
)

// kindOf returns the kind of a word, in the order in which upstream looks for it.
func kindOf(word string) wordKind {
	switch {
	case zeros[word]:
		return zeroWord
	case ones[word] > 0:
		return onesWord
	case onesSuffixed[word].value != nil:
		return onesSuffixedWord
	case tens[word] > 0:
		return tensWord
	case tensSuffixed[word].value != nil:
		return tensSuffixedWord
	case multipliers[word] != nil:
		return multiplierWord
	case multipliersSuffixed[word].value != nil:
		return multiplierSuffixedWord
	case signs[word] != "":
		return signWord
	case currencies[word] != "":
		return currencyWord
	case word == "per" || word == "percent":
		return percentWord
	case word == "and" || word == "double" || word == "triple" || word == "point":
		return specialWord
	}
	return otherWord
}

// isDecimal reports whether a word may follow "point": upstream's decimals.
func isDecimal(word string) bool { return ones[word] > 0 || tens[word] > 0 || zeros[word] }
