package asr

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glossa/audio"
)

// TestLiveSession follows one sentence: partials while it is spoken, whose committed words are told soon after they end, and a final.
func TestLiveSession(t *testing.T) {
	for _, policy := range []Policy{LocalAgreement, AlignAtt} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeSpeech(t)
				f.say(100, 8, "de")
				s := f.listen(t.Context(), ListenOptions{Policy: policy, Words: true}, nil)
				go stream(t, s, f.pcm(), every(20))
				events, err := collect(t.Context(), s)
				if err := checkLaws(events, err); err != nil {
					t.Fatal(err)
				}
				var kinds []EventKind
				partials := 0
				for _, e := range events {
					if e.Kind == Partial {
						if partials++; e.Latency > 1500*time.Millisecond {
							t.Errorf("%q is committed %v after it was said", e.Committed, e.Latency)
						}
						continue
					}
					kinds = append(kinds, e.Kind)
					if e.Kind != Final {
						continue
					}
					if e.Text != f.text() || e.Language != "de" || !e.SpeechFinal || len(e.Words) != len(f.words) {
						t.Errorf("%+v", e)
					}
					for i, w := range e.Words {
						if w.Word != f.words[i].text || w.Start != frameTime(f.words[i].start) || i < 7 && w.End != frameTime(f.words[i].end) {
							t.Errorf("word %+v, want %+v", w, f.words[i])
						}
					}
				}
				if want := []EventKind{SpeechStarted, Final, UtteranceEnd, Done}; !slices.Equal(kinds, want) || partials < 4 {
					t.Errorf("events %v and %d partials", kinds, partials)
				}
			})
		})
	}
}

// seeds returns n, or a quarter where it would take minutes.
func seeds(n uint64) uint64 {
	if raceDetector {
		return n / 4
	}
	return n
}

// TestLiveLawsAtRandom drives sessions at random: sound in any chunks, a device of any speed, a reader that sleeps, words without a pause
// for longer than a buffer. What is heard is all that was said.
func TestLiveLawsAtRandom(t *testing.T) {
	for seed := range seeds(24) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			f := newFakeSpeech(t)
			for range 1 + rng.IntN(4) {
				f.say(80+rng.IntN(200), 1+rng.IntN([]int{5, 20, 70}[rng.IntN(3)]), []string{"en", "de", "fr"}[rng.IntN(3)])
			}
			slowest := []int{20, 500, 3000}[rng.IntN(3)]
			device, writer := rand.New(rand.NewPCG(seed, 8)), rand.New(rand.NewPCG(seed, 9))
			f.cost = func() time.Duration { return time.Duration(1+device.IntN(slowest)) * time.Millisecond }
			o := ListenOptions{
				Policy: []Policy{LocalAgreement, AlignAtt}[rng.IntN(2)], NoPartials: rng.IntN(4) == 0,
				MaxBuffer: time.Duration(rng.IntN(2)) * 5 * time.Second, MaxQueued: 5 * time.Minute,
				Language: []string{"", "en"}[rng.IntN(2)],
			}
			s := f.listen(t.Context(), o, nil)
			longest := []int{10, 400, 40_000}[rng.IntN(3)]
			go stream(t, s, f.pcm(), func() int { return 1 + writer.IntN(longest)*audio.SampleRate/1000 })
			sleeps := rng.IntN(2) == 0
			var events []Event
			var err error
			for err == nil {
				var e Event
				if e, err = s.Next(t.Context()); err == nil {
					events = append(events, e)
				}
				if sleeps {
					time.Sleep(2 * time.Second)
				}
			}
			if err := checkLaws(events, err); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if got := textOf(events); got != f.text() {
				t.Errorf("seed %d: %+v\nheard %q\nsaid  %q", seed, o, got, f.text())
			}
			synctest.Wait()
			if s.sound != nil || s.working || s.speaker.of.free != 1 {
				t.Errorf("seed %d: something is left", seed)
			}
		})
	}
}

// TestLiveLongSession: what a session keeps of ten minutes without a pause is a buffer, and of silence behind it next to nothing.
func TestLiveLongSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		for range 10 {
			f.say(10, 150, "en")
		}
		s := f.listen(t.Context(), ListenOptions{MaxBuffer: 8 * time.Second}, nil)
		pcm := append(f.pcm(), make([]float32, 60*audio.SampleRate)...)
		go stream(t, s, pcm, every(500))
		texts, lag := "", 0.0
		for begin := time.Now(); ; {
			e, err := s.Next(t.Context())
			if err != nil || e.Kind == Done {
				break
			}
			if e.Kind == Final {
				texts += e.Text
			}
			lag = max(lag, time.Since(begin).Seconds()-e.Acked)
			synctest.Wait()
			if kept := s.sound.frames() - s.sound.mel.First(); kept > 1000 || len(s.inbox.arrivals) > 1000 || len(s.core.history) > 1024 {
				t.Fatalf("%d frames, %d arrivals and %d tokens are kept", kept, len(s.inbox.arrivals), len(s.core.history))
			}
		}
		if texts != f.text() || lag > 10 {
			t.Errorf("text comes %.1f s late; heard %q", lag, texts)
		}
	})
}

// TestLiveIdleSessionsAreCheap: sessions that nobody writes to, and those in whose sound nobody speaks any more, have no goroutine and little
// memory.
func TestLiveIdleSessionsAreCheap(t *testing.T) {
	f := newFakeSpeech(t)
	const n = 2000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	ctx, cancel := context.WithCancel(t.Context())
	goroutines, before := runtime.NumGoroutine(), heap()
	sessions := make([]*Session, n)
	for i := range sessions {
		sessions[i] = f.listen(ctx, ListenOptions{}, nil)
	}
	each := (heap() - before) / n
	if got := runtime.NumGoroutine(); got > goroutines || each > 4096 {
		t.Errorf("%d goroutines for %d, %d bytes for each session", got, goroutines, each)
	}
	t.Logf("%d bytes for each session", each)
	cancel()
	for _, s := range sessions {
		if _, err := s.Next(context.Background()); !errors.Is(err, ErrCancelled) {
			t.Fatal(err)
		}
	}
}

// TestLiveCutsDoNotMatter: in whatever chunks sound comes, the finals are the same.
func TestLiveCutsDoNotMatter(t *testing.T) {
	finals := func(ms int) (all []string) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeSpeech(t)
			f.say(150, 12, "en")
			f.say(90, 3, "en")
			f.say(120, 60, "en")
			s := f.listen(t.Context(), ListenOptions{}, nil)
			go stream(t, s, f.pcm(), every(ms))
			events, err := collect(t.Context(), s)
			if err := checkLaws(events, err); err != nil {
				t.Error(err)
			}
			text := ""
			for _, e := range events {
				if e.Kind == Final {
					if text += e.Text; e.SpeechFinal {
						all, text = append(all, text), ""
					}
				}
			}
		})
		return all
	}
	want := finals(100)
	if len(want) != 3 {
		t.Fatalf("finals %q", want)
	}
	for _, ms := range []int{1, 7, 33, 500, 3000} {
		if got := finals(ms); !slices.Equal(got, want) {
			t.Errorf("chunks of %d ms: %q, want %q", ms, got, want)
		}
	}
}

// TestLiveFailedWindow: a window that cannot be heard is told of, and what comes is heard.
func TestLiveFailedWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		f.say(100, 10, "en")
		first := f.text()
		f.say(100, 10, "en")
		once := false
		f.fault = func(a *ask) error {
			if a.to < 300 || once {
				return nil
			}
			once = true
			return errFake
		}
		s := f.listen(t.Context(), ListenOptions{}, nil)
		go stream(t, s, f.pcm(), every(20))
		events, err := collect(t.Context(), s)
		if err := checkLaws(events, err); err != nil {
			t.Fatal(err)
		}
		failed, rest := 0, ""
		for _, e := range events {
			if e.Kind == Failed && errors.Is(e.Err, errFake) {
				failed++
			}
			if e.Kind == Final && e.SpeechFinal {
				rest = e.Text
			}
		}
		if failed != 1 || rest != f.text()[len(first)+1:] {
			t.Errorf("%d windows failed; the last final is %q", failed, rest)
		}
	})
}

// TestLiveFaultsAtRandom: whatever windows fail, the laws hold, the session goes on, and each fault is told of.
func TestLiveFaultsAtRandom(t *testing.T) {
	for seed := range seeds(12) {
		synctest.Test(t, func(t *testing.T) {
			rng, device := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			f := newFakeSpeech(t)
			for range 6 {
				f.say(80+rng.IntN(200), 1+rng.IntN(30), "en")
			}
			faults := 0
			f.fault = func(*ask) error {
				if device.IntN(8) > 0 {
					return nil
				}
				faults++
				return errFake
			}
			s := f.listen(t.Context(), ListenOptions{MaxBuffer: 5 * time.Second}, nil)
			go stream(t, s, f.pcm(), every(70))
			events, err := collect(t.Context(), s)
			if err := checkLaws(events, err); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			for _, e := range events {
				if e.Kind == Failed {
					faults--
				}
			}
			if faults != 0 {
				t.Errorf("seed %d: %d faults are not told of", seed, faults)
			}
		})
	}
}

// TestLiveSpeakers: of many sessions in which somebody speaks so many are heard at a time, each from the beginning of a segment
// to its end, and all are heard at last.
func TestLiveSpeakers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places := newSpeakers(2)
		var wait sync.WaitGroup
		for i := range 6 {
			f := newFakeSpeech(t)
			f.say(20+10*i, 10, "en")
			f.say(100, 5, "en")
			s := f.listen(t.Context(), ListenOptions{}, places)
			if i == 5 {
				time.AfterFunc(2*time.Second, s.Close) // while it waits
				go func() {
					for chunk := range slices.Chunk(f.pcm(), 1600) {
						if s.Write(chunk) != nil {
							return
						}
						time.Sleep(100 * time.Millisecond)
					}
				}()
				continue
			}
			wait.Go(func() { stream(t, s, f.pcm(), every(50)) })
			wait.Go(func() {
				events, err := collect(t.Context(), s)
				if err := checkLaws(events, err); err != nil {
					t.Error(err)
				}
				if got := textOf(events); got != f.text() {
					t.Errorf("session %d: heard %q, said %q", i, got, f.text())
				}
			})
		}
		wait.Wait()
		synctest.Wait()
		if places.free != 2 || len(places.waiting) != 0 {
			t.Errorf("%d places are free, %d sessions wait", places.free, len(places.waiting))
		}
	})
}

// TestLiveFinalizeAndUpdate: Finalize ends a segment in the middle of speech, and options change behind it.
func TestLiveFinalizeAndUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		f.say(100, 20, "en")
		s := f.listen(t.Context(), ListenOptions{Language: "en"}, nil)
		pcm := f.pcm()
		at := f.words[9].end * audio.HopLength
		go func() {
			for chunk := range slices.Chunk(pcm[:at], 160) {
				if err := s.Write(chunk); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err := errors.Join(s.Update(ListenOptions{Language: "de", NoPartials: true}), s.Finalize()); err != nil {
				t.Error(err)
			}
			stream(t, s, pcm[at:], every(10))
		}()
		events, err := collect(t.Context(), s)
		if err := checkLaws(events, err); err != nil {
			t.Fatal(err)
		}
		var finals []Event
		for _, e := range events {
			if e.Kind == Final {
				finals = append(finals, e)
			}
			if e.Kind == Partial && e.Language == "de" {
				t.Error("a partial behind the update")
			}
		}
		if len(finals) != 2 || !finals[0].Finalized || finals[1].Finalized || finals[0].Language != "en" || finals[1].Language != "de" {
			t.Errorf("%+v", finals)
		}
		if got := textOf(events); got != f.text() {
			t.Errorf("heard %q, said %q", got, f.text())
		}
	})
}

func TestListenInvalid(t *testing.T) {
	e := newEngine(t, true, Options{})
	for _, o := range []ListenOptions{
		{Policy: "both"}, {Language: "klingon"}, {Languages: []string{"xx"}}, {Endpointing: time.Millisecond}, {Endpointing: time.Hour},
		{Step: -1}, {MaxBuffer: time.Hour}, {MaxBuffer: time.Millisecond}, {MaxQueued: time.Second / 2}, {Task: "sing"},
	} {
		if _, err := e.Listen(t.Context(), o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := e.Listen(t.Context(), ListenOptions{Adapter: "nobody"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an adapter that there is not: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Listen(ctx, ListenOptions{}); !errors.Is(err, ErrCancelled) {
		t.Errorf("behind its context: %v", err)
	}
	s, err := e.Listen(t.Context(), ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Update(ListenOptions{Language: "klingon"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(nil); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrCancelled) {
		t.Errorf("sound behind the end: %v", err)
	}
}
