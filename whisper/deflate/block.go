package deflate

// The alphabets of a block (RFC 1951, §3.2.5-7) and its greatest number of symbols (deflate.h,
// lit_bufsize at the default memLevel).
const (
	endOfBlock    = 256
	nLiteral      = endOfBlock + 1 + 29 // bytes, the end, and lengths
	nDistance     = 30
	nLengths      = 19 // the alphabet that code lengths are written in
	maxCode       = 15
	maxLengthCode = 7
	blockSymbols  = 1<<14 - 1
)

// The symbols of runs among code lengths, each followed by some bits.
const (
	repeat      = 16 // of the length before, 3 to 6 times
	zeros       = 17 // 3 to 10
	manyZeros   = 18 // 11 to 138
	repeatExtra = 2
	zerosExtra  = 3
	manyExtra   = 7
)

// lengthOrder is the order in which the lengths of the codes of code lengths are written.
var lengthOrder = [nLengths]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// block counts the symbols of a block.
type block struct {
	literal  [nLiteral]int
	distance [nDistance]int
	extra    int // bits that follow codes
	symbols  int
}

func newBlock() *block {
	b := new(block)
	b.literal[endOfBlock] = 1
	return b
}

// end returns the bits of the output, nBits of them before this block of nBytes: it is stored, or
// coded by the fixed or by codes of its own, whichever takes the fewest bytes (trees.c,
// _tr_flush_block).
func (b *block) end(nBits, nBytes int) int {
	const blockHeader, storedLengths = 3, 4
	inBytes := func(bits int) int { return (bits + blockHeader + 7) / 8 }
	coded, fixed := b.dynamic(), b.fixed()
	if inBytes(fixed) <= inBytes(coded) {
		coded = fixed
	}
	nBits += blockHeader
	if nBytes+storedLengths <= inBytes(coded) {
		return (nBits+7)/8*8 + 8*(storedLengths+nBytes)
	}
	return nBits + coded
}

// fixed returns the bits of the block under the fixed codes.
func (b *block) fixed() int {
	bits := b.extra
	for s, n := range b.literal {
		switch {
		case s < 144 || s >= 280:
			bits += 8 * n
		case s < endOfBlock:
			bits += 9 * n
		default:
			bits += 7 * n
		}
	}
	for _, n := range b.distance {
		bits += 5 * n
	}
	return bits
}

// dynamic returns the bits of the block under codes of its own, which stand before it.
func (b *block) dynamic() int {
	const counts = 5 + 5 + 4
	bits := b.extra + counts
	var runs [nLengths]int
	for _, freq := range [][]int{b.literal[:], b.distance[:]} {
		length, last := codeLengths(freq, maxCode)
		for s, n := range freq {
			bits += n * length[s]
		}
		countRuns(&runs, length[:last+1])
	}
	length, _ := codeLengths(runs[:], maxLengthCode)
	for s, n := range runs {
		bits += n * length[s]
	}
	bits += repeatExtra*runs[repeat] + zerosExtra*runs[zeros] + manyExtra*runs[manyZeros]
	written := nLengths
	for length[lengthOrder[written-1]] == 0 {
		written--
	}
	return bits + 3*written
}

// countRuns counts the symbols that code lengths are written in (trees.c, scan_tree).
func countRuns(freq *[nLengths]int, length []int) {
	before := -1
	for len(length) > 0 {
		l, most, fewest := length[0], 7, 4
		switch {
		case l == 0:
			most, fewest = 138, 3
		case l == before:
			most, fewest = 6, 3
		}
		n := 1
		for n < most && n < len(length) && length[n] == l {
			n++
		}
		switch {
		case n < fewest:
			freq[l] += n
		case l == 0 && n <= 10:
			freq[zeros]++
		case l == 0:
			freq[manyZeros]++
		default:
			if l != before {
				freq[l]++
			}
			freq[repeat]++
		}
		before, length = l, length[n:]
	}
}
