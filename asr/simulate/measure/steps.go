package measure

import (
	"slices"
	"time"

	"glossa/asr/simulate"
	"glossa/whisper"
)

// measureSteps measures steps by rows and adapters.
func (m *bench) measureSteps() error {
	frames := m.typicalFrames()
	cross, err := m.cross(m.Rows[len(m.Rows)-1], frames)
	if err != nil {
		return err
	}
	for _, n := range m.Rows {
		numbers := []int{0}
		if m.batch != nil {
			numbers = append(numbers, 1, n)
		}
		for _, adapters := range slices.Compact(numbers) {
			_, step, err := m.decode(cross[:n], adapters, 0)
			if err != nil {
				return err
			}
			m.out.Step = append(m.out.Step, simulate.StepCost{Rows: n, Adapters: adapters, Seconds: figures(step)})
		}
	}
	return m.measureEntering(cross[:min(4, len(cross))])
}

// enter lets windows enter a batch, to be decoded to the end of their texts.
func (m *bench) enter(b *whisper.Batch, cross []*whisper.CrossKV) error {
	options := whisper.DecodeOptions{
		Language: m.language(), WithoutTimestamps: true, SampleLen: min(m.steps, m.Model.Dims.NTextCtx/2-8), Suppress: []int32{m.Model.Tokenizer.EOT()},
	}
	for _, c := range cross {
		if _, err := b.Add(whisper.Utterance{Cross: c, Options: options}); err != nil {
			return err
		}
	}
	return nil
}

// measureEntering measures what is beside the rows of a step: windows that enter, and text before them.
func (m *bench) measureEntering(cross []*whisper.CrossKV) error {
	n := float64(len(cross))
	first, step, err := m.decode(cross, 0, 0)
	if err != nil {
		return err
	}
	before := min(m.Model.Dims.NTextCtx/2-1, 100)
	prompted, _, err := m.decode(cross, 0, before)
	m.out.Enter = figures(max(0, (first-step)/n))
	m.out.PromptToken = figures(max(0, (prompted-first)/(n*float64(before+1))))
	return err
}

// decode measures windows that are decoded together, behind a text of so many tokens: the first step, in which they enter, and any
// other.
func (m *bench) decode(cross []*whisper.CrossKV, adapters, before int) (first, step float64, err error) {
	b := m.Model.NewBatch(m.ops, m.adapter(adapters))
	of := distinct(len(cross), adapters)
	options := whisper.DecodeOptions{
		Language: m.language(), WithoutTimestamps: true, SampleLen: min(m.steps, m.Model.Dims.NTextCtx/2-8), Prompt: make([]int32, before),
		Suppress: []int32{m.Model.Tokenizer.EOT()},
	}
	var others []time.Duration
	decode := func() (time.Duration, error) {
		begin := time.Now()
		for i, c := range cross {
			u := whisper.Utterance{Cross: c, Options: options}
			if of != nil {
				u.Adapter = of[i]
			}
			if _, err := b.Add(u); err != nil {
				return 0, err
			}
		}
		var entered time.Duration
		for j := 0; b.Len() > 0; j++ {
			if err := m.ctx.Err(); err != nil {
				return 0, err
			}
			done, err := b.Step()
			if err != nil {
				return 0, err
			}
			for _, d := range done {
				if d.Err != nil {
					return 0, d.Err
				}
			}
			now := time.Now()
			if j == 0 {
				entered = now.Sub(begin)
			} else {
				others = append(others, now.Sub(begin))
			}
			begin = now
		}
		return entered, nil
	}
	probed := len(m.probed)
	first, err = m.timed(decode)
	step = meanOf(others)
	if len(m.probed) > probed {
		step *= m.reference / m.probed[probed]
	}
	return first, step, err
}

// decodeOnce decodes windows together.
func (m *bench) decodeOnce(cross []*whisper.CrossKV) error {
	b := m.Model.NewBatch(m.ops, nil)
	if err := m.enter(b, cross); err != nil {
		return err
	}
	for b.Len() > 0 {
		if _, err := b.Step(); err != nil {
			return err
		}
	}
	return m.ctx.Err()
}
