package whisper

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"glossa/whisper/tensor"
)

// Hypothesis is one sequence of tokens for a window.
type Hypothesis struct {
	Tokens     []int32 // the initial ones included, without the end
	SumLogProb float64 // natural logarithm, over the tokens behind the initial ones, and the end
}

// end returns the hypothesis that has ended with the given log probability.
func (h Hypothesis) end(logProb float32) Hypothesis {
	return Hypothesis{h.Tokens, h.SumLogProb + float64(logProb)}
}

// Search chooses the tokens of one window (upstream TokenDecoder). At first one hypothesis lives,
// the initial tokens.
type Search interface {
	// Ask asks the choices of what follows each live hypothesis for tokens. Until Update it asks for
	// the same again.
	Ask(choices []tensor.Choice)

	// Update takes the answers to Ask, and returns the hypotheses that live on, each longer by a token, and which of live each of them continues. The
	// search is done where nothing that follows can change its result. live, the slices and the
	// tokens returned are the search's to reuse in the next call but one.
	Update(live []Hypothesis, choices []tensor.Choice) (next []Hypothesis, parent []int, done bool)

	// Result returns the candidates of the result, given the hypotheses that live still
	// (upstream finalize).
	Result(live []Hypothesis) []Hypothesis
}

// successors are the hypotheses of one step. A search has two and fills them in turn, so that it
// reuses the memory of the step before the last.
type successors struct {
	next   []Hypothesis
	parent []int
	tokens [][]int32 // memory of next, by place
}

func (s *successors) reset() { s.next, s.parent = s.next[:0], s.parent[:0] }

// add adds live[from] with one more token.
func (s *successors) add(live []Hypothesis, from int, id int32, logProb float32) {
	h, i := live[from], len(s.next)
	if i == len(s.tokens) {
		s.tokens = append(s.tokens, nil)
	}
	s.tokens[i] = append(append(roomFor(s.tokens[i], len(h.Tokens)+1), h.Tokens...), id)
	s.next = append(s.next, Hypothesis{s.tokens[i], h.SumLogProb + float64(logProb)})
	s.parent = append(s.parent, from)
}

// roomFor returns tokens without any, with room for n: much more where there was none.
func roomFor(tokens []int32, n int) []int32 {
	const most = 512
	if cap(tokens) < n {
		return make([]int32, 0, max(most, n))
	}
	return tokens[:0]
}

// ended returns an end of live[from], apart from its memory.
func ended(live []Hypothesis, from int, logProb float32) Hypothesis {
	h := live[from].end(logProb)
	h.Tokens = slices.Clone(h.Tokens)
	return h
}

// sampling draws tokens at a temperature, for several samples of a window, or at temperature 0
// takes the likeliest (upstream GreedyDecoder). Each sample has random numbers of its own.
type sampling struct {
	temperature float64
	eot         int32
	rng         []*rand.Rand // by sample
	draw        []float64    // the next of its random numbers, in (0, 1], by sample
	ended       []Hypothesis // by sample
	sample      []int        // of each live hypothesis; at first all continue the same
	steps       [2]successors
}

func newSampling(n int, temperature float64, seed uint64, eot int32) *sampling {
	s := &sampling{temperature: temperature, eot: eot, rng: make([]*rand.Rand, n), draw: make([]float64, n), ended: make([]Hypothesis, n), sample: make([]int, n)}
	for i := range n {
		s.rng[i], s.sample[i] = rand.New(rand.NewPCG(seed, uint64(i))), i
		s.drawNext(i)
	}
	return s
}

func (s *sampling) drawNext(sample int) { s.draw[sample] = 1 - s.rng[sample].Float64() }

func (s *sampling) Ask(choices []tensor.Choice) {
	for i, sample := range s.sample {
		c := &choices[min(i, len(choices)-1)]
		if s.temperature == 0 {
			c.Likeliest = 1
		} else {
			c.Temperature, c.Draws = s.temperature, append(c.Draws, s.draw[sample])
		}
	}
}

func (s *sampling) Update(live []Hypothesis, choices []tensor.Choice) (next []Hypothesis, parent []int, done bool) {
	s.steps[0], s.steps[1] = s.steps[1], s.steps[0]
	to := &s.steps[0]
	to.reset()
	kept := s.sample[:0]
	for i, sample := range s.sample {
		from := min(i, len(live)-1)
		c, at := &choices[from], i-from
		if logProb := c.LogProb(at); c.IDs[at] == s.eot {
			s.ended[sample] = ended(live, from, logProb)
		} else {
			s.drawNext(sample)
			to.add(live, from, c.IDs[at], logProb)
			kept = append(kept, sample)
		}
	}
	s.sample = kept
	return to.next, to.parent, len(to.next) == 0
}

func (s *sampling) Result(live []Hypothesis) []Hypothesis {
	for i, sample := range s.sample {
		s.ended[sample] = live[min(i, len(live)-1)]
	}
	return s.ended
}

// beamSearch keeps the likeliest hypotheses, and is done where enough of them have ended (upstream
// BeamSearchDecoder). A hypothesis without any probability is not kept.
type beamSearch struct {
	size       int
	enough     int
	eot        int32
	ended      []Hypothesis
	steps      [2]successors
	candidates []continuation // scratch
}

// continuation is a token that may continue a hypothesis.
type continuation struct {
	from    int
	id      int32
	logProb float32
	score   float64 // log probability of the whole
}

func newBeamSearch(size, enough int, eot int32) *beamSearch {
	return &beamSearch{size: size, enough: enough, eot: eot, candidates: make([]continuation, 0, size*(size+1))}
}

func (s *beamSearch) Ask(choices []tensor.Choice) {
	for i := range choices {
		choices[i].Likeliest = s.size + 1
	}
}

func (s *beamSearch) Update(live []Hypothesis, choices []tensor.Choice) (next []Hypothesis, parent []int, done bool) {
	s.steps[0], s.steps[1] = s.steps[1], s.steps[0]
	to := &s.steps[0]
	to.reset()
	s.candidates = s.candidates[:0]
	for i := range choices {
		for j, id := range choices[i].IDs {
			logProb := choices[i].LogProb(j)
			s.candidates = append(s.candidates, continuation{i, id, logProb, live[i].SumLogProb + float64(logProb)})
		}
	}
	slices.SortStableFunc(s.candidates, func(a, b continuation) int { return cmp.Compare(b.score, a.score) })
	for _, c := range s.candidates {
		if c.id == s.eot {
			if len(s.ended) < s.enough {
				s.ended = append(s.ended, ended(live, c.from, c.logProb))
			}
			continue
		}
		if to.add(live, c.from, c.id, c.logProb); len(to.next) == s.size {
			break
		}
	}
	return to.next, to.parent, len(s.ended) >= s.enough || len(to.next) == 0
}

func (s *beamSearch) Result(live []Hypothesis) []Hypothesis {
	rest := slices.Clone(live)
	slices.SortStableFunc(rest, func(a, b Hypothesis) int { return cmp.Compare(b.SumLogProb, a.SumLogProb) })
	missing := max(s.size-len(s.ended), 0)
	return append(s.ended, rest[:min(missing, len(rest))]...)
}

// best returns the hypothesis of greatest log probability, divided by its length behind the
// initial tokens or by the penalty ((5+length)/6)^alpha (upstream MaximumLikelihoodRanker).
func best(hs []Hypothesis, begin int, alpha float64) Hypothesis {
	score := func(h Hypothesis) float64 {
		length := float64(len(h.Tokens) - begin)
		if alpha == 0 {
			return h.SumLogProb / max(length, 1)
		}
		return h.SumLogProb / math.Pow((5+length)/6, alpha)
	}
	return slices.MaxFunc(hs, func(a, b Hypothesis) int { return cmp.Compare(score(a), score(b)) })
}
