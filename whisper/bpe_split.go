package whisper

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// contractions end a word of their own in the pre-tokenisation; they are tried in this order.
var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// pieces yields the pre-tokenisation of text, whose pieces are never merged with each other: the matches of GPT-2's expression
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// which cover the text. A byte that is not UTF-8 counts as neither space, letter nor number.
func pieces(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := pieceLen(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// pieceLen is the number of bytes of the first piece of text, which is not empty.
func pieceLen(text string) int {
	for _, c := range contractions {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	if n := runLen(text[start:]); n > 0 {
		return start + n
	}
	return spaceLen(text)
}

// charClass is how the pre-tokenisation sees a character.
type charClass int

const (
	classOther charClass = iota
	classLetter
	classNumber
	classSpace
)

func classOf(r rune) charClass {
	switch {
	case unicode.IsLetter(r):
		return classLetter
	case unicode.IsNumber(r):
		return classNumber
	case unicode.IsSpace(r):
		return classSpace
	}
	return classOther
}

// runLen is the number of leading bytes of text of one class, 0 where text is empty or begins with space.
func runLen(text string) int {
	if text == "" {
		return 0
	}
	first, n := utf8.DecodeRuneInString(text)
	class := classOf(first)
	if class == classSpace {
		return 0
	}
	for n < len(text) {
		r, size := utf8.DecodeRuneInString(text[n:])
		if classOf(r) != class {
			break
		}
		n += size
	}
	return n
}

// spaceLen is the length of the run of spaces at the start of text, less its last one if a character that is no space follows and
// others remain: \s+(?!\S)|\s+
func spaceLen(text string) int {
	n, last := 0, 0
	for n < len(text) {
		r, size := utf8.DecodeRuneInString(text[n:])
		if classOf(r) != classSpace {
			break
		}
		n, last = n+size, size
	}
	if n < len(text) && n > last {
		return n - last
	}
	return n
}
