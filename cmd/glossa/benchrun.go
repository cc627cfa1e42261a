package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// benchPeaks are what the machine does at most.
type benchPeaks struct {
	ops  map[tensor.DType]float64 // operations a second in registers, 0 where that is not known
	read float64                  // bytes a second from memory, 0 where that is not known
}

func measurePeaks(b backend, formats []tensor.DType) benchPeaks {
	p := benchPeaks{ops: make(map[tensor.DType]float64)}
	k, ok := b.(peaked)
	if !ok {
		return p
	}
	p.read = k.PeakRead()
	for _, d := range formats {
		p.ops[d] = k.Peak(d)
	}
	return p
}

// encodeTimes are the times of one window.
type encodeTimes struct{ encode, cross time.Duration }

// benchTimes are the medians of a case.
type benchTimes struct {
	encodeTimes
	decodeTimes
}

// decodeTimes are the times of a batch.
type decodeTimes struct {
	first  time.Duration // the step that is fed the initial tokens
	step   time.Duration // one that is fed a token of each window
	prompt int           // initial tokens
	tokens int           // of a window
}

// decode returns how long it takes to decode a batch.
func (t decodeTimes) decode() time.Duration { return t.first + time.Duration(t.tokens-1)*t.step }

// run measures a batch of n windows. encoded are the times of windows by how many are encoded
// together, which batches share. The profile is that of --profile.
func (f *benchCommand) run(ctx context.Context, w *benchWatch, m *benchModel, n, together int, encoded map[int]encodeTimes) (t benchTimes, profile []benchProfile, err error) {
	w.phase("encode")
	cross, err := f.encode(ctx, m, together, encoded)
	if err != nil {
		return t, nil, err
	}
	own := make([]*whisper.CrossKV, n)
	for i := range own {
		own[i] = cross[i%len(cross)]
		if i >= len(cross) {
			own[i] = m.pool.Keep(m.ops, own[i]) // in memory of its own, as that of another window is
		}
	}
	w.phase("decode")
	decoded, err := f.decode(ctx, m, own)
	if f.Profile && err == nil {
		profile, err = f.profile(ctx, m, n, together, own)
	}
	return benchTimes{encoded[together], decoded}, profile, err
}

// encode encodes so many windows, and adds the medians of their times to encoded unless they are
// known. Once is enough then, for what the windows are decoded with.
func (f *benchCommand) encode(ctx context.Context, m *benchModel, together int, encoded map[int]encodeTimes) ([]*whisper.CrossKV, error) {
	mels := randomMels(m.Dims, together)
	cross, t, err := m.encodeOnce(mels)
	if _, known := encoded[together]; known || err != nil {
		return cross, err
	}
	for i := 1; i < m.warmRuns() && !f.over(time.Duration(i*together)*(t.encode+t.cross)); i++ {
		for _, kv := range cross {
			m.pool.Free(kv)
		}
		if cross, t, err = m.encodeOnce(mels); err != nil {
			return nil, err
		}
	}
	var encode, keys []time.Duration
	if f.over(time.Duration(together) * (t.encode + t.cross)) { // so long that cold caches do not matter
		encode, keys = append(encode, t.encode), append(keys, t.cross)
	}
	for begin := time.Now(); len(encode) == 0 || len(encode) < f.Repeat && !f.over(time.Since(begin)); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, kv := range cross {
			m.pool.Free(kv)
		}
		if cross, t, err = m.encodeOnce(mels); err != nil {
			return nil, err
		}
		encode, keys = append(encode, t.encode), append(keys, t.cross)
	}
	encoded[together] = encodeTimes{median(encode), median(keys)}
	return cross, nil
}

// warmRuns returns how often windows are encoded before they are timed. A device that replays what it has seen gets its memory in the
// first run, sees the addresses that stay in the second, and captures in the third, so that the fourth is what a server sees.
func (m *benchModel) warmRuns() int {
	if m.ops.Device() == nil {
		return 1
	}
	return 3
}

// over reports whether a measurement has taken its time.
func (f *benchCommand) over(d time.Duration) bool {
	seconds := f.Seconds
	switch {
	case seconds > 0:
	case len(f.Adapters) > 0:
		seconds = 5
	default:
		seconds = 20
	}
	return d.Seconds() >= seconds
}

// encodeOnce encodes windows together and returns the time of each.
func (m *benchModel) encodeOnce(mels []audio.Mel) (cross []*whisper.CrossKV, t encodeTimes, err error) {
	m.ops.Reset()
	s := &whisper.Step{Ops: m.ops}
	begin := time.Now()
	states, err := m.EncodeStates(s, mels)
	if err != nil {
		return nil, t, err
	}
	if err := s.Read(nil, tensor.Mat{}); err != nil { // a device may compute no sooner
		return nil, t, err
	}
	middle := time.Now()
	for _, kv := range m.Decoder.CrossKV(s, states) {
		cross = append(cross, m.pool.Keep(m.ops, kv))
	}
	err = s.Read(nil, tensor.Mat{})
	n := time.Duration(len(mels))
	return cross, encodeTimes{encode: middle.Sub(begin) / n, cross: time.Since(middle) / n}, err
}

// decode decodes windows side by side by greedy search, to texts that do not end before they are
// long enough.
func (f *benchCommand) decode(ctx context.Context, m *benchModel, cross []*whisper.CrossKV) (decodeTimes, error) {
	options := whisper.DecodeOptions{
		Language: "en", WithoutTimestamps: true, SampleLen: f.Tokens, Suppress: []int32{m.Tokenizer.EOT()},
	}
	prompt, err := m.Tokenizer.SOTSequence(options.Language, options.Task)
	if err != nil {
		return decodeTimes{}, err
	}
	t := decodeTimes{prompt: len(prompt) + 1, tokens: f.Tokens}
	if room := m.Dims.NTextCtx - t.prompt; f.Tokens > room {
		return decodeTimes{}, fmt.Errorf("--tokens %d: the model has room for %d", f.Tokens, room)
	}
	var first, steps []time.Duration
	b := m.NewBatch(m.ops, nil)
	begin := time.Now()
	for i := 0; i == 0 || i < f.Repeat && !f.over(time.Since(begin)); i++ {
		for _, c := range cross {
			if _, err := b.Add(whisper.Utterance{Cross: c, Options: options}); err != nil {
				return decodeTimes{}, err
			}
		}
		for j := 0; b.Len() > 0; j++ {
			if err := ctx.Err(); err != nil {
				return decodeTimes{}, err
			}
			start := time.Now()
			done, err := b.Step()
			if err != nil {
				return decodeTimes{}, err
			}
			if d := time.Since(start); j == 0 {
				first = append(first, d)
			} else {
				steps = append(steps, d)
			}
			for _, d := range done {
				if d.Err != nil {
					return decodeTimes{}, d.Err
				}
			}
		}
	}
	t.first, t.step = median(first), median(steps)
	return t, nil
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
