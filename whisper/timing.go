package whisper

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"glossa/whisper/tensor"
)

// ErrAlignment is the error of a text that cannot be aligned with its window.
var ErrAlignment = errors.New("whisper: align words")

// Alignment is a window whose text is to be timed.
type Alignment struct {
	Cross    *CrossKV
	Adapter  int32  // index in the step's adapter that Cross was computed under
	Language string // a code, as it was decoded
	Task     string
	Tokens   []int32 // of text alone: below the end of text
	Frames   int     // of audio in the window, in 10 ms
	Attended bool    // asks for Aligned.Attended
}

// Aligned are the words of one window.
type Aligned struct {
	Words []WordTiming

	// Attended are the encoder rows, of 20 ms, of audio that the alignment heads look at most, on average, when they predict each
	// token of text: what AlignAtt goes by (Papi, Turchi and Negri 2023). nil where it was not asked for.
	Attended []int

	// Err is the reason why this window alone failed.
	Err error
}

// WordTiming is a word and its time (upstream WordTiming).
type WordTiming struct {
	Word
	Start, End  float64 // seconds from the window's start
	Probability float64 // mean of its tokens'
}

// AlignWords times the words of windows by the attention of the model's alignment heads (upstream
// find_alignment): all windows in one pass of packed rows, each window's words bitwise the same
// alone and in any batch. adapter may be nil. It fails as a whole where the device is at fault.
func (m *Model) AlignWords(o *tensor.Ops, adapter Adapter, items []Alignment) ([]Aligned, error) {
	out := make([]Aligned, len(items))
	var fs []*forced
	for i := range items {
		f, err := m.force(&items[i])
		if err != nil {
			out[i].Err = err
		} else if len(items[i].Tokens) > 0 {
			f.at = i
			fs = append(fs, f)
		}
	}
	if err := m.runForced(o, adapter, fs); err != nil {
		return nil, err
	}
	for _, f := range fs {
		out[f.at].Words, out[f.at].Attended = f.words(m.Tokenizer), f.attended()
	}
	return out, nil
}

// forced is a window's text on its way through the decoder.
type forced struct {
	*Alignment
	chooser tensor.Chooser
	at      int     // index of the alignment
	tokens  []int32 // start sequence, <|notimestamps|>, text, end of text
	begin   int     // of <|notimestamps|>, whose row predicts the first token of text
	nFrame  int     // columns of weights: rows of the encoder that hold audio

	// match (len(Tokens)+1, nFrame) says how well each token of text, and the end behind them, goes
	// with each frame: the mean over the heads of the weights of the row that predicts it,
	// standardised over all rows and smoothed over time.
	match  []float32
	weight []float32 // (len(Tokens), nFrame) the sum over heads of weights as they are, where Attended is asked for
	probs  []float64 // of each token of text among tokens of text

	scores []float32 // of one head, (len(tokens), nFrame)
}

// force returns the start of the pass that aligns a.
func (m *Model) force(a *Alignment) (*forced, error) {
	t := m.Tokenizer
	start, err := t.SOTSequence(a.Language, a.Task)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(a.Tokens, func(id int32) bool { return id < 0 || id >= t.EOT() }); i >= 0 {
		return nil, fmt.Errorf("%w: token %d is not of text", ErrAlignment, a.Tokens[i])
	}
	f := &forced{Alignment: a, begin: len(start)}
	f.tokens = slices.Concat(start, []int32{t.NoTimestamps()}, a.Tokens, []int32{t.EOT()})
	if n := len(f.tokens); n > m.Dims.NTextCtx {
		return nil, fmt.Errorf("%w: %d tokens, the model takes %d", ErrAlignment, n, m.Dims.NTextCtx)
	}
	if len(m.Generation.AlignmentHeads) == 0 {
		return nil, fmt.Errorf("%w: the model has no alignment heads", ErrAlignment)
	}
	f.nFrame = min(a.Frames/FramesPerToken, a.Cross.rows())
	f.match = make([]float32, (len(a.Tokens)+1)*f.nFrame)
	f.scores = make([]float32, len(f.tokens)*f.nFrame)
	f.probs = make([]float64, len(a.Tokens))
	if a.Attended {
		f.weight = make([]float32, len(a.Tokens)*f.nFrame)
	}
	return f, nil
}

// runForced fills match and probs of each window.
func (m *Model) runForced(o *tensor.Ops, adapter Adapter, fs []*forced) error {
	if len(fs) == 0 {
		return nil
	}
	o.Reset()
	s := &Step{Ops: o, Adapter: adapter, Seg: tensor.Segments{0}}
	var tokens []int32
	for _, f := range fs {
		f.chooser = o.Chooser()
		tokens = append(tokens, f.tokens...)
		s.Seg = append(s.Seg, int32(len(tokens)))
		s.Cross = append(s.Cross, f.Cross)
		s.AdapterOf = append(s.AdapterOf, f.Adapter)
	}
	w := headSum{s: s, fs: fs, heads: m.alignmentHeads(), nHead: m.Dims.NTextHead}
	s.Watch = w.layer
	x := m.Decoder.Forward(s, tokens)
	if w.err != nil {
		return w.err
	}
	n := float32(len(slices.Concat(w.heads...)))
	for i, f := range fs {
		for j := range f.match {
			f.match[j] /= n
		}
		from, _ := s.Seg.Range(i)
		from += f.begin
		if err := m.textProbs(s, f, x.Slice(from, from+len(f.Tokens))); err != nil {
			return err
		}
	}
	return nil
}

// alignmentHeads returns the alignment heads of each layer, in order.
func (m *Model) alignmentHeads() [][]int {
	heads := make([][]int, m.Dims.NTextLayer)
	for _, h := range m.Generation.AlignmentHeads {
		heads[h[0]] = append(heads[h[0]], h[1])
	}
	for i := range heads {
		slices.Sort(heads[i])
		heads[i] = slices.Compact(heads[i])
	}
	return heads
}

// headSum adds the weights of the alignment heads to the match of each window, layer by layer as
// the decoder goes through them.
type headSum struct {
	s     *Step
	fs    []*forced
	heads [][]int // of each layer
	nHead int
	err   error // of the device
}

func (w *headSum) layer(layer int, q tensor.Mat, kv []tensor.KeyValue) {
	for _, head := range w.heads[layer] {
		w.s.Scope(func() tensor.Mat {
			w.head(head, q, kv)
			return tensor.Mat{}
		})
	}
}

// head adds the weights of one head. Its scores are a product over all columns of the keys, those
// of other heads being zero in q.
func (w *headSum) head(head int, q tensor.Mat, kv []tensor.KeyValue) {
	width := q.Cols / w.nHead
	only := make([]float32, q.Cols)
	for i := range width {
		only[head*width+i] = float32(1 / math.Sqrt(float64(width)))
	}
	q = w.s.Scale(q, w.s.Upload(1, q.Cols, only), nil)
	var added sync.WaitGroup
	defer added.Wait()
	for i, f := range w.fs {
		if f.nFrame == 0 {
			continue
		}
		from, to := w.s.Seg.Range(i)
		qk := w.s.Linear(q.Slice(from, to), &tensor.Weight{Mat: w.s.Keys(kv[i]).Slice(0, f.nFrame)}, tensor.Mat{})
		w.err = errors.Join(w.err, w.s.Read(f.scores, qk))
		added.Go(f.add)
	}
}

// add adds the weights of the head whose scores are in f, which it overwrites: softmax over the
// frames, standardised over the tokens, median-filtered over the frames. A frame that has one
// weight for all tokens becomes NaN, as upstream's.
func (f *forced) add() {
	rows := slices.Collect(slices.Chunk(f.scores, f.nFrame))
	n := float64(len(rows))
	mean, deviation := make([]float64, f.nFrame), make([]float64, f.nFrame)
	for _, row := range rows {
		softmax(f.chooser, row)
		for t, w := range row {
			mean[t] += float64(w)
		}
	}
	for t := range mean {
		mean[t] /= n
	}
	if f.Attended {
		for i, row := range rows[f.begin : len(rows)-2] {
			weight := f.weight[i*f.nFrame:]
			for t, w := range row {
				weight[t] += w
			}
		}
	}
	for _, row := range rows {
		for t, w := range row {
			d := float64(w) - mean[t]
			deviation[t] += d * d
		}
	}
	for t := range deviation {
		deviation[t] = math.Sqrt(deviation[t] / n)
	}
	for i, row := range rows[f.begin : len(rows)-1] {
		for t, w := range row {
			row[t] = float32((float64(w) - mean[t]) / deviation[t])
		}
		medianFilter(row)
		match := f.match[i*f.nFrame:]
		for t, w := range row {
			match[t] += w
		}
	}
}

// softmax sets x to exp(x) / Σ exp(x).
func softmax(c tensor.Chooser, x []float32) {
	sum := c.Exp(x, x, c.Max(x), 1)
	for i := range x {
		x[i] /= sum
	}
}

// attended returns the frame of the greatest weight of each token, the first of equal ones; nil where they were not
// asked for or there is no audio.
func (f *forced) attended() []int {
	if len(f.weight) == 0 {
		return nil
	}
	frames := make([]int, 0, len(f.Tokens))
	for row := range slices.Chunk(f.weight, f.nFrame) {
		most := 0
		for t, w := range row {
			if w > row[most] {
				most = t
			}
		}
		frames = append(frames, most)
	}
	return frames
}

// textProbs sets the probability of each token of text among tokens of text, given the states
// (len(Tokens), nState) that predict them.
func (m *Model) textProbs(s *Step, f *forced, states tensor.Mat) error {
	const atOnce = 32 // rows of logits, which are long
	logits := make([]float32, min(atOnce, states.Rows)*m.Dims.NVocab)
	var err error
	for from := 0; from < states.Rows && err == nil; from += atOnce {
		s.Scope(func() tensor.Mat {
			y := m.Decoder.Logits(s, states.Slice(from, min(from+atOnce, states.Rows)))
			err = s.Read(logits[:y.Rows*y.Cols], y)
			return tensor.Mat{}
		})
		for i, id := range f.Tokens[from:min(from+atOnce, states.Rows)] {
			row := logits[i*m.Dims.NVocab:][:m.Tokenizer.EOT()]
			f.probs[from+i] = math.Exp(float64(row[id]) - tensor.LogSumExp(f.chooser, row))
		}
	}
	return err
}

// words returns the words of the text, each from where the path through match reaches its first
// token to where it reaches the token behind it.
func (f *forced) words(t *Tokenizer) []WordTiming {
	split := t.SplitWords(f.Language, append(slices.Clone(f.Tokens), t.EOT()))
	if len(split) <= 1 {
		return nil
	}
	rows, cols := dtw(f.match, len(f.Tokens)+1, f.nFrame)
	var start []float64 // of each token
	for i, row := range rows {
		if i == 0 || row != rows[i-1] {
			start = append(start, float64(cols[i])/TokensPerSecond)
		}
	}
	words := make([]WordTiming, len(split)-1)
	from := 0
	for i := range words {
		to := from + len(split[i].Tokens)
		sum := 0.0
		for _, p := range f.probs[from:to] {
			sum += p
		}
		words[i] = WordTiming{Word: split[i], Start: start[from], End: start[to], Probability: sum / float64(to-from)}
		from = to
	}
	return words
}
