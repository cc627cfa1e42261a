package deflate

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

// generated returns n bytes of a generator that is easily written in another language: of so many
// letters, any bytes for 256, and for 0 letters each half as frequent as the one before.
func generated(seed uint32, letters, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		seed = seed*1664525 + 1013904223
		switch {
		case letters == 0:
			out[i] = 'a' + byte(bits.LeadingZeros32(seed))
		case letters > 26:
			out[i] = byte(seed >> 16)
		default:
			out[i] = 'a' + byte(seed>>16%uint32(letters))
		}
	}
	return out
}

// TestZlibSize holds sizes against len(zlib.compress(data)) of zlib 1.2.13.
func TestZlibSize(t *testing.T) {
	for text, want := range map[string]int{
		"": 8, "a": 9, "hello, hello": 17, strings.Repeat("a", 300): 13,
		strings.Repeat("the cat sat on the mat and the rat sat on the cat ", 3): 40,
	} {
		if got := ZlibSize([]byte(text)); got != want {
			t.Errorf("%q: %d bytes, zlib makes %d", text, got, want)
		}
	}
	for _, c := range []struct {
		seed             uint32
		letters, n, want int
	}{
		{1, 1, 1000, 17},
		{2, 2, 5000, 858},
		{3, 4, 300, 127},
		{4, 26, 100, 84},
		{5, 26, 40000, 25290},  // several blocks, far matches
		{6, 256, 500, 511},     // stored
		{7, 256, 16383, 16394}, // a block's symbols to the last
		{8, 3, 60000, 14416},   // long chains
		{9, 0, 60000, 19332},   // letters of very different weight
	} {
		if got := ZlibSize(generated(c.seed, c.letters, c.n)); got != c.want {
			t.Errorf("%+v: %d bytes", c, got)
		}
	}
}

// TestCodeLengthsAreLimited checks that a tree of greatest depth becomes a full code of the limit.
func TestCodeLengthsAreLimited(t *testing.T) {
	freq := []int{1, 1}
	for len(freq) < 24 {
		freq = append(freq, freq[len(freq)-1]+freq[len(freq)-2])
	}
	length, last := codeLengths(freq, maxCode)
	sum := 0
	for s, l := range length {
		if l < 1 || l > maxCode || s > 0 && l > length[s-1] {
			t.Errorf("symbol %d has a code of %d bits, the one before %d", s, l, length[max(s-1, 0)])
		}
		sum += 1 << (maxCode - l)
	}
	if last != len(freq)-1 || sum != 1<<maxCode {
		t.Errorf("last symbol %d, codes fill %d of %d", last, sum, 1<<maxCode)
	}
}

func BenchmarkZlibSize(b *testing.B) {
	for _, n := range []int{200, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := generated(5, 26, n)
			for b.Loop() {
				ZlibSize(data)
			}
		})
	}
}
