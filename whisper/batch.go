package whisper

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"glossa/whisper/tensor"
)

// Batch decodes windows one token at a time, the hypotheses of all of them in one batch of packed
// rows: a window enters at any step, and leaves at the step at which it is done. Its result is
// bitwise the same alone and beside any others. A step allocates nothing once the batch has
// held as many hypotheses as long as these. A Batch serves one goroutine, that of its operations.
type Batch struct {
	model   *Model
	chooser chooser
	live    []*group
	next    int // ticket
	caches  cachePool
	step    Step
	tokens  []int32
	rows    []int32 // of the step, whose logits are wanted
	before  []int32 // rows of each cache before the step
	logits  []float32
	update  func(i int) // b.updateAt, made once
	done    []Finished
}

// Finished is a window that has left a batch.
type Finished struct {
	Ticket int
	Decoded
}

// group is a window on its way through a batch: its live hypotheses, each a row of a step.
type group struct {
	ticket    int
	utterance Utterance
	begin     int // number of initial tokens
	sot       int // index of <|startoftranscript|> among them
	sampleLen int
	filters   []Filter
	search    Search
	live      []Hypothesis
	parent    []int     // that live continue
	cache     []*Cache  // of live, or of their parents before rearrange
	choices   []Choices // of live
	noSpeech  float64
	begun     bool // the initial tokens were fed
	done      bool
	err       error
}

// NewBatch returns a batch without windows. adapter may be nil.
func (m *Model) NewBatch(o *tensor.Ops, adapter Adapter) *Batch {
	b := &Batch{model: m, chooser: chooser{o.Chooser()}, caches: cachePool{decoder: &m.Decoder}}
	b.step = Step{Ops: o, Adapter: adapter}
	b.update = b.updateAt
	return b
}

// Len returns the number of windows.
func (b *Batch) Len() int { return len(b.live) }

// Rows returns the number of hypotheses that live.
func (b *Batch) Rows() int {
	n := 0
	for _, g := range b.live {
		n += len(g.live)
	}
	return n
}

// Add lets a window, whose language must be known, take part from the next step on, and returns its
// ticket. The errors are ErrLanguage, ErrTask and ErrOptions.
func (b *Batch) Add(u Utterance) (ticket int, err error) {
	g, err := b.model.begin(b.chooser, u.Options)
	if err != nil {
		return 0, err
	}
	g.ticket, g.utterance, g.cache = b.next, u, []*Cache{b.caches.take()}
	b.next++
	b.live = append(b.live, g)
	return g.ticket, nil
}

// Remove takes a window out of the batch, and reports whether it was there.
func (b *Batch) Remove(ticket int) bool {
	i := slices.IndexFunc(b.live, func(g *group) bool { return g.ticket == ticket })
	if i < 0 {
		return false
	}
	b.caches.put(b.live[i].cache)
	b.live = slices.Delete(b.live, i, i+1)
	return true
}

// begin returns a window with one hypothesis, the initial tokens, and no cache.
func (m *Model) begin(c chooser, o DecodeOptions) (*group, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	tokens, sot, err := m.initialTokens(o)
	if err != nil {
		return nil, err
	}
	g := &group{begin: len(tokens), sot: sot, sampleLen: o.SampleLen}
	if g.sampleLen == 0 {
		g.sampleLen = m.Dims.NTextCtx / 2
	}
	g.filters, g.search = m.filters(c, o, g.begin), o.search(c, m.Tokenizer.EOT())
	g.live = []Hypothesis{{Tokens: tokens}}
	return g, nil
}

// Step feeds each live hypothesis what its cache has not seen, and lets the searches choose the
// tokens that follow. The initial tokens of a window are fed once for all its hypotheses. It returns
// the windows that are done and have left, until the next call. The errors are the device's: where one wraps
// tensor.ErrMemory, the batch is as it was before, and fewer windows may do; after any other it is of no more use.
func (b *Batch) Step() ([]Finished, error) {
	b.done = b.done[:0]
	if len(b.live) == 0 {
		return nil, nil
	}
	b.lay()
	b.step.Reset()
	d := &b.model.Decoder
	y := d.Logits(&b.step, b.step.Ops.Embed(d.Forward(&b.step, b.tokens), b.rows))
	logits, err := b.step.View(y, &b.logits)
	if err != nil {
		b.undo()
		return nil, err
	}
	b.share(logits, y.Cols)
	b.chooser.Each(len(b.live), b.update)
	left := b.live[:0]
	for _, g := range b.live {
		if !g.done {
			g.cache, g.err = b.caches.rearrange(b.step.Ops, g.cache, g.parent)
			g.done = g.err != nil
		}
		if g.done {
			b.done = append(b.done, Finished{g.ticket, b.model.result(g)})
			b.caches.put(g.cache)
		} else {
			left = append(left, g)
		}
	}
	clear(b.live[len(left):])
	b.live = left
	return b.done, nil
}

// undo makes the caches what they were before a step for which there was no memory, and gives back what they do not
// need.
func (b *Batch) undo() {
	for i, c := range b.step.Cache {
		c.truncate(int(b.before[i]))
	}
	b.caches.pages.trim()
}

// Trim gives back memory of a device that no window needs at the moment.
func (b *Batch) Trim() { b.caches.pages.trim() }

// Free gives back what the batch has of a device's memory. It is of no more use.
func (b *Batch) Free() {
	for _, g := range b.live {
		b.caches.put(g.cache)
	}
	b.live = nil
	b.Trim()
}

// lay packs what the hypotheses are fed, and which rows' logits are wanted: the last of each, and at
// first the start's.
func (b *Batch) lay() {
	s := &b.step
	s.Seg = append(s.Seg[:0], 0)
	s.Cache, s.Cross, s.AdapterOf = s.Cache[:0], s.Cross[:0], s.AdapterOf[:0]
	b.tokens, b.rows, b.before = b.tokens[:0], b.rows[:0], b.before[:0]
	for _, g := range b.live {
		if !g.begun {
			b.rows = append(b.rows, int32(len(b.tokens)+g.sot))
		}
		for i, h := range g.live {
			b.tokens = append(b.tokens, h.Tokens[g.cache[i].Len():]...)
			b.rows = append(b.rows, int32(len(b.tokens)-1))
			s.Seg = append(s.Seg, int32(len(b.tokens)))
			s.Cache = append(s.Cache, g.cache[i])
			b.before = append(b.before, int32(g.cache[i].Len()))
			s.Cross = append(s.Cross, g.utterance.Cross)
			s.AdapterOf = append(s.AdapterOf, g.utterance.Adapter)
		}
	}
}

// share gives every window the logits of its hypotheses, and at first the probability that there is
// no speech, from what follows <|startoftranscript|>.
func (b *Batch) share(logits []float32, nVocab int) {
	next := func() (row []float32) {
		row, logits = logits[:nVocab], logits[nVocab:]
		return row
	}
	for _, g := range b.live {
		if !g.begun {
			row := next()
			g.begun = true
			g.noSpeech = math.Exp(float64(row[b.model.Tokenizer.NoSpeech()]) - b.chooser.logSumExp(row))
		}
		g.choices = g.choices[:0]
		for range g.live {
			g.choices = append(g.choices, Choices{Logits: next()})
		}
	}
}

// updateAt moves the hypotheses of a window one token on.
func (b *Batch) updateAt(i int) {
	g := b.live[i]
	for i := range g.choices {
		c := &g.choices[i]
		for _, f := range g.filters {
			f.Apply(c.Logits, g.live[i].Tokens)
		}
		c.Total = b.chooser.logSumExp(c.Logits)
		if math.IsNaN(c.Total) || math.IsInf(c.Total, 0) {
			g.err, g.done = fmt.Errorf("%w after %d tokens", ErrNotFinite, len(g.live[i].Tokens)), true
			return
		}
	}
	next, parent, done := g.search.Update(g.live, g.choices)
	g.live, g.parent = next, parent
	g.done = done || len(next[0].Tokens)-g.begin >= g.sampleLen || len(next[0].Tokens) > b.model.Dims.NTextCtx
}

// result returns the result of a window that is done.
func (m *Model) result(g *group) (d Decoded) {
	d.Language = g.utterance.Options.Language
	if d.Err = g.err; d.Err != nil {
		return d
	}
	h := best(g.search.Result(g.live), g.begin, g.utterance.Options.LengthPenalty)
	d.Tokens = slices.Clone(h.Tokens[g.begin:])
	d.Text = strings.TrimSpace(m.Tokenizer.Decode(d.Tokens))
	d.AvgLogProb = h.SumLogProb / float64(len(d.Tokens)+1)
	d.NoSpeechProb = g.noSpeech
	d.CompressionRatio = CompressionRatio(d.Text)
	return d
}
