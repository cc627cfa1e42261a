//go:build cuda && linux

package cuda

import (
	"math"
	"slices"
	"unsafe"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
)

var _ tensor.Picker = (*Backend)(nil)

// pickChunk is the number of logits of a block of kernel pick_chunks.
const pickChunk = 1024

// question is what is asked of a row, as pick.cu has it: where the lists of a [tensor.Choice] begin among words of 32 bits, and
// how long they are, and where its answer begins among the answers' words.
type question struct {
	suppressed, nSuppressed int32
	excluded, nExcluded     int32
	timestamps              int32
	likeliest               int32
	draws, nDraws           int32
	steepness               float32
	named, nNamed           int32
	answer                  int32
}

// The words of an answer: the greatest logit, Σ exp(logit - greatest), the number of likeliest tokens, and from answerIDs on
// tokens and logits.
const (
	answerTop = iota
	answerSum
	answerN
	answerIDs
)

// picking is what the choices of a step need.
type picking struct {
	questions []question
	words     []uint32 // the lists
	answers   []uint32
	width     int // the most of likeliest tokens of a row

	parts, results buffer
}

// Pick answers choices on the device: questions and answers are all that travels.
func (b *Backend) Pick(logits tensor.Mat, choices []tensor.Choice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
	p := &b.picking
	p.ask(choices)
	results := b.pick(logits, p)
	b.copied = copied{}
	var to []byte
	if results != 0 {
		to = bytesOf(p.answers)
	}
	b.fail(b.device.RunRead(b.list, to, results))
	if err := b.err; err != nil {
		b.err = nil
		return err
	}
	for i := range choices {
		p.answer(i, &choices[i])
	}
	return nil
}

// pick appends the kernels and returns where the answers will be, 0 where there is no room or nothing is asked.
func (b *Backend) pick(logits tensor.Mat, p *picking) driver.Address {
	rows, chunks := logits.Rows, blocks(logits.Cols, pickChunk)+1 // timestamps begin a chunk of their own
	if rows == 0 {
		return 0
	}
	parts, ok := b.room(&p.parts, rows*chunks*4*(4+2*p.width))
	results, also := b.room(&p.results, 4*len(p.answers))
	if !ok || !also {
		return 0
	}
	questions, words := driver.Pointer(stage(b, p.questions)), driver.Pointer(stage(b, p.words))
	cols, n, width := driver.Int32(logits.Cols), driver.Int32(chunks), driver.Int32(p.width)
	b.launch(b.k.pickChunks, driver.Dim3{X: chunks, Y: rows}, driver.Pointer(parts), pointer(logits), questions, words, cols, n, width)
	b.launch(b.k.pickRows, driver.Dim3{X: rows}, driver.Pointer(results), driver.Pointer(parts), pointer(logits), questions, words, cols, n, width)
	return results
}

// ask lays the questions out. Rows that suppress the same tokens share the list.
func (p *picking) ask(choices []tensor.Choice) {
	p.questions, p.words, p.width = p.questions[:0], p.words[:0], 0
	size := 0
	for i := range choices {
		c := &choices[i]
		q := question{timestamps: c.Timestamps, likeliest: int32(c.Likeliest), answer: int32(size)}
		if i > 0 && slices.Equal(c.Suppressed, choices[i-1].Suppressed) {
			q.suppressed, q.nSuppressed = p.questions[i-1].suppressed, p.questions[i-1].nSuppressed
		} else {
			q.suppressed, q.nSuppressed = p.list(c.Suppressed)
		}
		q.excluded, q.nExcluded = int32(len(p.words)), int32(len(c.Excluded))
		for _, r := range c.Excluded {
			p.words = append(p.words, uint32(r.From), uint32(r.To))
		}
		if q.draws, q.nDraws = int32(len(p.words)), int32(len(c.Draws)); q.nDraws > 0 {
			q.steepness = tensor.Steepness(c.Temperature)
		}
		for _, u := range c.Draws {
			p.words = append(p.words, math.Float32bits(float32(u)))
		}
		q.named, q.nNamed = p.list(c.Named)
		p.questions = append(p.questions, q)
		p.width = max(p.width, c.Likeliest)
		size += answerIDs + 2*(c.Likeliest+len(c.Draws)) + len(c.Named)
	}
	p.words = append(p.words, 0) // so that there is an address
	p.answers = slices.Grow(p.answers[:0], size)[:size]
}

// list appends tokens to the words.
func (p *picking) list(ids []int32) (at, n int32) {
	at = int32(len(p.words))
	for _, id := range ids {
		p.words = append(p.words, uint32(id))
	}
	return at, int32(len(ids))
}

// answer gives c the answer to question i.
func (p *picking) answer(i int, c *tensor.Choice) {
	words := p.answers[p.questions[i].answer:]
	top, sum := math.Float32frombits(words[answerTop]), math.Float32frombits(words[answerSum])
	c.Total = float64(top) + math.Log(float64(sum))
	room := c.Likeliest + len(c.Draws)
	ids, logits := words[answerIDs:answerIDs+room], words[answerIDs+room:answerIDs+2*room]
	c.IDs, c.Logits, c.NamedLogits = c.IDs[:0], c.Logits[:0], c.NamedLogits[:0]
	for _, bits := range words[answerIDs+2*room:][:len(c.Named)] {
		c.NamedLogits = append(c.NamedLogits, math.Float32frombits(bits))
	}
	if !c.Answered() {
		return
	}
	n := int(words[answerN])
	for j := range ids {
		if j < n || j >= c.Likeliest {
			c.IDs, c.Logits = append(c.IDs, int32(ids[j])), append(c.Logits, math.Float32frombits(logits[j]))
		}
	}
}

// The kernel's struct has as many words.
var _ = [1]int{}[unsafe.Sizeof(question{})-48]
