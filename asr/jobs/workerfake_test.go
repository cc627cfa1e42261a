package jobs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"glossa/asr"
	"glossa/asr/params"
	"glossa/audio"
)

// fakeWindow is the length of a window of a fake engine, in samples: a tenth of a second.
const fakeWindow = audio.SampleRate / 10

// fakeEngine transcribes sound into words that only sound, prompt and the windows before decide, and honours checkpoints.
type fakeEngine struct {
	model     string        // windows of another one are refused
	adapters  []string      // that it has
	perWindow time.Duration // that a window takes

	// before is called before each window. The default value is nil.
	before func(ctx context.Context, q asr.Request, n int) error

	mu            sync.Mutex
	heard         []string // prompt and number of each window that was computed
	running, most int
	err           error // of Err
}

// fakeState is the state of its checkpoints.
type fakeState struct {
	Model  string
	Prompt string
	Window int
	Hash   uint64
}

func (e *fakeEngine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *fakeEngine) breakDown(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// windows returns which windows were computed of recordings with a prompt.
func (e *fakeEngine) windows(prompt string) (list []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.heard {
		if rest, ok := strings.CutPrefix(h, prompt+"/"); ok {
			var n int
			fmt.Sscan(rest, &n)
			list = append(list, n)
		}
	}
	return list
}

func (e *fakeEngine) enter() (leave func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running++
	e.most = max(e.most, e.running)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.running--
	}
}

func (e *fakeEngine) Transcribe(ctx context.Context, q asr.Request) (*asr.Result, error) {
	defer e.enter()()
	if q.Adapter != "" && !slices.Contains(e.adapters, q.Adapter) {
		return nil, fmt.Errorf("%w: adapter %q", asr.ErrNotFound, q.Adapter)
	}
	pcm, err := q.Audio()
	if err != nil {
		return nil, err
	}
	state := fakeState{Model: e.model, Prompt: q.Decoding.InitialPrompt}
	r := &asr.Result{Language: "en", Adapter: q.Adapter, Duration: float64(len(pcm)) / audio.SampleRate}
	for i, c := range q.Resume {
		var s fakeState
		if err := json.Unmarshal(c.State, &s); err != nil || s.Model != e.model || s.Prompt != state.Prompt || s.Window != i {
			return nil, fmt.Errorf("%w: checkpoint %d is %s", asr.ErrInvalid, i, c.State)
		}
		state = s
		r.Segments = append(r.Segments, c.Segments...)
	}
	for n := len(q.Resume); n*fakeWindow < len(pcm); n++ {
		if err := e.window(ctx, q, n); err != nil {
			return nil, err
		}
		end := min((n+1)*fakeWindow, len(pcm))
		state.Window, state.Hash = n, fakeHash(state.Hash, pcm[n*fakeWindow:end])
		s := asr.Segment{ID: n, Seek: 10 * n, Start: float64(n) / 10, End: float64(end) / audio.SampleRate, Text: fakeText(state, q)}
		r.Segments = append(r.Segments, s)
		if b, err := json.Marshal(state); err == nil && q.Checkpoint != nil {
			q.Checkpoint(asr.Checkpoint{Done: s.End, Segments: []asr.Segment{s}, State: b})
		}
	}
	for _, s := range r.Segments {
		r.Text += s.Text
	}
	return r, nil
}

// window takes the time of a window.
func (e *fakeEngine) window(ctx context.Context, q asr.Request, n int) error {
	e.mu.Lock()
	e.heard = append(e.heard, fmt.Sprintf("%s/%d", q.Decoding.InitialPrompt, n))
	e.mu.Unlock()
	if e.before != nil {
		if err := e.before(ctx, q, n); err != nil {
			return err
		}
	}
	if e.perWindow > 0 && !sleep(ctx, e.perWindow) || ctx.Err() != nil {
		return fmt.Errorf("%w: %w", asr.ErrCancelled, context.Cause(ctx))
	}
	return nil
}

func fakeHash(before uint64, pcm []float32) uint64 {
	h := fnv.New64a()
	binary.Write(h, binary.LittleEndian, before)
	binary.Write(h, binary.LittleEndian, pcm)
	return h.Sum64()
}

func fakeText(s fakeState, q asr.Request) string {
	return fmt.Sprintf(" %s%s-%x", s.Prompt, q.Adapter, s.Hash>>40)
}

// fakeRequest reads the params prompt, adapter and language.
func fakeRequest(_ context.Context, client string, p asr.Params) (q asr.Request, err error) {
	for name, values := range p {
		value := strings.Join(values, " ")
		switch name {
		case "prompt":
			q.Decoding.InitialPrompt = value
		case "adapter":
			q.Adapter = value
		case "language":
			if value != "en" {
				return q, fmt.Errorf("%w: unknown language %q", asr.ErrInvalid, value)
			}
			q.Language = value
		default:
			return q, &params.Error{Param: name, Code: "unknown_parameter", Message: fmt.Sprintf("there is no param %q", name)}
		}
	}
	q.Client = client
	return q, nil
}

// fakeSound returns a WAV file of noise, and so many windows of a fake engine.
func fakeSound(seed uint64, windows int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	n := windows * fakeWindow
	b := make([]byte, 44, 44+2*n)
	copy(b, "RIFF")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+2*n))
	copy(b[8:], "WAVEfmt ")
	binary.LittleEndian.PutUint32(b[16:], 16)
	binary.LittleEndian.PutUint16(b[20:], 1) // PCM
	binary.LittleEndian.PutUint16(b[22:], 1) // channel
	binary.LittleEndian.PutUint32(b[24:], audio.SampleRate)
	binary.LittleEndian.PutUint32(b[28:], 2*audio.SampleRate)
	binary.LittleEndian.PutUint16(b[32:], 2)
	binary.LittleEndian.PutUint16(b[34:], 16)
	copy(b[36:], "data")
	binary.LittleEndian.PutUint32(b[40:], uint32(2*n))
	for range n {
		b = binary.LittleEndian.AppendUint16(b, uint16(rng.IntN(2000)))
	}
	return b
}

// fakeResult returns what a fake engine makes of sound with a prompt, uninterrupted.
func fakeResult(file []byte, prompt string) *asr.Result {
	q := asr.Request{Decoding: asr.Decoding{InitialPrompt: prompt}, Audio: func() ([]float32, error) {
		pcm, err := audio.Decode(strings.NewReader(string(file)), audio.Limits{})
		return pcm.Samples, err
	}}
	r, err := (&fakeEngine{}).Transcribe(context.Background(), q)
	if err != nil {
		panic(err)
	}
	return r
}
