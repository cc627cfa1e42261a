package asr

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"glossa/audio"
)

// TestLiveSlowReader: while nobody reads, partials make room for newer ones, and nothing else is lost.
func TestLiveSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		for range 10 {
			f.say(100, 20, "en")
		}
		s := f.listen(t.Context(), ListenOptions{}, nil)
		stream(t, s, f.pcm(), every(100))
		time.Sleep(time.Minute)
		events, err := collect(t.Context(), s)
		if err := checkLaws(events, err); err != nil {
			t.Fatal(err)
		}
		if got := textOf(events); got != f.text() || s.Dropped() == 0 || len(events) > 70 {
			t.Errorf("%d events, %d dropped: %q", len(events), s.Dropped(), got)
		}
	})
}

// TestLiveNobodyReads: a session whose finals pile up ends.
func TestLiveNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		s := f.listen(t.Context(), ListenOptions{}, nil)
		var err error
		n := 0
		for ; err == nil && n < 2*maxEvents; n++ {
			err = s.Finalize()
			synctest.Wait()
		}
		if !errors.Is(err, ErrBusy) || n < maxEvents {
			t.Errorf("after %d: %v", n, err)
		}
		if _, err := s.Next(t.Context()); !errors.Is(err, ErrBusy) {
			t.Errorf("the next event: %v", err)
		}
	})
}

// TestLiveQueueIsBounded: Write refuses what is too much, of which nothing is taken, and Wait waits until it is not.
func TestLiveQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		f.say(50, 120, "en")
		f.cost = func() time.Duration { return 5 * time.Second }
		s := f.listen(t.Context(), ListenOptions{MaxQueued: 12 * time.Second, MaxBuffer: 5 * time.Second}, nil)
		var wait sync.WaitGroup
		wait.Go(func() {
			events, err := collect(t.Context(), s)
			if err := checkLaws(events, err); err != nil {
				t.Error(err)
			}
			if got := textOf(events); got != f.text() {
				t.Errorf("heard %q\nsaid  %q", got, f.text())
			}
			lags := 0
			for _, e := range events {
				if e.Kind == Lag && e.Behind >= lagLeast {
					lags++
				}
			}
			if lags == 0 {
				t.Error("nobody tells that text is late")
			}
		})
		refused := 0
		for chunk := range slices.Chunk(f.pcm(), audio.SampleRate/2) {
			if err := s.Write(chunk); errors.Is(err, ErrBusy) {
				refused++
				if err := s.Wait(t.Context(), len(chunk)); err != nil {
					t.Fatal(err)
				}
				err = s.Write(chunk)
				if err != nil {
					t.Fatal(err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Write(make([]float32, 13*audio.SampleRate)); !errors.Is(err, ErrInvalid) {
			t.Errorf("13 s at once: %v", err)
		}
		if refused == 0 {
			t.Error("nothing is refused")
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
	})
}

// TestLiveEnds checks how sessions end, that calls say so, and that nothing is left. That no goroutine is, synctest sees to.
func TestLiveEnds(t *testing.T) {
	why := errors.New("the client is gone")
	for name, end := range map[string]func(s *Session, cancel context.CancelCauseFunc){
		"close":  func(s *Session, _ context.CancelCauseFunc) { s.Close() },
		"cancel": func(_ *Session, cancel context.CancelCauseFunc) { cancel(why) },
	} {
		for _, after := range []time.Duration{0, 900 * time.Millisecond, 1830 * time.Millisecond, 10 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				f := newFakeSpeech(t)
				f.say(50, 40, "en")
				s := f.listen(ctx, ListenOptions{}, nil)
				read := make(chan error)
				go func() {
					_, err := collect(t.Context(), s)
					read <- err
				}()
				go func() {
					for chunk := range slices.Chunk(f.pcm(), audio.SampleRate/50) {
						if s.Write(chunk) != nil {
							return
						}
						time.Sleep(20 * time.Millisecond)
					}
				}()
				time.Sleep(after)
				end(s, cancel)
				if err := <-read; !errors.Is(err, ErrCancelled) || name == "cancel" && !errors.Is(err, why) {
					t.Errorf("%s after %v: %v", name, after, err)
				}
				if err := s.Write(nil); !errors.Is(err, ErrCancelled) {
					t.Errorf("write behind the end: %v", err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if s.sound != nil || s.inbox.pcm != nil || s.working || s.speaker.of.free != 1 {
					t.Errorf("%s after %v: something is left", name, after)
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		s := f.listen(t.Context(), ListenOptions{}, nil)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if e, err := s.Next(t.Context()); err != nil || e.Kind != Done {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := s.Next(t.Context()); err != io.EOF {
			t.Error(err)
		}
		if err := s.Finalize(); !errors.Is(err, ErrCancelled) {
			t.Errorf("behind the end: %v", err)
		}
		s.Close()
	})
}

// TestLiveMarksAreBounded: calls of Finalize and Update that wait are so many at most; the end of the sound has room in any case.
func TestLiveMarksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		s := f.listen(t.Context(), ListenOptions{}, nil)
		s.mu.Lock()
		s.working = true // nothing is taken up
		s.mu.Unlock()
		for range maxMarks {
			if err := s.Finalize(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Finalize(), s.Update(ListenOptions{})); !errors.Is(err, ErrBusy) || len(s.inbox.marks) != maxMarks {
			t.Errorf("%d marks, %v", len(s.inbox.marks), err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.working = false
		s.work()
		s.mu.Unlock()
		events, err := collect(t.Context(), s)
		if err := checkLaws(events, err); err != nil || len(events) != maxMarks+1 {
			t.Errorf("%d events, %v", len(events), err)
		}
	})
}

// TestLiveAnswerAtOnce: an engine may have heard a window before it says how to cancel that.
func TestLiveAnswerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSpeech(t)
		f.say(100, 5, "en")
		s := f.listen(t.Context(), ListenOptions{}, nil)
		s.hearer = atOnce{f}
		stream(t, s, f.pcm(), every(100))
		synctest.Wait()
		if s.cancel != nil {
			t.Error("what was heard may be cancelled")
		}
		events, err := collect(t.Context(), s)
		if err := checkLaws(events, err); err != nil || textOf(events) != f.text() {
			t.Errorf("%q, %v", textOf(events), err)
		}
	})
}

// atOnce hears without a delay.
type atOnce struct{ *fakeSpeech }

func (f atOnce) hear(q Request, done func(*Result)) (func(), error) {
	done(f.result(f.session.core.asked, q))
	return func() { f.t.Error("what was heard is cancelled") }, nil
}
