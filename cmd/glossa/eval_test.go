package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"glossa/eval"
)

// TestInOrder has work end in another order than it began.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const items, atOnce, ahead = 200, 8, 16
		numbers := func(yield func(int) bool) {
			for i := range items {
				if !yield(i) {
					return
				}
			}
		}
		var begun, passed, most atomic.Int64
		var got []int
		err := inOrder(t.Context(), atOnce, ahead, numbers, func(_ context.Context, i int) (int, error) {
			most.Store(max(most.Load(), begun.Add(1)-passed.Load()))
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			if i == 50 {
				time.Sleep(time.Minute) // the others may not go on without end
			}
			return i, nil
		}, func(i int) error {
			passed.Add(1)
			got = append(got, i)
			return nil
		})
		if err != nil || len(got) != items || !slices.IsSorted(got) {
			t.Errorf("%d passed, %v, %v", len(got), got, err)
		}
		if m := most.Load(); m > atOnce+ahead+1 {
			t.Errorf("%d were begun and not passed", m)
		}
	})
}

// TestInOrderEnds has it end by an error of the work, of passing, and of the context: what was done is passed once.
func TestInOrderEnds(t *testing.T) {
	bad := errors.New("bad")
	numbers := func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	}
	for name, c := range map[string]struct {
		do, pass func(i int, cancel func()) error
		want     error
	}{
		"work":    {do: func(i int, _ func()) error { return map[bool]error{true: bad}[i == 20] }, want: bad},
		"passing": {pass: func(i int, _ func()) error { return map[bool]error{true: bad}[i == 20] }, want: bad},
		"context": {pass: func(i int, cancel func()) error {
			if i == 20 {
				cancel()
			}
			return nil
		}, want: context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			none := func(int, func()) error { return nil }
			if c.do == nil {
				c.do = none
			}
			if c.pass == nil {
				c.pass = none
			}
			var mu sync.Mutex
			done, passed := map[int]bool{}, map[int]bool{}
			err := inOrder(ctx, 4, 8, numbers, func(ctx context.Context, i int) (int, error) {
				if err := sleep(ctx, time.Duration(1+i%3)*time.Millisecond); err != nil {
					return i, err
				}
				err := c.do(i, cancel)
				mu.Lock()
				defer mu.Unlock()
				done[i] = err == nil
				return i, err
			}, func(i int) error {
				if passed[i] {
					t.Errorf("%s: %d was passed twice", name, i)
				}
				passed[i] = true
				return c.pass(i, cancel)
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			for i, ok := range done {
				if ok && !passed[i] && name != "passing" {
					t.Errorf("%s: %d was done and not passed", name, i)
				}
			}
		})
	}
}

// fakeTestee repeats the reference of each utterance.
type fakeTestee struct {
	each func(n int64)
	n    atomic.Int64
}

func (f *fakeTestee) recognise(ctx context.Context, t trial) (eval.Pair, error) {
	if f.each != nil {
		f.each(f.n.Add(1))
	}
	p := t.pair()
	p.Hypothesis = p.Reference
	return p, context.Cause(ctx)
}

func (*fakeTestee) listen(context.Context, trial) (liveConn, error) {
	return nil, errors.ErrUnsupported
}
func (*fakeTestee) adapted() bool               { return false }
func (*fakeTestee) adapterOf(string) string     { return "" }
func (*fakeTestee) atOnce() int                 { return 4 }
func (*fakeTestee) identity() map[string]string { return map[string]string{"model": "fake"} }
func (*fakeTestee) close()                      {}

// newFakeRun returns an evaluation of so many utterances by a fake.
func newFakeRun(t *testing.T, n int, flags evalCommand, f *fakeTestee) *evalRun {
	t.Helper()
	flags.Temperature, flags.SuppressTokens, flags.TemperatureIncrementOnFallback = []float64{0}, "-1", threshold(math.NaN())
	set := &testSet{utterances: make([]eval.Utterance, n), adapters: map[string][]string{"cs": {""}}}
	for i := range set.utterances {
		set.utterances[i] = eval.Utterance{ID: fmt.Sprint("u", i), AudioFilepath: "a.wav", Text: "one two", Lang: "cs"}
	}
	tally, err := newEvalTally(&flags, eval.Scorer{Normaliser: eval.DefaultNormaliser})
	if err != nil {
		t.Fatal(err)
	}
	return &evalRun{
		flags: &flags, console: newConsole(io.Discard, io.Discard), sounds: newSounds(0), testee: f, set: set, tally: tally,
	}
}

// TestEvalIsInterrupted has an evaluation end early, and go on.
func TestEvalIsInterrupted(t *testing.T) {
	const n = 500
	path := filepath.Join(t.TempDir(), "r.jsonl")
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeTestee{each: func(n int64) {
		if n == 100 {
			cancel()
		}
	}}
	flags := evalCommand{Hypotheses: path, Resume: true}
	if err := newFakeRun(t, n, flags, f).run(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f = &fakeTestee{each: func(int64) {}}
	r := newFakeRun(t, n, flags, f)
	if err := r.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if r.resumed < 90 || int64(r.resumed)+f.n.Load() != n {
		t.Errorf("%d were there, %d were made", r.resumed, f.n.Load())
	}
	seen := make(map[string]bool)
	for line, err := range resultPairs(path) {
		if err != nil || seen[line.ID] {
			t.Fatal(line.ID, err)
		}
		seen[line.ID] = true
	}
	if report, _ := r.tally.report(); len(seen) != n || report.Total.Utterances != n {
		t.Errorf("%d lines, %d utterances", len(seen), report.Total.Utterances)
	}
}

// TestEvalMemory has results pass through without being kept.
func TestEvalMemory(t *testing.T) {
	const n, most = 100_000, 200 // bytes for each, of which the summary keeps some 70
	r := newFakeRun(t, n, evalCommand{Hypotheses: filepath.Join(t.TempDir(), "r.jsonl")}, &fakeTestee{})
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	if err := r.openResults(); err != nil {
		t.Fatal(err)
	}
	before := heap()
	if err := r.recognise(t.Context()); err != nil {
		t.Fatal(err)
	}
	if grown := (heap() - before) / n; grown > most {
		t.Errorf("%d bytes for each utterance", grown)
	}
	if err := r.results.close(); err != nil {
		t.Fatal(err)
	}
	if report, _ := r.tally.report(); report.Total.Utterances != n || report.Total.WER != 0 {
		t.Errorf("%+v", report.Total)
	}
}

// TestSoundsDecodeOnce takes parts of one file after the file is gone.
func TestSoundsDecodeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(path, 300, 2); err != nil {
		t.Fatal(err)
	}
	s := newSounds(0)
	for i := range 4 {
		u := eval.Utterance{AudioFilepath: path, Part: true, Start: 0.5 * float64(i), Duration: 0.5}
		pcm, release, err := s.take(t.Context(), &u)
		if err != nil || len(pcm) != 8000 {
			t.Fatalf("part %d: %d samples, %v", i, len(pcm), err)
		}
		release()
		if err := os.Remove(path); i == 0 && err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.take(t.Context(), &eval.Utterance{AudioFilepath: path + "x"}); err == nil {
		t.Error("a file that is not there")
	}
}

// TestSoundsAreBounded takes more sound than is kept at a time: who takes more waits until others are released.
func TestSoundsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSounds(0)
		s.samples = maxUnread + 1 // of a file that somebody holds
		held := &soundFileHeld{name: "long", pcm: make([]float32, maxUnread+1), users: 1, ready: make(chan struct{})}
		close(held.ready)
		s.files["long"] = held
		got := make(chan error, 1)
		go func() {
			_, _, err := s.take(t.Context(), &eval.Utterance{AudioFilepath: noisePrefix + "white/0"})
			got <- err
		}()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("taken beside too much: %v", err)
		default:
		}
		s.release(held)
		if err := <-got; err != nil || s.samples > maxUnread {
			t.Errorf("%v, %d samples are held", err, s.samples)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.samples = maxUnread + 1
		if _, _, err := s.take(ctx, &eval.Utterance{AudioFilepath: noisePrefix + "white/1"}); !errors.Is(err, context.Canceled) {
			t.Errorf("without time: %v", err)
		}
	})
}

func TestNoise(t *testing.T) {
	for i := range 3 * len(noises) {
		name := noisePrefix + noiseName(i)
		pcm, err := makeNoise(name, 7)
		again, _ := makeNoise(name, 7)
		other, _ := makeNoise(name, 8)
		if err != nil || len(pcm) != noiseSeconds*16000 || !slices.Equal(pcm, again) {
			t.Fatalf("%s: %d samples, %v", name, len(pcm), err)
		}
		silent := strings.Contains(name, "silence")
		if slices.Equal(pcm, other) != silent {
			t.Errorf("%s: what the seed changes", name)
		}
		power := 0.0
		for _, x := range pcm {
			power += float64(x) * float64(x) / float64(len(pcm))
		}
		if db := 10 * math.Log10(power); !silent && !(db > -80 && db < -5) {
			t.Errorf("%s: %.0f dB", name, db)
		}
	}
	for _, bad := range []string{"noise:", "noise:white", "noise:blue/1", "noise:white/-1"} {
		if _, err := makeNoise(bad, 0); err == nil {
			t.Errorf("%s is made", bad)
		}
	}
}

// TestPinkNoiseIsPink compares the power of octaves, which is the same in each.
func TestPinkNoiseIsPink(t *testing.T) {
	pcm := make([]float32, 1<<17)
	pinkNoise(pcm, rand.New(rand.NewPCG(1, 2)))
	// The power of the difference of means over neighbouring blocks stays about the same as blocks grow, where that of white noise halves.
	var powers []float64
	for size := 4; size <= 256; size *= 4 {
		sum, n := 0.0, 0
		for at := 0; at+2*size <= len(pcm); at += 2 * size {
			d := 0.0
			for i := range size {
				d += float64(pcm[at+size+i]-pcm[at+i]) / float64(size)
			}
			sum, n = sum+d*d, n+1
		}
		powers = append(powers, sum/float64(n))
	}
	if ratio := slices.Max(powers) / slices.Min(powers); ratio > 2 {
		t.Errorf("powers %v", powers)
	}
}

// TestServerIsBusyForAWhile has a server refuse, and break connections, before it answers.
func TestServerIsBusyForAWhile(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "a.wav")
	if err := writeTone(sound, 300, 0.1); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		default:
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, `{"text": "one two"}`)
		}
	}))
	defer server.Close()
	s := &serverTestee{flags: &evalCommand{}, remote: newRemoteClient(server.URL, serverKey{}), sounds: newSounds(0), fields: url.Values{}}
	one := trial{Utterance: &eval.Utterance{ID: "a", AudioFilepath: sound, Lang: "cs", Duration: 1}}
	p, err := s.recognise(t.Context(), one)
	if err != nil || p.Err != "" || p.Hypothesis != "one two" || asked.Load() != 3 {
		t.Errorf("%+v, %v after %d requests", p, err, asked.Load())
	}
	folder := trial{Utterance: &eval.Utterance{ID: "d", AudioFilepath: t.TempDir(), Lang: "cs", Duration: 1}}
	if p, err := s.recognise(t.Context(), folder); err != nil || p.Err == "" {
		t.Errorf("a folder: %+v, %v", p, err)
	}
}
