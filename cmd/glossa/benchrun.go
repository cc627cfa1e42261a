package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// benchPeaks are what the machine does at most.
type benchPeaks struct {
	ops  map[tensor.DType]float64 // operations a second in registers, 0 where that is not known
	read float64                  // bytes a second from memory
}

func measurePeaks(b backend, formats []tensor.DType) benchPeaks {
	p := benchPeaks{ops: make(map[tensor.DType]float64), read: b.PeakRead()}
	for _, d := range formats {
		p.ops[d] = b.Peak(d)
	}
	return p
}

// encodeTimes are the times of one window.
type encodeTimes struct{ encode, cross time.Duration }

// benchTimes are the medians of a case.
type benchTimes struct {
	encodeTimes
	step   time.Duration
	prompt int // tokens before the first
	tokens int // of a window
}

// run measures a batch of n windows. encoded are the times of windows by how many are encoded
// together, which batches share.
func (f *benchCommand) run(ctx context.Context, w *benchWatch, m *benchModel, n int, encoded map[int]encodeTimes) (benchTimes, error) {
	w.phase("encode")
	cross, err := f.encode(ctx, m, f.together(n), encoded)
	if err != nil {
		return benchTimes{}, err
	}
	own := make([]*whisper.CrossKV, n)
	for i := range own {
		own[i] = cross[i%len(cross)]
		if i >= len(cross) {
			own[i] = own[i].Keep() // in memory of its own, as that of another window is
		}
	}
	w.phase("decode")
	t := benchTimes{encodeTimes: encoded[f.together(n)], tokens: f.Tokens}
	var steps []time.Duration
	begin := time.Now()
	for i := 0; i < f.Repeat && (i == 0 || time.Since(begin).Seconds() < f.Seconds); i++ {
		d, err := newBenchDecoding(m, own, f.Tokens)
		if err != nil {
			return benchTimes{}, err
		}
		t.prompt = d.prompt
		for j := range f.Tokens {
			if err := ctx.Err(); err != nil {
				return benchTimes{}, err
			}
			begin := time.Now()
			if err := d.step(); err != nil {
				return benchTimes{}, err
			}
			if j > 0 { // not that of the prompt, which has several rows for each window
				steps = append(steps, time.Since(begin))
			}
		}
	}
	t.step = median(steps)
	return t, nil
}

// encode encodes so many windows, and adds the medians of their times to encoded unless they are
// known. Once is enough then, for what the windows are decoded with.
func (f *benchCommand) encode(ctx context.Context, m *benchModel, together int, encoded map[int]encodeTimes) (kept []*whisper.CrossKV, err error) {
	mels := randomMels(m.Dims, together)
	var encode, cross []time.Duration
	_, known := encoded[together]
	begin := time.Now()
	for i := 0; i == 0 || !known && i <= f.Repeat && (i == 1 || time.Since(begin).Seconds() < f.Seconds); i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		kept = nil
		m.ops.Reset()
		s := &whisper.Step{Ops: m.ops}
		start := time.Now()
		states, err := m.EncodeStates(s, mels)
		if err != nil {
			return nil, err
		}
		middle := time.Now()
		for _, kv := range m.Decoder.CrossKV(s, states) {
			kept = append(kept, kv.Keep())
		}
		if err := s.Read(nil, tensor.Mat{}); err != nil {
			return nil, err
		}
		if i == 0 {
			begin = time.Now() // the first finds caches cold and memory not yet there
			continue
		}
		encode = append(encode, middle.Sub(start)/time.Duration(together))
		cross = append(cross, time.Since(middle)/time.Duration(together))
	}
	if !known {
		encoded[together] = encodeTimes{median(encode), median(cross)}
	}
	return kept, nil
}

// median returns the middle of some times.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	n := len(times)
	if n == 0 {
		return 0
	}
	return (times[(n-1)/2] + times[n/2]) / 2
}

// benchDecoding decodes windows side by side by greedy search, to no end.
type benchDecoding struct {
	model  *benchModel
	cross  []*whisper.CrossKV
	caches []*whisper.Cache
	prompt int       // tokens before the first
	tokens []int32   // of the next step
	logits []float32 // of a step
}

// newBenchDecoding begins to decode windows to n tokens each.
func newBenchDecoding(m *benchModel, cross []*whisper.CrossKV, n int) (*benchDecoding, error) {
	start, err := m.Tokenizer.SOTSequence("en", "transcribe")
	if err != nil {
		return nil, err
	}
	start = append(start, m.Tokenizer.NoTimestamps())
	if room := m.Dims.NTextCtx - len(start); n > room {
		return nil, fmt.Errorf("--tokens %d: the model has room for %d", n, room)
	}
	d := &benchDecoding{model: m, cross: cross, prompt: len(start)}
	for range cross {
		d.tokens = append(d.tokens, start...)
		d.caches = append(d.caches, m.Decoder.NewCache())
	}
	return d, nil
}

// step decodes one more token of every window.
func (d *benchDecoding) step() error {
	d.model.ops.Reset()
	s := &whisper.Step{Ops: d.model.ops, Seg: tensor.Segments{0}, Cache: d.caches, Cross: d.cross}
	n := len(d.tokens) / len(d.cross)
	last := make([]int32, len(d.cross))
	for i := range d.cross {
		last[i] = int32((i+1)*n - 1)
		s.Seg = append(s.Seg, last[i]+1)
	}
	states := d.model.Decoder.Forward(s, d.tokens)
	y := d.model.Decoder.Logits(s, s.Ops.Embed(states, last))
	d.logits = slices.Grow(d.logits[:0], y.Rows*y.Cols)[:y.Rows*y.Cols]
	if err := s.Read(d.logits, y); err != nil {
		return err
	}
	d.tokens = d.tokens[:0]
	for row := range slices.Chunk(d.logits, y.Cols) {
		d.tokens = append(d.tokens, int32(slices.Index(row, slices.Max(row))))
	}
	return nil
}
