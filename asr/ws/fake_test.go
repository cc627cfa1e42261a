package ws

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"glossa/asr"
	"glossa/audio"
)

// The speech of the fake session: words of a fifth of a second, segments of five of them.
const (
	fakeWord     = audio.SampleRate / 5
	fakeSegment  = 5 // words
	fakeRepeated = 32749
)

// fakeSample is the value of sample i of the sound that the fake session understands, as a 16-bit integer.
func fakeSample(i int64) int16 { return int16(i%fakeRepeated) - fakeRepeated/2 }

// fakeSound returns so many samples of it as pcm_s16le, from one on.
func fakeSound(from, n int64) []byte {
	b := make([]byte, 0, 2*n)
	for i := from; i < from+n; i++ {
		b = binary.LittleEndian.AppendUint16(b, uint16(fakeSample(i)))
	}
	return b
}

// fakeText is the text of so many samples of it.
func fakeText(samples int64) string {
	var text strings.Builder
	for w := int64(0); w < (samples+fakeWord-1)/fakeWord; w++ {
		text.WriteString(fakeWordAt(fakeSample(w * fakeWord)))
	}
	return text.String()
}

// fakeWordAt is the word that begins with a sample.
func fakeWordAt(sample int16) string { return fmt.Sprintf(" w%d", int(sample)+fakeRepeated/2) }

// fakeSession hears a word in each fifth of a second: which, its first sample tells. So a sample that is lost or
// repeated changes all words behind it. It keeps the laws of asr.Session.
type fakeSession struct {
	options asr.ListenOptions
	ctx     context.Context
	busy    func() bool // refuses sound
	took    func()      // is told that some was taken
	silent  bool        // one segment, and then silence
	record  bool        // keeps the sound
	pcm     []float32

	mu       sync.Mutex
	events   []asr.Event
	wake     chan struct{}
	seq      int64
	dropped  int64
	samples  int64
	segment  int
	words    []asr.Word
	start    float64
	finalAt  float64
	ended    bool
	closed   bool
	calls    []string // what was called
	finished bool     // Done was returned
	failAt   int      // a segment that cannot be decoded
	updates  []asr.ListenOptions
}

func newFake(ctx context.Context, o asr.ListenOptions) *fakeSession {
	return &fakeSession{options: o, ctx: ctx, wake: make(chan struct{}), failAt: -1}
}

func (f *fakeSession) call(name string) {
	f.calls = append(f.calls, name)
}

func (f *fakeSession) Write(pcm []float32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed || f.ctx.Err() != nil:
		return fmt.Errorf("fake: %w", asr.ErrCancelled)
	case f.ended:
		return fmt.Errorf("fake: %w: sound behind the end", asr.ErrInvalid)
	case f.busy != nil && f.busy():
		return fmt.Errorf("fake: %w", asr.ErrBusy)
	}
	if f.took != nil {
		f.took()
	}
	if f.record {
		f.pcm = append(f.pcm, pcm...)
	}
	for _, v := range pcm {
		if f.silent && f.segment > 0 {
			f.samples++
			continue
		}
		if f.samples%fakeWord == 0 {
			f.begin(v)
		}
		f.samples++
		if f.samples%fakeWord == 0 {
			f.hear()
		}
	}
	return nil
}

func (f *fakeSession) Wait(ctx context.Context, _ int) error {
	for f.isBusy() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("fake: %w", asr.ErrCancelled)
		case <-f.ctx.Done():
			return fmt.Errorf("fake: %w", asr.ErrCancelled)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (f *fakeSession) isBusy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy != nil && f.busy()
}

// begin begins a word with its first sample.
func (f *fakeSession) begin(v float32) {
	at := float64(f.samples) / audio.SampleRate
	if len(f.words) == 0 {
		f.start = at
		f.add(asr.Event{Kind: asr.SpeechStarted, Segment: f.segment, Start: at})
	}
	f.words = append(f.words, asr.Word{Word: fakeWordAt(int16(v * (1 << 15))), Start: at, End: at + 0.2, Probability: 0.5})
}

// hear has heard a word.
func (f *fakeSession) hear() {
	if len(f.words) >= fakeSegment {
		f.final(false)
		return
	}
	if !f.options.NoPartials {
		e := f.event(asr.Partial)
		e.Committed, e.Tentative = textOf(f.words[:len(f.words)-1]), textOf(f.words[len(f.words)-1:])
		f.add(e)
	}
}

func (f *fakeSession) event(kind asr.EventKind) asr.Event {
	at := float64(f.samples) / audio.SampleRate
	return asr.Event{Kind: kind, Segment: f.segment, Start: f.start, End: at, Language: "en", Heard: at, Acked: f.finalAt}
}

// final ends the segment.
func (f *fakeSession) final(finalized bool) {
	if len(f.words) == 0 {
		if finalized {
			e := f.event(asr.Final)
			e.SpeechFinal, e.Finalized = true, true
			f.add(e)
		}
		return
	}
	f.finalAt = float64(f.samples) / audio.SampleRate
	e := f.event(asr.Final)
	if e.Segment == f.failAt {
		e.Kind, e.Err = asr.Failed, fmt.Errorf("fake: %w", asr.ErrInternal)
	} else {
		e.Text, e.Words, e.SpeechFinal, e.AvgLogProb = textOf(f.words), f.words, true, -0.5
		e.Finalized, e.Latency = finalized, time.Millisecond
	}
	f.add(e)
	f.add(f.event(asr.UtteranceEnd))
	f.words = nil
	f.segment++
}

func textOf(words []asr.Word) string {
	var b strings.Builder
	for _, w := range words {
		b.WriteString(w.Word)
	}
	return b.String()
}

// add queues an event; a newer partial takes the place of an older one.
func (f *fakeSession) add(e asr.Event) {
	if e.Kind <= asr.UtteranceEnd {
		f.seq++
		e.Seq = f.seq
	}
	if n := len(f.events); n > 0 && e.Kind <= asr.Final && f.events[n-1].Kind == asr.Partial {
		f.events = f.events[:n-1]
		if e.Kind == asr.Partial {
			f.dropped++
		}
	}
	f.events = append(f.events, e)
	close(f.wake)
	f.wake = make(chan struct{})
}

func (f *fakeSession) Finalize() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("finalize")
	f.final(true)
	return nil
}

func (f *fakeSession) Update(o asr.ListenOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("update")
	if o.Language == "xx" {
		return fmt.Errorf("%w: no language xx", asr.ErrInvalid)
	}
	f.updates = append(f.updates, o)
	f.options = o
	return nil
}

func (f *fakeSession) CloseWrite() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("close write")
	if f.ended {
		return nil
	}
	f.ended = true
	f.final(false)
	e := f.event(asr.Done)
	f.add(e)
	return nil
}

func (f *fakeSession) Next(ctx context.Context) (asr.Event, error) {
	for {
		f.mu.Lock()
		if f.finished {
			f.mu.Unlock()
			return asr.Event{}, io.EOF
		}
		if f.closed || f.ctx.Err() != nil {
			f.mu.Unlock()
			return asr.Event{}, fmt.Errorf("fake: %w", asr.ErrCancelled)
		}
		if len(f.events) > 0 {
			e := f.events[0]
			f.events = f.events[1:]
			f.finished = e.Kind == asr.Done
			f.mu.Unlock()
			return e, nil
		}
		wake := f.wake
		f.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return asr.Event{}, fmt.Errorf("fake: %w", asr.ErrCancelled)
		case <-f.ctx.Done():
		}
	}
}

func (f *fakeSession) Dropped() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

func (f *fakeSession) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("close")
	f.closed = true
	close(f.wake)
	f.wake = make(chan struct{})
}

// fakeEngine begins fake sessions, and keeps them.
type fakeEngine struct {
	mu       sync.Mutex
	sessions []*fakeSession
	made     func(*fakeSession)
}

func (e *fakeEngine) listen(ctx context.Context, o asr.ListenOptions) (Session, error) {
	if o.Language == "xx" {
		return nil, fmt.Errorf("fake: %w: no language xx", asr.ErrInvalid)
	}
	f := newFake(ctx, o)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.made != nil {
		e.made(f)
	}
	e.sessions = append(e.sessions, f)
	return f, nil
}

func (e *fakeEngine) last() *fakeSession {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.sessions) == 0 {
		return nil
	}
	return e.sessions[len(e.sessions)-1]
}

// counts are Metrics.
type counts struct {
	mu             sync.Mutex
	opened, closed map[string]int
	latencies      []time.Duration
	dropped        int64
	seconds        float64 // of sound that has text
}

func newCounts() *counts { return &counts{opened: map[string]int{}, closed: map[string]int{}} }

func (c *counts) SessionOpened(route string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[route]++
}

func (c *counts) SessionClosed(route string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed[route]++
}

func (c *counts) Committed(latency time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latencies = append(c.latencies, latency)
}

func (c *counts) DroppedPartials(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped += n
}

func (c *counts) Transcribed(_, _ string, seconds float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seconds += seconds
}

// mute makes what comes silence.
func (f *fakeSession) mute() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = true
	f.segment++
}
