package tensor

import (
	"math"
	"slices"
)

// Choice is the choice of tokens from one row of logits: a question, and the answer to it, which is
// short however long the row is. Its memory is reused for the next question.
type Choice struct {
	// Suppressed and Excluded are the tokens that are excluded from the choice: single ones, in any
	// order, which many choices may share, and ranges, which may be empty and may overlap.
	Suppressed []int32
	Excluded   []IDRange

	// Timestamps is the first of the timestamps, which are the last tokens. Where they are likelier
	// together than any single token before them, those are excluded too (upstream
	// ApplyTimestampRules): where log Σ exp of their logits is above the greatest logit before them.
	// At 0 there is no such rule.
	Timestamps int32

	// Likeliest is the number of the likeliest tokens that are asked for.
	Likeliest int

	// Draws asks for a token for each u in (0, 1]: the first at which Σ exp(logit/Temperature) of the
	// tokens up to it reaches the part u of that of all. Temperature is above 0.
	Draws       []float64
	Temperature float64

	// Named are tokens whose logits are asked for, whether they are excluded or not.
	Named []int32

	// Total is log Σ exp of the logits of all tokens that are not excluded. It is not finite where one
	// of them is NaN or +Inf, or none is above -Inf. NaN before the timestamps may be excluded
	// by their rule or not.
	Total float64

	// IDs are the likeliest tokens that are not excluded, the likeliest first, of equal ones the
	// first, fewer where fewer have a logit above -Inf; and behind them those drawn. There are none
	// where Total is not finite.
	IDs []int32

	// Logits are those of IDs, and NamedLogits those of Named.
	Logits, NamedLogits []float32

	drawing *drawing // memory of the host's
}

// IDRange are the tokens From … To-1.
type IDRange struct{ From, To int32 }

// Reset takes the question back, and keeps the memory.
func (c *Choice) Reset() {
	*c = Choice{Excluded: c.Excluded[:0], Draws: c.Draws[:0], IDs: c.IDs[:0], Logits: c.Logits[:0],
		NamedLogits: c.NamedLogits[:0], drawing: c.drawing}
}

// Exclude excludes the tokens from … to-1.
func (c *Choice) Exclude(from, to int32) { c.Excluded = append(c.Excluded, IDRange{from, to}) }

// LogProb returns the log probability of IDs[i].
func (c *Choice) LogProb(i int) float32 { return c.Logits[i] - float32(c.Total) }

// Answered reports whether the logits that are not excluded are numbers, and one is above -Inf.
func (c *Choice) Answered() bool { return !math.IsNaN(c.Total) && !math.IsInf(c.Total, 0) }

// Picker is implemented by a backend that chooses tokens where its logits are, so that questions
// and answers travel and rows of logits do not.
type Picker interface {
	// Pick answers choices[i] from row i of logits (len(choices), nVocab), which it may change. On a
	// [Device] it waits for all kernels before it, and the error is as that of Read; nothing is answered then.
	Pick(logits Mat, choices []Choice) error
}

// Pick answers choices[i] from row i of logits (len(choices), nVocab), which may be changed: on the
// backend where it is a [Picker], else on the host by the kernels of its [Chooser]. The answer
// to a choice is bitwise the same beside any others. The error is the device's, as that of [Ops.Read].
func (o *Ops) Pick(logits Mat, choices []Choice) error {
	checkShape("logits", logits, len(choices), logits.Cols)
	for i := range choices {
		choices[i].check(logits.Cols)
	}
	if p, ok := o.own.(Picker); ok {
		if err := o.fault(); err != nil {
			return err
		}
		return deviceError(p.Pick(logits, choices))
	}
	x, err := o.View(logits, &o.picking.logits)
	if err != nil {
		return err
	}
	o.picking.run(o.chooser, x, choices)
	return nil
}

// check panics where a question makes no sense.
func (c *Choice) check(nVocab int) {
	if c.Timestamps < 0 || int(c.Timestamps) > nVocab {
		fail("timestamps from %d of %d tokens", c.Timestamps, nVocab)
	}
	if len(c.Draws) > 0 && !(c.Temperature > 0) {
		fail("tokens drawn at temperature %v", c.Temperature)
	}
	if len(c.Named) > 0 {
		checkIndex("token", c.Named, len(c.Named), nVocab)
	}
	for _, r := range c.Excluded {
		if r.From < 0 || int(r.To) > nVocab {
			fail("excluded tokens %d … %d of %d", r.From, r.To-1, nVocab)
		}
	}
}

// picking is the state of [Ops.Pick] on the host.
type picking struct {
	chooser Chooser
	rows    []float32
	choices []Choice
	each    func(i int) // p.answer, made once
	logits  []float32   // of a device without Picker
}

func (p *picking) run(c Chooser, rows []float32, choices []Choice) {
	if p.each == nil {
		p.each = p.answer
	}
	p.chooser, p.rows, p.choices = c, rows, choices
	c.Each(len(choices), p.each)
	p.rows, p.choices = nil, nil
}

// answer answers the i-th choice: it excludes tokens by setting their logits to -Inf.
func (p *picking) answer(i int) {
	n := len(p.rows) / len(p.choices)
	c, x := &p.choices[i], p.rows[i*n:(i+1)*n]
	c.NamedLogits = c.NamedLogits[:0]
	for _, id := range c.Named {
		c.NamedLogits = append(c.NamedLogits, x[id])
	}
	for _, id := range c.Suppressed {
		x[id] = negInf
	}
	for _, r := range c.Excluded {
		exclude(x[r.From:max(r.From, r.To)])
	}
	if t := c.Timestamps; t > 0 && LogSumExp(p.chooser, x[t:]) > float64(p.chooser.Max(x[:t])) {
		exclude(x[:t])
	}
	c.Total = LogSumExp(p.chooser, x)
	c.IDs, c.Logits = slices.Grow(c.IDs[:0], c.Likeliest+1+len(c.Draws)), c.Logits[:0]
	if !c.Answered() {
		return
	}
	c.IDs = likeliest(p.chooser, c.IDs, x, c.Likeliest)
	if len(c.Draws) > 0 && c.drawing == nil {
		c.drawing = new(drawing)
	}
	for _, u := range c.Draws {
		c.IDs = append(c.IDs, c.drawing.draw(p.chooser, x, c.Temperature, u))
	}
	for _, id := range c.IDs {
		c.Logits = append(c.Logits, x[id])
	}
}

func exclude(x []float32) {
	for i := range x {
		x[i] = negInf
	}
}
