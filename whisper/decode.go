package whisper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"glossa/whisper/deflate"
	"glossa/whisper/tensor"
)

// ErrNotFinite is the error of a window whose logits hold NaN or nothing but -Inf.
var ErrNotFinite = errors.New("whisper: logits are not finite")

// Utterance is one window ready to be decoded.
type Utterance struct {
	Cross   *CrossKV
	Adapter int32 // index in the step's adapter that Cross was computed under
	Options DecodeOptions
}

// Decoded is the result of one window (upstream DecodingResult).
type Decoded struct {
	Language         string
	LanguageProb     float64 // where the language was detected, else 0
	Tokens           []int32 // after the initial ones, without the end
	Text             string
	AvgLogProb       float64 // natural logarithm, mean over Tokens and the end
	NoSpeechProb     float64
	CompressionRatio float64 // UTF-8 bytes of Text over their zlib size

	// Err is the reason why this window alone failed.
	Err error
}

// group is a window on its way through the loop: its live hypotheses, each a row of a step.
type group struct {
	at        int // index of its utterance
	begin     int // number of initial tokens
	sot       int // index of <|startoftranscript|> among them
	sampleLen int
	filters   []Filter
	search    Search
	live      []Hypothesis
	cache     []*Cache    // of live
	logits    [][]float32 // of live
	noSpeech  float64
	begun     bool // the initial tokens were fed
	done      bool
	err       error
}

// batch is what the steps of the loop share.
type batch struct {
	model   *Model
	ops     *tensor.Ops
	adapter Adapter
	us      []Utterance
	caches  cachePool
	logits  []float32 // of the rows of a step
}

// Decode decodes windows, the hypotheses of all of them in one batch of packed rows that those of a
// finished window leave: a window's result is bitwise the same alone and in any batch. adapter may
// be nil. It fails as a whole where ctx is done or the device is at fault; what is wrong with one
// window is in its Err.
func (m *Model) Decode(ctx context.Context, o *tensor.Ops, adapter Adapter, us []Utterance) ([]Decoded, error) {
	out := make([]Decoded, len(us))
	if err := m.detectMissing(o, adapter, us, out); err != nil {
		return nil, err
	}
	var live []*group
	for i, u := range us {
		g, err := m.begin(u.Options, out[i].Language)
		if err != nil {
			out[i].Err = err
			continue
		}
		g.at = i
		live = append(live, g)
	}
	b := &batch{model: m, ops: o, adapter: adapter, us: us}
	for len(live) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("whisper: decode: %w", err)
		}
		if err := b.step(live); err != nil {
			return nil, err
		}
		live = slices.DeleteFunc(live, func(g *group) bool {
			if g.done {
				m.finish(g, us[g.at].Options, &out[g.at])
			}
			return g.done
		})
	}
	return out, nil
}

// CheckOptions reports what is wrong with the options of a window, apart from a language that is
// not given. The errors are ErrOptions, ErrLanguage and ErrTask.
func (m *Model) CheckOptions(o DecodeOptions) error {
	if o.Language == "" && m.Tokenizer.Multilingual() {
		o.Language = m.Tokenizer.languages[0]
	}
	_, err := m.begin(o, o.Language)
	return err
}

// begin returns a window with one hypothesis, the initial tokens.
func (m *Model) begin(o DecodeOptions, language string) (*group, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	tokens, sot, err := m.initialTokens(o, language)
	if err != nil {
		return nil, err
	}
	g := &group{begin: len(tokens), sot: sot, sampleLen: o.SampleLen}
	if g.sampleLen == 0 {
		g.sampleLen = m.Dims.NTextCtx / 2
	}
	g.filters, g.search = m.filters(o, g.begin), o.search(m.Tokenizer.EOT())
	g.live, g.cache = []Hypothesis{{Tokens: tokens}}, []*Cache{m.Decoder.NewCache()}
	return g, nil
}

// step feeds each live hypothesis what its cache has not seen, and lets the searches choose the
// tokens that follow. The initial tokens of a window are fed once for all its hypotheses.
func (b *batch) step(live []*group) error {
	b.ops.Reset()
	s := &Step{Ops: b.ops, Adapter: b.adapter, Seg: tensor.Segments{0}}
	var tokens, rows []int32 // rows whose logits are wanted: the last of each, and at first the start's
	for _, g := range live {
		if !g.begun {
			rows = append(rows, int32(len(tokens)+g.sot))
		}
		for i, h := range g.live {
			tokens = append(tokens, h.Tokens[g.cache[i].Len():]...)
			rows = append(rows, int32(len(tokens)-1))
			s.Seg = append(s.Seg, int32(len(tokens)))
			s.Cache = append(s.Cache, g.cache[i])
			s.Cross = append(s.Cross, b.us[g.at].Cross)
			s.AdapterOf = append(s.AdapterOf, b.us[g.at].Adapter)
		}
	}
	d := &b.model.Decoder
	y := d.Logits(s, s.Ops.Embed(d.Forward(s, tokens), rows))
	b.logits = slices.Grow(b.logits[:0], y.Rows*y.Cols)[:y.Rows*y.Cols]
	if err := b.ops.Read(b.logits, y); err != nil {
		return err
	}
	b.share(live, y.Cols)
	b.choose(live)
	return nil
}

// share gives every window the logits of its hypotheses, and at first the probability that there is
// no speech, from what follows <|startoftranscript|>.
func (b *batch) share(live []*group, nVocab int) {
	rest := b.logits
	next := func() (row []float32) {
		row, rest = rest[:nVocab], rest[nVocab:]
		return row
	}
	for _, g := range live {
		if !g.begun {
			row := next()
			g.begun = true
			g.noSpeech = math.Exp(float64(row[b.model.Tokenizer.NoSpeech()]) - logSumExp(row))
		}
		g.logits = g.logits[:0]
		for range g.live {
			g.logits = append(g.logits, next())
		}
	}
}

// choose lets the search of every window choose the next tokens from its logits.
func (b *batch) choose(live []*group) {
	parents := make([][]int, len(live))
	var wait sync.WaitGroup
	for i, g := range live {
		wait.Go(func() { parents[i] = g.update(b.model.Dims.NTextCtx) })
	}
	wait.Wait()
	for i, g := range live {
		g.cache = b.caches.rearrange(g.cache, parents[i])
	}
}

// update moves the hypotheses one token on, and returns which one each of them continues.
func (g *group) update(nTextCtx int) (parent []int) {
	for i, row := range g.logits {
		for _, f := range g.filters {
			f.Apply(row, g.live[i].Tokens)
		}
		total := logSumExp(row)
		if math.IsNaN(total) || math.IsInf(total, 0) {
			g.err, g.done = fmt.Errorf("%w after %d tokens", ErrNotFinite, len(g.live[i].Tokens)), true
			return nil
		}
		for j := range row {
			row[j] -= float32(total)
		}
	}
	next, parent, done := g.search.Update(g.live, g.logits)
	g.live = next
	g.done = done || len(next[0].Tokens)-g.begin >= g.sampleLen || len(next[0].Tokens) > nTextCtx
	if g.done {
		return nil
	}
	return parent
}

// finish fills the result of a window that is done.
func (m *Model) finish(g *group, o DecodeOptions, d *Decoded) {
	if d.Err = g.err; d.Err != nil {
		return
	}
	h := best(g.search.Result(g.live), g.begin, o.LengthPenalty)
	d.Tokens = h.Tokens[g.begin:]
	d.Text = strings.TrimSpace(m.Tokenizer.Decode(d.Tokens))
	d.AvgLogProb = h.SumLogProb / float64(len(d.Tokens)+1)
	d.NoSpeechProb = g.noSpeech
	d.CompressionRatio = CompressionRatio(d.Text)
}

// CompressionRatio returns the bytes of text over their zlib size, high where a text repeats
// itself (upstream compression_ratio).
func CompressionRatio(text string) float64 {
	return float64(len(text)) / float64(deflate.ZlibSize([]byte(text)))
}
