package asr

import (
	"math"
	"slices"
	"testing"
)

func TestWordAnomaly(t *testing.T) {
	for _, c := range []struct {
		w    Word
		want float64
	}{
		{Word{Start: 1, End: 1.5, Probability: 0.15}, 0},
		{Word{Start: 1, End: 1.5, Probability: 0.1}, 1},
		{Word{Start: 1, End: 1, Probability: 1}, 15 * 0.133},
		{Word{Start: 1, End: 6, Probability: 0}, 4},
	} {
		if got := c.w.anomaly(); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.w, got, c.want)
		}
	}
}

func TestSegmentAnomaly(t *testing.T) {
	improbableWord := func(w Word) Word { w.Probability = 0; return w }
	good := timed(0, 0.5, " a", " b", " c", " d", " e", " f", " g", " h", " i", " j")
	late := good
	late.Words = slices.Clone(good.Words)
	late.Words[8], late.Words[9] = improbableWord(late.Words[8]), improbableWord(late.Words[9])
	late.Words[9].End += 9
	for _, c := range []struct {
		name string
		s    *Segment
		want bool
	}{
		{"none", nil, false},
		{"no words", &Segment{}, false},
		{"usual words", &good, false},
		{"after the first eight", &late, false},
		{"one long word", new(timed(0, 5, " a", " b")), true},
		{"every word improbable", &Segment{Words: []Word{{Word: " a", End: 1}, {Word: " b", Start: 1, End: 2}}}, true},
		{"one word of two improbable", &Segment{Words: []Word{{Word: " a", End: 1}, {Word: " b", Start: 1, End: 2, Probability: 1}}}, false},
		{"marks do not count", &Segment{Words: []Word{{Word: " a", End: 1}, {Word: ".", Start: 1, End: 2, Probability: 1}}}, true},
	} {
		if got := c.s.anomalous(); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}

// TestSkipSilence checks the windows in which upstream's rules differ: the second of a recording of
// 100 s, from 30 s on.
func TestSkipSilence(t *testing.T) {
	const byTimestamps = 5000
	window := wordWindow{seek: 3000, size: 3000, full: 3000, content: 10000}
	good := func(start float64) Segment { return timed(start, 0.5, " good", " words", " here") }
	odd := func(start float64) Segment { return timed(start, 3, " odd") }
	last := window
	last.seek = 7000
	single := window
	single.singleEnd = true
	for _, c := range []struct {
		name       string
		w          wordWindow
		segments   []Segment
		lastSpeech float64
		kept, seek int
		again      bool
	}{
		{"nothing", window, nil, 30, 0, byTimestamps, false},
		{"good words, then silence", window, []Segment{good(31)}, 30, 1, 3250, false},
		{"good words to the end", window, []Segment{good(57)}, 30, 1, 6000, false},
		{"one timestamp at the end", single, []Segment{good(31)}, 30, 1, byTimestamps, false},
		{"leading silence", window, []Segment{odd(40), good(43)}, 30, 0, 4000, true},
		{"good words after silence", window, []Segment{good(40)}, 30, 1, 4150, false},
		{"odd between silences", window, []Segment{good(31), odd(40), good(50)}, 30, 1, 4000, false},
		{"odd right after speech", window, []Segment{good(31), odd(33), good(50)}, 30, 3, 5150, false},
		{"odd right before speech", window, []Segment{good(31), odd(40), good(44)}, 30, 3, 4550, false},
		{"odd before another", window, []Segment{good(31), odd(40), odd(43.5)}, 30, 1, 4000, false},
		{"odd at once", window, []Segment{odd(30.5), good(40)}, 30, 0, 3100, false},
		{"odd at the end of the recording", last, []Segment{good(70.5), odd(95.5)}, 70, 1, 10000, false},
	} {
		next := c.w.next(c.segments, byTimestamps)
		kept, seek, again := c.w.skipSilence(c.segments, next, 2, c.lastSpeech)
		if len(kept) != c.kept || seek != c.seek || again != c.again {
			t.Errorf("%s: %d segments, next window at %d, again %t; want %d, %d, %t", c.name, len(kept), seek, again, c.kept, c.seek, c.again)
		}
	}
}
