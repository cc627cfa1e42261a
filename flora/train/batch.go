package train

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// batch is examples packed one after another, without padding.
type batch struct {
	mel      []float32 // (frames.Rows(), nMels)
	frames   tensor.Segments
	states   []int // rows of the encoder's states by utterance
	tokens   tensor.Segments
	input    []int32
	output   []int32
	weight   []float32
	text     [][]int32  // by utterance, for CTC
	spans    [][2]int32 // of each output, the units of text that it spells
	examples int
	seconds  float64

	after   position // where the data stands after this batch
	skipped int      // entries left out on the way to it
}

// pack returns the batch of examples.
func pack(examples []*example) *batch {
	b := &batch{frames: tensor.NewSegments(), tokens: tensor.NewSegments(), examples: len(examples)}
	for _, x := range examples {
		b.mel = append(b.mel, x.mel.Data...)
		b.frames = append(b.frames, b.frames[len(b.frames)-1]+int32(x.mel.Frames))
		b.states = append(b.states, x.mel.Frames/whisper.FramesPerToken)
		b.tokens = append(b.tokens, b.tokens[len(b.tokens)-1]+int32(len(x.input)))
		b.input = append(b.input, x.input...)
		b.output = append(b.output, x.output...)
		b.weight = append(b.weight, x.weight...)
		b.text = append(b.text, x.text)
		b.spans = append(b.spans, x.spans...)
		b.seconds += x.seconds
	}
	return b
}

// weights returns the number of tokens that count in the loss, and in that of CTC.
func (b *batch) weights() (tokens, text float64) {
	for _, w := range b.weight {
		tokens += float64(w)
	}
	for i, t := range b.text {
		if feasible(t, b.states[i]) {
			text += float64(len(t))
		}
	}
	return tokens, text
}

// loader makes the batches of a training, one after another.
type loader struct {
	maker  *maker
	frames int // limit of a batch
	warn   func(string)

	at      position
	skipped int
	ready   []numbered // made, and not yet in a batch
	mu      sync.Mutex
	warned  map[string]bool // paths
}

// numbered is an example with where the data stood before it was drawn.
type numbered struct {
	*example // nil: left out
	before   position
}

// ErrNoExamples is wrapped by the error of a training whose every example is left out.
var ErrNoExamples = fmt.Errorf("%w: no usable example", ErrData)

// maxSkippedInRow is the number of entries left out in a row after which a training has no data.
const maxSkippedInRow = 1000

// next returns the next batch.
func (l *loader) next() (*batch, error) {
	var (
		examples []*example
		frames   int
		inRow    int
	)
	for {
		if len(l.ready) == 0 {
			l.refill()
		}
		x := l.ready[0]
		switch {
		case x.example == nil:
			l.skipped++
			if inRow++; inRow >= maxSkippedInRow {
				return nil, fmt.Errorf("%w: %d in a row were left out", ErrNoExamples, inRow)
			}
		case len(examples) > 0 && frames+x.mel.Frames > l.frames:
			b := pack(examples)
			b.after, b.skipped = x.before, l.skipped
			return b, nil
		default:
			inRow = 0
			examples = append(examples, x.example)
			frames += x.mel.Frames
		}
		l.ready = l.ready[1:]
	}
}

// refill draws some examples and makes them, all cores at work.
func (l *loader) refill() {
	chunk := 8 * runtime.GOMAXPROCS(0)
	l.ready = make([]numbered, chunk)
	entries, numbers := make([]entry, chunk), make([]uint64, chunk)
	for i := range l.ready {
		l.ready[i].before = l.at.clone()
		entries[i], numbers[i] = l.maker.data.draw(&l.at)
	}
	parallel(chunk, func(i int) {
		x, err := l.maker.make(entries[i], numbers[i])
		if err != nil {
			l.report(entries[i].path, err)
			return
		}
		l.ready[i].example = x
	})
}

// report warns of a file, once.
func (l *loader) report(path string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.warn == nil || l.warned[path] {
		return
	}
	if l.warned == nil {
		l.warned = map[string]bool{}
	}
	l.warned[path] = true
	l.warn(err.Error())
}

// stream returns a channel of the following batches, made ahead by a goroutine until ctx ends. The
// last element carries the error, if any.
func (l *loader) stream(ctx context.Context, ahead int) <-chan loaded {
	c := make(chan loaded, max(ahead-1, 0))
	go func() {
		defer close(c)
		for {
			b, err := l.next()
			select {
			case c <- loaded{b, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

type loaded struct {
	batch *batch
	err   error
}

// parallel calls do for 0 … n-1, as many at once as there are processors, in no order.
func parallel(n int, do func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	for range workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
