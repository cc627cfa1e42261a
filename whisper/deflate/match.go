package deflate

import "math/bits"

// What deflate finds (RFC 1951, §2), and how long zlib looks for it at level 6 (deflate.c,
// configuration_table).
const (
	minMatch = 3
	maxMatch = 258

	windowSize  = 1 << 15
	maxDistance = windowSize - (maxMatch + minMatch + 1)
	tooFar      = 4096 // a match of minMatch farther back is not worth its code

	goodLength = 8   // a match to beat of this length is given a quarter of the time
	lazyLength = 16  // a match of this length is taken without a look at the next position
	niceLength = 128 // and of this one without a look at other places
	maxChain   = 128

	hashBits  = 15
	hashShift = (hashBits + minMatch - 1) / minMatch
)

// matcher finds earlier occurrences of the text at a position.
type matcher struct {
	data []byte

	// head is the last position of each hash, prev the one before a position. 0 stands for none,
	// and so, as in zlib, nothing matches the text at position 0.
	head [1 << hashBits]int32
	prev []int32
}

// insert enters the text at a position, and returns the last position whose text has the same hash.
func (m *matcher) insert(at int) (candidate int) {
	if len(m.data)-at < minMatch {
		return 0
	}
	d := m.data[at:]
	hash := (int(d[0])<<(2*hashShift) ^ int(d[1])<<hashShift ^ int(d[2])) & (1<<hashBits - 1)
	candidate = int(m.head[hash])
	m.prev[at], m.head[hash] = m.head[hash], int32(at)
	return candidate
}

// longest returns the length of the longest match of the text at a position that is longer than
// best, and where it is; best itself where there is none (deflate.c, longest_match).
func (m *matcher) longest(at, candidate, best int) (length, from int) {
	chain := maxChain
	if best >= goodLength {
		chain /= 4
	}
	left := min(len(m.data)-at, maxMatch)
	for limit := max(at-maxDistance, 0); ; {
		n := 0
		for n < left && m.data[candidate+n] == m.data[at+n] {
			n++
		}
		if n > best {
			best, from = n, candidate
			if n >= min(niceLength, left) {
				break
			}
		}
		candidate = int(m.prev[candidate])
		if chain--; candidate <= limit || chain == 0 {
			break
		}
	}
	return best, from
}

// parse calls literal and match with what the text becomes, and says up to where it is then told:
// a match waits for a longer one at the next position (deflate.c, deflate_slow).
func (m *matcher) parse(literal func(c byte, told int), match func(length, distance, told int)) {
	length, from, waiting := minMatch-1, 0, false
	for at := 0; at < len(m.data); {
		candidate := m.insert(at)
		before, beforeFrom := length, from
		length = minMatch - 1
		if candidate != 0 && before < lazyLength && at-candidate <= maxDistance {
			length, from = m.longest(at, candidate, before)
			if length == minMatch && at-from > tooFar {
				length = minMatch - 1
			}
		}
		switch {
		case before >= minMatch && length <= before:
			end := at - 1 + before
			for at++; at < end; at++ {
				m.insert(at)
			}
			match(before, end-before-beforeFrom, end)
			length, waiting = minMatch-1, false
			continue
		case waiting:
			literal(m.data[at-1], at)
		}
		waiting = true
		at++
	}
	if waiting {
		literal(m.data[len(m.data)-1], len(m.data))
	}
}

// lengthCode returns the code of a match's length and how many more bits follow it.
func lengthCode(length int) (code, extra int) {
	switch n := length - minMatch; {
	case length == maxMatch:
		return 28, 0
	case n < 8:
		return n, 0
	default:
		extra = bits.Len(uint(n)) - 3
		return 4*extra + n>>extra, extra
	}
}

// distanceCode returns the code of a match's distance and how many more bits follow it.
func distanceCode(distance int) (code, extra int) {
	n := distance - 1
	if n < 4 {
		return n, 0
	}
	extra = bits.Len(uint(n)) - 2
	return 2*extra + n>>extra, extra
}
