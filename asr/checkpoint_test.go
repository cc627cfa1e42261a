package asr

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"glossa/audio"
	"glossa/whisper"
)

// kept is what a request came to, and what it told on its way.
type kept struct {
	mu          sync.Mutex
	result      *Result
	err         error
	segments    []Segment
	checkpoints []Checkpoint
}

// keepOf transcribes a request behind checkpoints, with the context's cancel called in the checkpoint of number stop, -1 for none.
func keepOf(tb testing.TB, e *Engine, q Request, behind []Checkpoint, stop int) *kept {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	k := new(kept)
	q.Resume = behind
	q.Segment = func(s Segment) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.segments = append(k.segments, s)
	}
	q.Checkpoint = func(c Checkpoint) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.checkpoints = append(k.checkpoints, c); len(k.checkpoints) == stop+1 {
			cancel()
		}
	}
	k.result, k.err = e.Transcribe(ctx, q)
	if rest(e); stop < 0 && k.err != nil {
		tb.Fatalf("behind %d checkpoints: %v", len(behind), k.err)
	}
	return k
}

// throughJSON returns checkpoints as they are behind JSON.
func throughJSON(tb testing.TB, cs []Checkpoint) (out []Checkpoint) {
	tb.Helper()
	b, err := json.Marshal(cs)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// stateOf returns the state of a checkpoint.
func stateOf(tb testing.TB, c Checkpoint) (s state) {
	tb.Helper()
	if err := json.Unmarshal(c.State, &s); err != nil {
		tb.Fatal(err)
	}
	return s
}

// checkpointed are requests of all kinds that have checkpoints.
func checkpointed(m modelDims) map[string]Request {
	all := Decoding{NoSpeechThreshold: Off()}
	spans := [][2]float64{{0.1, 1.5}, {2, 4}, {4.1, 5.9}, {6, 6.4}, {6.6, 6.9}}
	bad := Decoding{LogProbThreshold: -0.01, BestOf: 3, Seed: 4, NoSpeechThreshold: Off()}
	prompted := Decoding{InitialPrompt: "red red green", NoSpeechThreshold: Off()}
	carried := prompted
	carried.CarryInitialPrompt, carried.Hotwords = true, "blue"
	mel := chirp(620, 7, Request{Language: "de", Decoding: all})
	pcm, _ := mel.Audio()
	mel.Audio = nil
	mel.Mel = func() (audio.Mel, error) { return audio.LogMelPadded(pcm, m.nMels, m.padding) }
	return map[string]Request{
		"conditioned":    chirp(400, 7, Request{Language: "cs", Decoding: all}),
		"detected":       chirp(350, 7.3, Request{Decoding: all}),
		"silent windows": chirp(350, 13, Request{Language: "en", Decoding: Decoding{NoSpeechThreshold: 1e-13, LogProbThreshold: 0.5, BestOf: 2}}),
		"unconditioned":  chirp(650, 7, Request{Language: "de", Decoding: Decoding{Unconditioned: true, BeamSize: 3, NoSpeechThreshold: Off()}}),
		"timestamps":     chirp(400, 7, Request{Language: "cs", Timestamps: true, Decoding: all}),
		"words":          chirp(600, 7, Request{Language: "en", Words: &WordOptions{}, Decoding: all}),
		"odd words":      chirp(600, 12, Request{Language: "en", Words: &WordOptions{SilenceThreshold: 0.4}, Timestamps: true, Decoding: all}),
		"odd speech":     speechAt(chirp(600, 12, Request{Language: "en", Words: &WordOptions{SilenceThreshold: 0.4}, Timestamps: true, Decoding: all}), spans...),
		"words, times":   chirp(600, 7, Request{Language: "de", Words: &usual, Timestamps: true, Decoding: all}),
		"clips":          chirp(500, 9, Request{Language: "cs", Clips: []float64{0.5, 0.5, 5, 8.5, 1, 3.1}, Decoding: all}),
		"detected clips": chirp(500, 9, Request{Clips: []float64{3}, Words: &usual, Decoding: all}),
		"switching":      chirp(300, 9, Request{SwitchLanguage: true, Languages: []string{"cs", "de", "en"}, Timestamps: true, Decoding: all}),
		"fallback":       chirp(700, 7, Request{Decoding: bad}),
		"prompt":         chirp(420, 7, Request{Language: "de", Decoding: prompted}),
		"carried prompt": chirp(420, 7, Request{Language: "en", Decoding: carried}),
		"prefix":         chirp(420, 7, Request{Language: "en", Decoding: Decoding{PrefixTokens: m.prefix, NoSpeechThreshold: Off()}}),
		"an adapter":     chirp(420, 7, Request{Language: "en", Adapter: "cs", Task: "translate", Decoding: all}),
		"log-mel":        mel,
		"silence":        chirp(420, 7, Request{Language: "en", Silent: func([]float32) (bool, error) { return false, nil }}),
		"speech":         speechAt(chirp(300, 8, Request{Language: "cs", Timestamps: true, Decoding: all}), spans...),
		"speech, words":  speechAt(chirp(330, 8, Request{Language: "de", Words: &usual, Decoding: bad}), spans...),
		"found language": speechAt(chirp(360, 8, Request{Decoding: all}), spans...),
		"speech, switching": speechAt(chirp(360, 8, Request{SwitchLanguage: true, Languages: []string{"cs", "de", "en"},
			Timestamps: true, Decoding: all}), spans...),
	}
}

// modelDims is what requests need to know of a model.
type modelDims struct {
	nMels, padding int
	prefix         []int32 // tokens
}

func dimsOf(e *Engine) modelDims {
	return modelDims{e.model.Dims.NMels, melPadding(e.model), e.model.Tokenizer.Encode(" red")}
}

// checkCheckpoints checks what a request that was not broken off told.
func checkCheckpoints(t *testing.T, name string, k *kept, parallel bool) {
	t.Helper()
	done, count, empty := 0.0, 0, 0
	for i, c := range k.checkpoints {
		if c.Done < done || c.Done > k.result.Duration || (c.Done == k.result.Duration) != (i == len(k.checkpoints)-1) {
			t.Errorf("%s: checkpoint %d of %d is done to %v of %v s, behind %v", name, i, len(k.checkpoints), c.Done, k.result.Duration, done)
		}
		done = c.Done
		count += len(c.Segments)
		if len(c.Segments) == 0 {
			empty++
		}
		if n := len(c.State); n > 600 {
			t.Errorf("%s: a state of %d bytes: %s", name, n, c.State)
		}
	}
	if len(k.checkpoints) < 3 || count == 0 || count != len(k.result.Segments) {
		t.Errorf("%s: %d checkpoints with %d segments of %d", name, len(k.checkpoints), count, len(k.result.Segments))
	}
	if odd := strings.HasPrefix(name, "odd") || name == "silent windows, unpadded false"; odd && empty == 0 {
		t.Errorf("%s: every window has text", name)
	}
	if !reflect.DeepEqual(k.segments, k.result.Segments) {
		t.Errorf("%s: told\n%+v, want\n%+v", name, k.segments, k.result.Segments)
	}
	if parallel {
		return
	}
	var all []Segment
	for _, c := range k.checkpoints {
		all = append(all, c.Segments...)
	}
	if !reflect.DeepEqual(all, k.result.Segments) {
		t.Errorf("%s: the checkpoints have\n%+v, want\n%+v", name, all, k.result.Segments)
	}
}

// toldBefore returns how many segments were told when checkpoints were: those of the windows side by side before which all have ended.
func toldBefore(t *testing.T, cs []Checkpoint, parallel bool) (n int) {
	t.Helper()
	of, ended := make(map[int]int), make(map[int]bool)
	for _, c := range cs {
		s := stateOf(t, c)
		of[s.Part] += len(c.Segments)
		ended[s.Part] = s.Clip == 1
	}
	if !parallel {
		return of[0]
	}
	for part := 0; ended[part]; part++ {
		n += of[part]
	}
	return n
}

// sortedOut returns checkpoints as they are in any run: of windows side by side without what hangs on the order in which they end.
func sortedOut(t *testing.T, cs []Checkpoint, parallel bool) (out []Checkpoint) {
	t.Helper()
	for _, c := range cs {
		if parallel {
			s := stateOf(t, c)
			s.Sum, s.Route, c.Done = "", nil, 0
			c.State, _ = json.Marshal(s)
		}
		out = append(out, c)
	}
	if parallel {
		slices.SortStableFunc(out, func(a, b Checkpoint) int { return stateOf(t, a).Part - stateOf(t, b).Part })
	}
	return out
}

// oddWords is a device by which some words are as hallucinations are, others as words.
type oddWords struct{ device }

func (d oddWords) align(items []whisper.Alignment) ([]whisper.Aligned, error) {
	aligned, err := d.device.align(items)
	for i, item := range items {
		h := fnv.New64()
		for _, id := range append([]int32{int32(item.Frames)}, item.Tokens...) {
			h.Write([]byte{byte(id), byte(id >> 8)})
		}
		rng, at := rand.New(rand.NewPCG(h.Sum64(), 3)), 0.0
		for j := range aligned[i].Words {
			w := &aligned[i].Words[j]
			w.Start, w.End, w.Probability = at+0.5*rng.Float64()*rng.Float64(), 0, 0.9
			if w.End = w.Start + 0.2; rng.IntN(3) == 0 {
				w.Probability = 0.1
			}
			at = w.End
		}
	}
	return aligned, err
}

// TestResumedIsWhole checks that a request which goes on behind any of its checkpoints has, to the bit, the result of one that was not
// broken off, and tells what that told behind them.
func TestResumedIsWhole(t *testing.T) {
	for _, unpadded := range []bool{false, true} {
		e := newEngine(t, unpadded, Options{})
		plainDevice := e.stations[0].device
		for name, q := range checkpointed(dimsOf(e)) {
			name = fmt.Sprintf("%s, unpadded %v", name, unpadded)
			e.stations[0].device = plainDevice
			if strings.HasPrefix(name, "odd") {
				e.stations[0].device = oddWords{plainDevice}
			}
			plain, err := e.Transcribe(t.Context(), q)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			whole := keepOf(t, e, q, nil, -1)
			if !reflect.DeepEqual(whole.result, plain) {
				t.Errorf("%s: with checkpoints\n%+v, without\n%+v", name, whole.result, plain)
			}
			parallel := q.Speech != nil
			checkCheckpoints(t, name, whole, parallel)
			for n := 1; n <= len(whole.checkpoints); n++ {
				behind := throughJSON(t, whole.checkpoints[:n])
				k := keepOf(t, e, q, behind, -1)
				if !reflect.DeepEqual(k.result, plain) {
					t.Errorf("%s, behind %d of %d:\n%+v, want\n%+v", name, n, len(whole.checkpoints), k.result, plain)
				}
				if told := toldBefore(t, behind, parallel); !slices.EqualFunc(k.segments, whole.segments[told:], func(a, b Segment) bool { return reflect.DeepEqual(a, b) }) {
					t.Errorf("%s, behind %d of %d: told\n%+v, want\n%+v", name, n, len(whole.checkpoints), k.segments, whole.segments[told:])
				}
				got, want := sortedOut(t, k.checkpoints, parallel), sortedOut(t, whole.checkpoints[n:], parallel)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s, behind %d of %d: checkpoints\n%+v, want\n%+v", name, n, len(whole.checkpoints), got, want)
				}
			}
		}
	}
}
