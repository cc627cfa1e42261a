package asr

import "strings"

// trim lets the buffer begin behind the last committed word, once it is long: as soon as that is followed by a pause or ends a
// sentence, and a little later in any case.
func (c *liveCore) trim(a *ask, h hypothesis, words []heardWord) {
	long, committed := a.to-a.from, len(c.segment.committed)
	if committed == 0 || len(words) == 0 || long < c.maxBuffer*2/3 && committed <= c.nTextCtx/4 {
		return
	}
	n := c.covering(words)
	for n < len(words) && !startsWord(words[n].Text) { // marks go with the word before them
		n++
	}
	end := frameAt(words[n-1].End)
	if end < a.from+leastCut {
		return
	}
	if at := c.softest(end, a); endsSentence(words[n-1].Text) || c.pause(at, a) || long >= c.maxBuffer*5/6 || committed > c.nTextCtx/4 {
		c.take(a, h, words[:n], words[n:], at)
	}
}

// covering returns how many of the words of a hypothesis hold the committed tokens.
func (c *liveCore) covering(words []heardWord) (n int) {
	for tokens := 0; tokens < len(c.segment.committed); n++ {
		tokens += len(words[n].Tokens)
	}
	return n
}

// cut takes off a buffer that is full the greater part, of which no more is known than one hypothesis.
func (c *liveCore) cut(a *ask, h hypothesis, words []heardWord) {
	length := a.to - a.from
	switch i := c.place(words, a); {
	case len(words) == 0 && length > 2*leastCut: // there may be the beginning of a word at the end
		c.take(a, h, nil, nil, a.to-leastCut)
	case i == 0:
		c.take(a, h, words, nil, a.to)
	default:
		c.take(a, h, words[:i], words[i:], c.softest(frameAt(words[i-1].End), a))
	}
}

// place returns how many words a cut takes, all that are committed among them: one that ends a sentence before any other, and then
// the one at whose end it is softest, of those that end in the later part of the window, or if none does, before. It is 0 where
// there is none.
func (c *liveCore) place(words []heardWord, a *ask) int {
	if len(words) == 0 {
		return 0
	}
	to := frameTime(a.to - edgeFrames)
	for _, from := range [...]float64{frameTime(a.from + max((a.to-a.from)*2/5, leastCut)), frameTime(a.from + leastCut)} {
		best, bestLevel, bestEnds := 0, float32(0), false
		for i := max(c.covering(words), 1); i <= len(words); i++ {
			end := words[i-1].End
			if end < from || end > to || i < len(words) && !startsWord(words[i].Text) {
				continue
			}
			ends := endsSentence(words[i-1].Text)
			level, _ := c.loudness(frameAt(end))
			if best == 0 || ends && !bestEnds || ends == bestEnds && level <= bestLevel {
				best, bestLevel, bestEnds = i, level, ends
			}
		}
		if best > 0 {
			return best
		}
	}
	return 0
}

// startsWord reports whether a text may be the first behind a cut: a mark goes with the word before it.
func startsWord(text string) bool { return !strings.Contains(DefaultAppended, strings.TrimSpace(text)) }

// endsSentence reports whether a word ends with a mark that ends sentences.
func endsSentence(text string) bool {
	r := []rune(strings.TrimSpace(text))
	return len(r) > 0 && strings.ContainsRune(sentenceEnds+"।", r[len(r)-1])
}

// softest returns the softest frame near where a word ends, within the window.
func (c *liveCore) softest(end int, a *ask) int {
	best, bestLevel, found := min(max(end, a.from+1), a.to), float32(0), false
	for d := 0; d <= cutReach; d++ {
		for _, f := range [...]int{end - d, end + d} {
			level, ok := c.loudness(f)
			if ok && f > a.from && f <= a.to && (!found || level < bestLevel) {
				best, bestLevel, found = f, level, true
			}
		}
	}
	return best
}

// pause reports whether it is much softer about a frame than in the window on average.
func (c *liveCore) pause(at int, a *ask) bool {
	const much = 1.5 // decades: 15 dB
	sum, n := float32(0), 0
	for f := a.from; f < a.to; f += 5 {
		if level, ok := c.loudness(f); ok {
			sum += level
			n++
		}
	}
	level, ok := c.loudness(at)
	return ok && level < sum/float32(max(n, 1))-much
}

// loudness returns the level about a frame; !ok where nothing is known.
func (c *liveCore) loudness(frame int) (level float32, ok bool) {
	if c.level == nil {
		return 0, false
	}
	n := 0
	for f := frame - 2; f <= frame+2; f++ {
		if l, ok := c.level(f); ok {
			level += l
			n++
		}
	}
	return level / float32(max(n, 1)), n > 0
}

// take makes a Final of words at the beginning of the buffer, which hold all that is committed, or are nil, for that alone. The
// buffer begins at a frame then, with the rest.
func (c *liveCore) take(a *ask, h hypothesis, words, rest []heardWord, at int) {
	seg := c.segment
	e := c.finalOf(words, h)
	e.Heard, e.Acked = frameTime(a.to), frameTime(at)
	if e.Text != "" {
		c.emit(e)
		seg.begun = true
	}
	seg.from, seg.committed, seg.before, seg.last, seg.shown = at, nil, rest, nil, [2]string{}
}
