package asr

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glossa/audio"
	"glossa/eval"
)

// speak streams a tone that lasts into a session until the session ends.
func speak(s *Session) {
	pcm, _ := chirp(300, 0.02, Request{}).Audio()
	for s.Write(pcm) == nil {
		time.Sleep(20 * time.Millisecond)
	}
}

// TestLiveEngineEnds: with its engine a session ends, and says why.
func TestLiveEngineEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(e *Engine, d *fakeDevice)
		want error
	}{
		"closed": {func(e *Engine, _ *fakeDevice) { e.Close() }, ErrCancelled},
		"fault":  {func(_ *Engine, d *fakeDevice) { d.faultAt = d.steps + 1 }, errFake},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, d := newFakeEngine(t, Options{})
			s, err := e.Listen(t.Context(), ListenOptions{Language: "en", Detector: func() audio.Detector { return &loudDetector{} }})
			if err != nil {
				t.Fatal(err)
			}
			var wait sync.WaitGroup
			wait.Go(func() { speak(s) })
			for range 2 {
				if _, err := s.Next(t.Context()); err != nil {
					t.Fatal(name, err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			c.end(e, d)
			if _, err := collect(t.Context(), s); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			wait.Wait()
			synctest.Wait()
			if s.sound != nil || e.speakers.free != 64 {
				t.Errorf("%s: something is left", name)
			}
		})
	}
}

// TestLiveBesideBulk: sessions get their text in time while bulk work waits, and all windows are freed at last.
func TestLiveBesideBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, d := newFakeEngine(t, sized(8, 0))
		var wait sync.WaitGroup
		wait.Go(func() {
			var bulk []Request
			for range 100 {
				bulk = append(bulk, chirp(300, 1, Request{Language: "de", Priority: Bulk}))
			}
			if err := e.TranscribeAll(t.Context(), bulk, func(int, *Result) {}); err != nil {
				t.Error(err)
			}
		})
		for range 2 {
			s, err := e.Listen(t.Context(), ListenOptions{Language: "en", Detector: func() audio.Detector { return &loudDetector{} }})
			if err != nil {
				t.Fatal(err)
			}
			wait.Go(func() { speak(s) })
			wait.Go(func() {
				begin := time.Now()
				for time.Since(begin) < 20*time.Second {
					ev, err := s.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if late := time.Since(begin).Seconds() - ev.Heard; late > 3 || ev.Kind == Lag {
						t.Errorf("%v is told of %.2f s late", ev.Kind, late)
					}
				}
				s.Close()
			})
		}
		wait.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if d.encoded != 0 || e.scheduler.Len() != 0 || len(e.tasks) != 0 {
			t.Errorf("%d windows are not freed, %d tasks are left", d.encoded, e.scheduler.Len())
		}
	})
}

// TestLiveSideBySide: many sessions of the embedded model that write as fast as they may share its batches and places.
func TestLiveSideBySide(t *testing.T) {
	e := openNano(t)
	cs := clips(t, 40)
	places := e.speakers.free
	var mu sync.Mutex
	var score eval.Score
	var wait sync.WaitGroup
	for _, c := range cs {
		s, err := e.Listen(t.Context(), ListenOptions{Language: c.Lang, MaxQueued: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			pcm, _ := joined([]clip{c, c}, 1)
			for len(pcm) > 0 {
				n := min(len(pcm), 4096)
				if err := errors.Join(s.Wait(t.Context(), n), s.Write(pcm[:n])); err != nil {
					t.Error(err)
					return
				}
				pcm = pcm[n:]
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			events, err := collect(t.Context(), s)
			if err := checkLaws(events, err); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			score.Add(eval.ScoreUtterance(c.Text+" "+c.Text, textOf(events), c.Lang))
		})
	}
	wait.Wait()
	if t.Logf("WER %.1f%%", 100*score.WER()); score.WER() > 0.3 {
		t.Errorf("WER %.1f%%", 100*score.WER())
	}
	if e.speakers.free != places {
		t.Errorf("%d of %d places are free", e.speakers.free, places)
	}
}
