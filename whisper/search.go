package whisper

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Hypothesis is one sequence of tokens for a window.
type Hypothesis struct {
	Tokens     []int32 // the initial ones included, without the end
	SumLogProb float64 // natural logarithm, over the tokens behind the initial ones, and the end
}

// extend returns the hypothesis with one more token, apart from h.
func (h Hypothesis) extend(id int32, logProb float32) Hypothesis {
	return Hypothesis{append(slices.Clip(h.Tokens), id), h.SumLogProb + float64(logProb)}
}

// end returns the hypothesis that has ended with the given log probability.
func (h Hypothesis) end(logProb float32) Hypothesis {
	return Hypothesis{h.Tokens, h.SumLogProb + float64(logProb)}
}

// Search chooses the tokens of one window (upstream TokenDecoder). At first one hypothesis lives,
// the initial tokens.
type Search interface {
	// Update takes the log probabilities (NVocab) of the token that follows each live hypothesis,
	// and returns the hypotheses that live on, each longer by a token, and which of live each of
	// them continues. The search is done where nothing that follows can change its result.
	Update(live []Hypothesis, logProbs [][]float32) (next []Hypothesis, parent []int, done bool)

	// Result returns the candidates of the result, given the hypotheses that live still
	// (upstream finalize).
	Result(live []Hypothesis) []Hypothesis
}

// sampling draws tokens at a temperature, for several samples of a window, or at temperature 0
// takes the likeliest (upstream GreedyDecoder). Each sample has random numbers of its own.
type sampling struct {
	temperature float64
	eot         int32
	rng         []*rand.Rand // by sample
	ended       []Hypothesis // by sample
	sample      []int        // of each live hypothesis; at first all continue the same
	weight      []float64    // scratch: cumulative
}

func newSampling(n int, temperature float64, seed uint64, eot int32) *sampling {
	s := &sampling{temperature: temperature, eot: eot, rng: make([]*rand.Rand, n), ended: make([]Hypothesis, n), sample: make([]int, n)}
	for i := range n {
		s.rng[i], s.sample[i] = rand.New(rand.NewPCG(seed, uint64(i))), i
	}
	return s
}

func (s *sampling) Update(live []Hypothesis, logProbs [][]float32) (next []Hypothesis, parent []int, done bool) {
	var samples []int
	for i, sample := range s.sample {
		from := min(i, len(live)-1)
		row := logProbs[from]
		id := s.choose(row, s.rng[sample])
		if id == s.eot {
			s.ended[sample] = live[from].end(row[id])
			continue
		}
		next, parent, samples = append(next, live[from].extend(id, row[id])), append(parent, from), append(samples, sample)
	}
	s.sample = samples
	return next, parent, len(next) == 0
}

// choose draws a token with probability proportional to exp(logProb/temperature), by inversion of
// the cumulative sum.
func (s *sampling) choose(logProbs []float32, rng *rand.Rand) int32 {
	if s.temperature == 0 {
		return argmax(logProbs)
	}
	const negligible = -40 // exp of it is lost in the last bit of the sum
	top, sum := maximum(logProbs), 0.0
	s.weight = s.weight[:0]
	for _, l := range logProbs {
		if x := float64(l-top) / s.temperature; x > negligible {
			sum += math.Exp(x)
		}
		s.weight = append(s.weight, sum)
	}
	at, _ := slices.BinarySearch(s.weight, (1-rng.Float64())*sum)
	return int32(at)
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
	size   int
	enough int
	eot    int32
	ended  []Hypothesis
}

func (s *beamSearch) Update(live []Hypothesis, logProbs [][]float32) (next []Hypothesis, parent []int, done bool) {
	type candidate struct {
		from  int
		id    int32
		score float64
	}
	var candidates []candidate
	for i, row := range logProbs {
		for _, id := range likeliest(row, s.size+1) {
			candidates = append(candidates, candidate{i, id, live[i].SumLogProb + float64(row[id])})
		}
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	for _, c := range candidates {
		row := logProbs[c.from]
		if c.id == s.eot {
			if len(s.ended) < s.enough {
				s.ended = append(s.ended, live[c.from].end(row[c.id]))
			}
			continue
		}
		next, parent = append(next, live[c.from].extend(c.id, row[c.id])), append(parent, c.from)
		if len(next) == s.size {
			break
		}
	}
	return next, parent, len(s.ended) >= s.enough || len(next) == 0
}

func (s *beamSearch) Result(live []Hypothesis) []Hypothesis {
	rest := slices.Clone(live)
	slices.SortStableFunc(rest, func(a, b Hypothesis) int { return cmp.Compare(b.SumLogProb, a.SumLogProb) })
	missing := max(s.size-len(s.ended), 0)
	return append(s.ended, rest[:min(missing, len(rest))]...)
}

// likeliest returns the n tokens of greatest log probability, the greatest first, of equal ones
// the first; fewer where fewer are possible at all.
func likeliest(logProbs []float32, n int) []int32 {
	ids := make([]int32, 0, n+1)
	for id, l := range logProbs {
		if l == negInf || len(ids) == n && l <= logProbs[ids[n-1]] {
			continue
		}
		at := len(ids)
		for at > 0 && l > logProbs[ids[at-1]] {
			at--
		}
		ids = slices.Insert(ids, at, int32(id))
		ids = ids[:min(len(ids), n)]
	}
	return ids
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
