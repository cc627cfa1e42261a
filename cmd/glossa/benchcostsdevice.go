package main

import (
	"slices"
	"time"

	"glossa/asr/simulate"
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// windows returns so many windows of random log-mel.
func (m *costsBench) windows(n, frames int) []audio.Mel {
	mels := randomMels(m.model.Dims, n)
	for i := range mels {
		mels[i] = mels[i].Slice(0, frames)
	}
	return mels
}

// distinct returns the indices of so many different adapters by turns, nil of none.
func distinct(n, adapters int) []int32 {
	if adapters == 0 {
		return nil
	}
	of := make([]int32, n)
	for i := range of {
		of[i] = int32(1 + i%adapters)
	}
	return of
}

// adapter returns what the linears call under so many adapters.
func (m *costsBench) adapter(adapters int) whisper.Adapter {
	if adapters == 0 {
		return nil
	}
	return m.batch
}

// encode measures windows of so many frames together.
func (m *costsBench) encode(n, frames, adapters int) (float64, error) {
	mels := m.windows(n, frames)
	return m.timed(func() (time.Duration, error) {
		return m.model.encodeAdapted(mels, m.adapter(adapters), distinct(n, adapters))
	})
}

// maxTogether is the number of windows beyond which more of them are as two.
const maxTogether = 8

// together returns how many windows of so many frames the engine encodes at once, two at least.
func together(frames int) int { return min(max(2, encoderFrames/frames), maxTogether) }

// encoderFrames is the default value of asr.SchedulerOptions.MaxEncoderFrames.
const encoderFrames = 3000

// measureEncode measures the encoder by the frames of windows.
func (m *costsBench) measureEncode() error {
	whole := m.model.Dims.WindowFrames()
	frames := []int{whole}
	if m.model.Dims.Unpadded {
		frames = []int{whole / 20, whole / 10, whole / 5, whole * 2 / 5, whole * 7 / 10, whole}
	}
	for _, n := range frames {
		alone, err := m.encode(1, n, 0)
		if err != nil {
			return err
		}
		c := simulate.EncodeCost{Frames: n, Seconds: figures(alone), More: figures(alone)}
		if k := together(n); k*n <= encoderFrames {
			all, err := m.encode(k, n, 0)
			if err != nil {
				return err
			}
			c.More = figures(min(max(0, (all-alone)/float64(k-1)), alone))
		}
		m.out.Encode = append(m.out.Encode, c)
	}
	if m.batch == nil {
		return nil
	}
	n := m.typicalFrames()
	k := 1
	if m.model.Dims.Unpadded {
		k = min(together(n), len(m.batch.Names()))
	}
	mels := m.windows(k, n)
	adapted := func() (time.Duration, error) { return m.model.encodeAdapted(mels, m.batch, distinct(k, k)) }
	if m.probe == nil { // slow: once is enough, as it was for the base model
		seconds, err := m.timed(adapted)
		m.out.Adapted = figures(seconds / m.out.Encode[len(m.out.Encode)-1].Seconds)
		return err
	}
	means, err := m.byTurns(func() (time.Duration, error) { return m.model.encodeAdapted(mels, nil, nil) }, adapted)
	if err == nil {
		m.out.Adapted = figures(means[1] / means[0])
	}
	return err
}

// typicalFrames returns the frames of a usual window.
func (m *costsBench) typicalFrames() int {
	whole := m.model.Dims.WindowFrames()
	if !m.model.Dims.Unpadded || len(m.out.Text.Windows) == 0 {
		return whole
	}
	var seconds []float64
	for _, w := range m.out.Text.Windows {
		seconds = append(seconds, w.Seconds)
	}
	slices.Sort(seconds)
	return min(max(10, int(100*seconds[len(seconds)/2])), whole)
}

// cross returns keys and values of so many windows, each in memory of its own.
func (m *costsBench) cross(n, frames int) ([]*whisper.CrossKV, error) {
	if m.keptFrames != frames {
		kept, err := m.model.EncodeInto(&m.model.pool, m.model.ops, nil, m.windows(1, frames), nil)
		if err != nil {
			return nil, err
		}
		m.kept, m.keptFrames = kept, frames
	}
	for len(m.kept) < n {
		m.kept = append(m.kept, m.model.pool.Keep(m.kept[0]))
	}
	return m.kept[:n], nil
}

// measureCalls measures what is done once for a window: its language, its keys and values from states, its words.
func (m *costsBench) measureCalls() (err error) {
	frames := m.typicalFrames()
	cross, err := m.cross(4, frames)
	if err != nil {
		return err
	}
	if m.out.Detect, err = m.call(func(n int) error {
		_, err := m.model.DetectLanguage(m.model.ops, nil, cross[:n], nil, nil)
		return err
	}); err != nil {
		return err
	}
	if m.out.Align, err = m.measureAlign(cross, frames); err != nil {
		return err
	}
	if m.batch == nil || m.adapters[0].Reach() != flora.ReachCross {
		return nil
	}
	m.out.Project, err = m.measureProject()
	return err
}

// call measures something for one window and for four.
func (m *costsBench) call(f func(n int) error) (c simulate.Call, err error) {
	of := func(n int) float64 {
		if err != nil {
			return 0
		}
		var seconds float64
		seconds, err = m.timed(func() (time.Duration, error) {
			begin := time.Now()
			err := f(n)
			return time.Since(begin), err
		})
		return seconds
	}
	one, four := of(1), of(4)
	return simulate.Call{Seconds: figures(one), More: figures(min(max(0, (four-one)/3), one))}, err
}

// measureAlign measures the words of texts of half as many tokens as windows have steps at most.
func (m *costsBench) measureAlign(cross []*whisper.CrossKV, frames int) (simulate.Call, error) {
	model := *m.model.Model
	if len(model.Generation.AlignmentHeads) == 0 { // random weights: any will do
		for layer := model.Dims.NTextLayer / 2; layer < model.Dims.NTextLayer; layer++ {
			model.Generation.AlignmentHeads = append(model.Generation.AlignmentHeads, [2]int{layer, 0})
		}
	}
	tokens := make([]int32, min(m.steps, model.Dims.NTextCtx/2))
	for i := range tokens {
		tokens[i] = int32(i % int(model.Tokenizer.EOT()))
	}
	return m.call(func(n int) error {
		items := make([]whisper.Alignment, n)
		for i := range items {
			items[i] = whisper.Alignment{Cross: cross[i], Language: m.language(), Tokens: tokens, Frames: frames}
		}
		aligned, err := model.AlignWords(m.model.ops, nil, items)
		for _, a := range aligned {
			if err == nil {
				err = a.Err
			}
		}
		return err
	})
}

// measureProject measures keys and values from states that were kept, under adapters.
func (m *costsBench) measureProject() (simulate.Call, error) {
	d := m.model.Dims
	states := make([]float32, 4*d.NAudioCtx*d.NAudioState)
	fillRandom(states, 1, 1)
	return m.call(func(n int) error {
		ops := m.model.ops
		ops.Reset()
		s := &whisper.Step{Ops: ops, Adapter: m.batch, AdapterOf: distinct(n, min(n, len(m.batch.Names()))), Seg: tensor.Segments{0}}
		for i := range n {
			s.Seg = append(s.Seg, int32((i+1)*d.NAudioCtx))
		}
		x := ops.Upload(s.Seg.Rows(), d.NAudioState, states[:s.Seg.Rows()*d.NAudioState])
		for _, kv := range m.model.Decoder.CrossKV(s, x) {
			m.model.pool.Free(m.model.pool.Keep(kv))
		}
		return ops.Read(nil, tensor.Mat{})
	})
}

// language returns the code of a language that the model knows.
func (m *costsBench) language() string {
	if !m.model.Tokenizer.Multilingual() {
		return "en"
	}
	return m.model.Tokenizer.LanguageCodes()[0]
}

// measureSteps measures steps by rows and adapters.
func (m *costsBench) measureSteps() error {
	frames := m.typicalFrames()
	cross, err := m.cross(m.flags.Rows[len(m.flags.Rows)-1], frames)
	if err != nil {
		return err
	}
	for _, n := range m.flags.Rows {
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
func (m *costsBench) enter(b *whisper.Batch, cross []*whisper.CrossKV) error {
	options := whisper.DecodeOptions{
		Language: m.language(), WithoutTimestamps: true, SampleLen: min(m.steps, m.model.Dims.NTextCtx/2-8), Suppress: []int32{m.model.Tokenizer.EOT()},
	}
	for _, c := range cross {
		if _, err := b.Add(whisper.Utterance{Cross: c, Options: options}); err != nil {
			return err
		}
	}
	return nil
}

// measureEntering measures what is beside the rows of a step: windows that enter, and text before them.
func (m *costsBench) measureEntering(cross []*whisper.CrossKV) error {
	n := float64(len(cross))
	first, step, err := m.decode(cross, 0, 0)
	if err != nil {
		return err
	}
	before := min(m.model.Dims.NTextCtx/2-1, 100)
	prompted, _, err := m.decode(cross, 0, before)
	m.out.Enter = figures(max(0, (first-step)/n))
	m.out.PromptToken = figures(max(0, (prompted-first)/(n*float64(before+1))))
	return err
}

// decode measures windows that are decoded together, behind a text of so many tokens: the first step, in which they enter, and any
// other.
func (m *costsBench) decode(cross []*whisper.CrossKV, adapters, before int) (first, step float64, err error) {
	b := m.model.NewBatch(m.model.ops, m.adapter(adapters))
	of := distinct(len(cross), adapters)
	options := whisper.DecodeOptions{
		Language: m.language(), WithoutTimestamps: true, SampleLen: min(m.steps, m.model.Dims.NTextCtx/2-8), Prompt: make([]int32, before),
		Suppress: []int32{m.model.Tokenizer.EOT()},
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
func (m *costsBench) decodeOnce(cross []*whisper.CrossKV) error {
	b := m.model.NewBatch(m.model.ops, nil)
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
