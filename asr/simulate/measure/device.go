package measure

import (
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"glossa/asr/simulate"
	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
)

// windows returns so many windows of random log-mel.
func (m *bench) windows(n, frames int) []audio.Mel {
	mels := make([]audio.Mel, n)
	for i := range mels {
		mels[i] = audio.Mel{NMels: m.Model.Dims.NMels, Frames: frames, Data: random(m.Model.Dims.NMels * frames)}
	}
	return mels
}

// random returns n numbers of uniform distribution in -1 … 1.
func random(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	data := make([]float32, n)
	for i := range data {
		data[i] = 2*rng.Float32() - 1
	}
	return data
}

// encodeOnce returns how long it takes to encode windows.
func (m *bench) encodeOnce(mels []audio.Mel, a whisper.Adapter, adapterOf []int32) (time.Duration, error) {
	begin := time.Now()
	cross, err := m.Model.EncodeInto(&m.pool, m.ops, a, mels, adapterOf)
	d := time.Since(begin)
	for _, kv := range cross {
		m.pool.Free(kv)
	}
	return d, err
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
func (m *bench) adapter(adapters int) whisper.Adapter {
	if adapters == 0 {
		return nil
	}
	return m.batch
}

// encode measures windows of so many frames together.
func (m *bench) encode(n, frames, adapters int) (float64, error) {
	mels := m.windows(n, frames)
	return m.timed(func() (time.Duration, error) {
		return m.encodeOnce(mels, m.adapter(adapters), distinct(n, adapters))
	})
}

// maxTogether is the number of windows beyond which more of them are as two.
const maxTogether = 8

// together returns how many windows of so many frames the engine encodes at once, two at least.
func together(frames int) int { return min(max(2, encoderFrames/frames), maxTogether) }

// encoderFrames is the default value of asr.SchedulerOptions.MaxEncoderFrames.
const encoderFrames = 3000

// measureEncode measures the encoder by the frames of windows.
func (m *bench) measureEncode() error {
	whole := m.Model.Dims.WindowFrames()
	frames := []int{whole}
	if m.Model.Dims.Unpadded {
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
	if m.Model.Dims.Unpadded {
		k = min(together(n), len(m.batch.Names()))
	}
	mels := m.windows(k, n)
	adapted := func() (time.Duration, error) { return m.encodeOnce(mels, m.batch, distinct(k, k)) }
	if m.probe == nil { // slow: once is enough, as it was for the base model
		seconds, err := m.timed(adapted)
		m.out.Adapted = figures(seconds / m.out.Encode[len(m.out.Encode)-1].Seconds)
		return err
	}
	means, err := m.byTurns(func() (time.Duration, error) { return m.encodeOnce(mels, nil, nil) }, adapted)
	if err == nil {
		m.out.Adapted = figures(means[1] / means[0])
	}
	return err
}

// typicalFrames returns the frames of a usual window.
func (m *bench) typicalFrames() int {
	whole := m.Model.Dims.WindowFrames()
	if !m.Model.Dims.Unpadded || len(m.out.Text.Windows) == 0 {
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
func (m *bench) cross(n, frames int) ([]*whisper.CrossKV, error) {
	if m.keptFrames != frames {
		kept, err := m.Model.EncodeInto(&m.pool, m.ops, nil, m.windows(1, frames), nil)
		if err != nil {
			return nil, err
		}
		m.kept, m.keptFrames = kept, frames
	}
	for len(m.kept) < n {
		m.kept = append(m.kept, m.pool.Keep(m.ops, m.kept[0]))
	}
	return m.kept[:n], nil
}

// measureCalls measures what is done once for a window: its language, its keys and values from states, its words.
func (m *bench) measureCalls() (err error) {
	frames := m.typicalFrames()
	cross, err := m.cross(4, frames)
	if err != nil {
		return err
	}
	if m.out.Detect, err = m.call(func(n int) error {
		_, err := m.Model.DetectLanguage(m.ops, nil, cross[:n], nil, nil)
		return err
	}); err != nil {
		return err
	}
	if m.out.Align, err = m.measureAlign(cross, frames); err != nil {
		return err
	}
	if m.batch == nil || m.Adapters[0].Reach() != flora.ReachCross {
		return nil
	}
	m.out.Project, err = m.measureProject()
	return err
}

// call measures something for one window and for four.
func (m *bench) call(f func(n int) error) (c simulate.Call, err error) {
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
func (m *bench) measureAlign(cross []*whisper.CrossKV, frames int) (simulate.Call, error) {
	model := *m.Model
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
		aligned, err := model.AlignWords(m.ops, nil, items)
		for _, a := range aligned {
			if err == nil {
				err = a.Err
			}
		}
		return err
	})
}

// measureProject measures keys and values from states that were kept, under adapters.
func (m *bench) measureProject() (simulate.Call, error) {
	d := m.Model.Dims
	states := random(4 * d.NAudioCtx * d.NAudioState)
	return m.call(func(n int) error {
		ops := m.ops
		ops.Reset()
		s := &whisper.Step{Ops: ops, Adapter: m.batch, AdapterOf: distinct(n, min(n, len(m.batch.Names()))), Seg: tensor.Segments{0}}
		for i := range n {
			s.Seg = append(s.Seg, int32((i+1)*d.NAudioCtx))
		}
		x := ops.Upload(s.Seg.Rows(), d.NAudioState, states[:s.Seg.Rows()*d.NAudioState])
		for _, kv := range m.Model.Decoder.CrossKV(s, x) {
			m.pool.Free(m.pool.Keep(m.ops, kv))
		}
		return ops.Read(nil, tensor.Mat{})
	})
}

// language returns the code of a language that the model knows.
func (m *bench) language() string {
	if !m.Model.Tokenizer.Multilingual() {
		return "en"
	}
	return m.Model.Tokenizer.LanguageCodes()[0]
}

// measureBring measures how long it takes to bring an adapter in from its folder.
func (m *bench) measureBring() error {
	if len(m.Adapters) == 0 {
		return nil
	}
	a := m.Adapters[0]
	o := &simulate.Adapters{Kind: string(a.Kind), Rank: a.Rank, Reach: reachNames[a.Reach()]}
	m.out.Adapters = o
	if m.Engine != nil {
		for _, code := range m.Engine.Languages() {
			if m.Engine.AdapterOf(code) != "" {
				o.Languages = append(o.Languages, code)
			}
		}
	}
	dir, err := os.MkdirTemp("", "glossa-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := a.Write(dir, safetensors.F32); err != nil {
		return err
	}
	seconds, err := m.timed(func() (time.Duration, error) {
		bank, err := flora.NewBank(m.Model, m.Backend, flora.BankOptions{Strategies: m.Strategies})
		if err != nil {
			return 0, err
		}
		if err := bank.Register("a", dir); err != nil {
			return 0, err
		}
		pin, err := bank.Pin("a")
		if err != nil {
			return 0, err
		}
		defer pin.Release()
		begin := time.Now()
		err = pin.Ready()
		took := time.Since(begin)
		for _, i := range bank.List() {
			o.Bytes = i.Bytes
		}
		return took, err
	})
	if o.Bring = figures(seconds); m.Resident {
		o.Bring = 0
	}
	return err
}

// reachNames are those that package simulate has.
var reachNames = map[flora.Reach]string{flora.ReachDecoder: "decoder", flora.ReachCross: "cross", flora.ReachEncoder: "encoder"}
