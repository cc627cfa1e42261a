package whisper

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// pick answers choices from rows of logits, which it leaves as they are.
func pick(choices []tensor.Choice, rows ...[]float32) {
	o := tensor.NewOps(ref.New())
	logits := slices.Concat(rows...)
	if err := o.Pick(tensor.NewMat(len(rows), len(rows[0]), logits), choices); err != nil {
		panic(err)
	}
}

// chain is a toy of a decoder: the log probabilities of a token, by the one before it.
type chain [][]float32

// newChain returns a random chain of n tokens, the last of which is the end.
func newChain(n int, seed uint64) chain {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := make(chain, n)
	for i := range c {
		c[i] = make([]float32, n)
		for j := range c[i] {
			c[i][j] = float32(2 * rng.NormFloat64())
		}
		total := float32(tensor.LogSumExp(tensor.PlainChooser{}, c[i]))
		for j := range c[i] {
			c[i][j] -= total
		}
	}
	return c
}

// run searches a text of at most length tokens behind token 0.
func (c chain) run(s Search, length int) []Hypothesis {
	live := []Hypothesis{{Tokens: []int32{0}}}
	for range length {
		var rows [][]float32
		for _, h := range live {
			rows = append(rows, c[h.Tokens[len(h.Tokens)-1]])
		}
		choices := make([]tensor.Choice, len(live))
		s.Ask(choices)
		pick(choices, rows...)
		next, parent, done := s.Update(live, choices)
		for i, h := range next {
			if !slices.Equal(h.Tokens[:len(h.Tokens)-1], live[parent[i]].Tokens) {
				panic("a hypothesis does not continue its parent")
			}
		}
		live = next
		if done {
			break
		}
	}
	return s.Result(live)
}

// all returns every text of at most length tokens behind those of h, ended or of full length.
func (c chain) all(h Hypothesis, length int) []Hypothesis {
	if length == 0 {
		return []Hypothesis{h}
	}
	var hs []Hypothesis
	row, eot := c[h.Tokens[len(h.Tokens)-1]], len(c)-1
	for id, l := range row {
		if id == eot {
			hs = append(hs, h.end(l))
		} else {
			longer := Hypothesis{append(slices.Clip(h.Tokens), int32(id)), h.SumLogProb + float64(l)}
			hs = append(hs, c.all(longer, length-1)...)
		}
	}
	return hs
}

// TestWideBeamIsExhaustive checks that a beam as wide as all that is possible finds the best text
// of all, and that narrower beams find none that does not exist.
func TestWideBeamIsExhaustive(t *testing.T) {
	const nToken, length = 4, 4
	for seed := range uint64(20) {
		c := newChain(nToken, seed)
		every := c.all(Hypothesis{Tokens: []int32{0}}, length)
		for _, alpha := range []float64{0, 0.5, 1} {
			wide := DecodeOptions{BeamSize: len(every)}.search(nToken - 1)
			got, want := best(c.run(wide, length), 1, alpha), best(every, 1, alpha)
			if !slices.Equal(got.Tokens, want.Tokens) || math.Abs(got.SumLogProb-want.SumLogProb) > 1e-5 {
				t.Errorf("seed %d, alpha %v: %v, the best of %d is %v", seed, alpha, got, len(every), want)
			}
		}
		for _, h := range c.run(DecodeOptions{BeamSize: 2, Patience: 1.5}.search(nToken-1), length) {
			if !slices.ContainsFunc(every, func(e Hypothesis) bool {
				return slices.Equal(e.Tokens, h.Tokens) && math.Abs(e.SumLogProb-h.SumLogProb) < 1e-5
			}) {
				t.Errorf("seed %d: beam %v is no text", seed, h)
			}
		}
	}
}

// TestPatience checks how many beams have to end (upstream max_candidates).
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		size     int
		patience float64
		want     int
	}{{5, 0, 5}, {5, 1, 5}, {5, 2, 10}, {5, 0.5, 2}, {3, 0.5, 2}, {4, 0.6, 2}, {1, 1, 1}} {
		s := DecodeOptions{BeamSize: c.size, Patience: c.patience}.search(0).(*beamSearch)
		if s.enough != c.want {
			t.Errorf("%+v: %d beams", c, s.enough)
		}
	}
}

// TestSamplesFollowTheirProbabilities checks the distribution that tokens are drawn from, at
// temperatures, and that a sample's numbers depend on its seed and number alone.
func TestSamplesFollowTheirProbabilities(t *testing.T) {
	const n = 20000
	logProbs := []float32{-1, float32(math.Inf(-1)), -2, -0.5, -3}
	for _, temperature := range []float64{0.3, 1, 2} {
		s := newSampling(1, temperature, 7, -1)
		count, live := make([]float64, len(logProbs)), []Hypothesis{{Tokens: []int32{0}}}
		for range n {
			choices := make([]tensor.Choice, 1)
			s.Ask(choices)
			pick(choices, logProbs)
			live, _, _ = s.Update(live, choices)
			live[0].Tokens = live[0].Tokens[:1]
			count[choices[0].IDs[0]]++
		}
		total := 0.0
		for _, l := range logProbs {
			total += math.Exp(float64(l) / temperature)
		}
		for i, l := range logProbs {
			p := math.Exp(float64(l)/temperature) / total
			if d := math.Abs(count[i]/n - p); d > 4*math.Sqrt(p*(1-p)/n) {
				t.Errorf("temperature %v: token %d is drawn %v of %d times, its probability is %v", temperature, i, count[i], n, p)
			}
		}
	}
	c := newChain(8, 3)
	three, five := c.run(newSampling(3, 1, 5, 7), 12), c.run(newSampling(5, 1, 5, 7), 12)
	other := c.run(newSampling(3, 1, 6, 7), 12)
	differ := 0
	for i := range three {
		if !slices.Equal(three[i].Tokens, five[i].Tokens) {
			t.Errorf("sample %d is %v of three and %v of five", i, three[i], five[i])
		}
		if !slices.Equal(three[i].Tokens, other[i].Tokens) {
			differ++
		}
	}
	if differ == 0 || slices.Equal(three[0].Tokens, three[1].Tokens) && slices.Equal(three[0].Tokens, three[2].Tokens) {
		t.Errorf("samples %v, of another seed %v", three, other)
	}
}

// TestTemperatureLeavesLogProbs checks that a temperature changes what is drawn, and not how
// likely it is said to be (upstream GreedyDecoder.update).
func TestTemperatureLeavesLogProbs(t *testing.T) {
	c := newChain(6, 9)
	for _, h := range c.run(newSampling(8, 1.7, 1, 5), 10) {
		want, at := 0.0, int32(0)
		for _, id := range h.Tokens[1:] {
			want, at = want+float64(c[at][id]), id
		}
		if len(h.Tokens) < 11 {
			want += float64(c[at][5])
		}
		if math.Abs(h.SumLogProb-want) > 1e-5 { // the rows add up to 1 but for their rounding
			t.Errorf("%v: log probability %v, want %v", h.Tokens, h.SumLogProb, want)
		}
	}
}

// TestColdestSampleIsGreedy checks that samples at hardly any temperature are the likeliest text.
func TestColdestSampleIsGreedy(t *testing.T) {
	c := newChain(6, 4)
	want := c.run(newSampling(1, 0, 0, 5), 10)[0]
	for _, got := range c.run(newSampling(3, 1e-4, 1, 5), 10) {
		if !slices.Equal(got.Tokens, want.Tokens) || got.SumLogProb != want.SumLogProb {
			t.Errorf("%v, greedy %v", got, want)
		}
	}
}
