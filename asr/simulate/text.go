package simulate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// speaker draws what windows hold. What a window of a recording holds depends on the seed and on it alone, not on who serves it.
type speaker struct {
	text    Text
	windows map[string][]Spoken // of each language, by ascending length; "" of all
	limit   int                 // steps of an attempt
	seed    uint64
	source  *rand.PCG
	random  *rand.Rand
	attempt []int
}

// Attempts at a window: one at each of upstream's temperatures.
const maxAttempts = 6

const (
	defaultTokensPerSecond = 4
	defaultTokensSpread    = 0.3
)

func newSpeaker(m *Model, seed uint64) *speaker {
	t := m.Text
	windows := make(map[string][]Spoken)
	for _, w := range t.Windows {
		windows[""] = append(windows[""], w)
		if w.Language != "" {
			windows[w.Language] = append(windows[w.Language], w)
		}
	}
	for _, ws := range windows {
		slices.SortStableFunc(ws, func(a, b Spoken) int { return cmp.Compare(a.Seconds, b.Seconds) })
	}
	if t.TokensPerSecond == 0 {
		t.TokensPerSecond = defaultTokensPerSecond
	}
	if t.Spread == 0 {
		t.Spread = defaultTokensSpread
	}
	source := rand.NewPCG(seed, 0)
	return &speaker{text: t, windows: windows, limit: max(1, m.TextContext/2), seed: seed, source: source, random: rand.New(source)}
}

// window returns the steps of each attempt at a window of so many seconds in a language, until the next call.
func (s *speaker) window(recording int64, window int, language string, seconds float64) []int {
	s.source.Seed(s.seed^uint64(recording)*0x9e3779b97f4a7c15, uint64(window))
	s.attempt = s.attempt[:0]
	if len(s.text.Windows) > 0 {
		s.like(s.near(language, seconds), seconds)
		return s.attempt
	}
	rate := s.text.TokensPerSecond * math.Exp(s.text.Spread*(s.random.NormFloat64()-s.text.Spread/2))
	steps := s.steps(1 + rate*seconds) // the last one for the end
	s.attempt = append(s.attempt, steps)
	for len(s.attempt) < maxAttempts && s.text.Again > 0 && s.random.Float64() < s.text.Again {
		s.attempt = append(s.attempt, steps)
	}
	return s.attempt
}

func (s *speaker) steps(n float64) int { return min(max(1, int(math.Round(n))), s.limit) }

// likes is the number of windows, those nearest in length, that a window may be like.
const likes = 16

// near draws one of the windows of a language whose lengths are nearest, of any language where few were decoded.
func (s *speaker) near(language string, seconds float64) Spoken {
	ws := s.windows[language]
	if len(ws) < likes/2 {
		ws = s.windows[""]
	}
	i, _ := slices.BinarySearchFunc(ws, seconds, func(w Spoken, t float64) int { return cmp.Compare(w.Seconds, t) })
	from, to := i, i
	for to-from < min(likes, len(ws)) {
		if to == len(ws) || from > 0 && seconds-ws[from-1].Seconds < ws[to].Seconds-seconds {
			from--
		} else {
			to++
		}
	}
	return ws[from+s.random.IntN(to-from)]
}

// like lets a window be like another: with as many steps for each second, unless an attempt went on until it was stopped.
func (s *speaker) like(w Spoken, seconds float64) {
	for _, n := range w.Steps {
		if n < s.limit {
			n = s.steps(1 + float64(n-1)*seconds/w.Seconds)
		}
		s.attempt = append(s.attempt, min(n, s.limit))
	}
}
