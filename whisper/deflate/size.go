// Package deflate computes how small zlib makes a text.
//
// Upstream's transcribe() decides by that size whether a window is decoded again. Compressors find
// different matches, up to some percent apart on short texts, and so the size is found as zlib
// itself does at its default level.
package deflate

// ZlibSize returns the bytes that zlib's compress() makes of data at its default level, 6. It is
// exact for data of up to 64 KiB; beyond, zlib's window moves, which may shift a match or two.
func ZlibSize(data []byte) int {
	const header, checksum = 2, 4
	var nBits, from int
	b := newBlock()
	flush := func(to int) {
		nBits = b.end(nBits, to-from)
		b, from = newBlock(), to
	}
	m := &matcher{data: data, prev: make([]int32, len(data))}
	m.parse(func(c byte, told int) {
		b.literal[c]++
		if b.symbols++; b.symbols == blockSymbols && told < len(data) {
			flush(told)
		}
	}, func(length, distance, told int) {
		code, extra := lengthCode(length)
		b.literal[endOfBlock+1+code]++
		b.extra += extra
		code, extra = distanceCode(distance)
		b.distance[code]++
		b.extra += extra
		if b.symbols++; b.symbols == blockSymbols {
			flush(told)
		}
	})
	flush(len(data))
	return header + (nBits+7)/8 + checksum
}
