package asr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"glossa/audio"
	"glossa/flora"
	"glossa/whisper"
)

// mixed are requests of all kinds.
func mixed() []Request {
	return []Request{
		chirp(200, 0.7, Request{Language: "en"}),
		chirp(300, 1.9, Request{Language: "cs"}),
		chirp(400, 5.3, Request{Language: "cs", Timestamps: true}),
		chirp(250, 1, Request{Language: "de"}),
		chirp(350, 4.1, Request{}),
		chirp(450, 0.3, Request{Language: "fr", Adapter: "cs"}),
		chirp(550, 1.2, Request{Language: "cs", Adapter: None}),
		chirp(600, 5, Request{Language: "cs", Words: &WordOptions{SilenceThreshold: 0.1}}),
		chirp(620, 3, Request{Language: "de", Timestamps: true, Words: &usual, Decoding: Decoding{Temperatures: []float64{0}}}),
		chirp(700, 5, Request{Decoding: Decoding{LogProbThreshold: -0.01, BestOf: 3, Seed: 4}}),
		chirp(650, 3.5, Request{Language: "de", Decoding: Decoding{Unconditioned: true, BeamSize: 3}}),
	}
}

// TestBatchedIsAlone checks that a recording's result is the same to the bit alone, and among
// others in any order and in batches of any size.
func TestBatchedIsAlone(t *testing.T) {
	for _, unpadded := range []bool{false, true} {
		e := newEngine(t, unpadded, Options{})
		requests := mixed()
		alone := make([]*Result, len(requests))
		for i, q := range requests {
			alone[i] = transcribe(t, e, q)[0]
			if alone[i].Err != nil {
				t.Fatalf("request %d: %v", i, alone[i].Err)
			}
		}
		for _, o := range []Options{{}, sized(3, 0), sized(5, 1)} {
			e := newEngine(t, unpadded, o)
			order := rand.New(rand.NewPCG(5, uint64(o.MaxWindows))).Perm(len(requests))
			shuffled := make([]Request, len(requests))
			for i, from := range order {
				shuffled[i] = requests[from]
			}
			for i, r := range transcribe(t, e, shuffled...) {
				if want := alone[order[i]]; !reflect.DeepEqual(r, want) {
					t.Errorf("unpadded %v, options %+v, request %d:\n%+v, alone\n%+v", unpadded, o, order[i], r, want)
				}
			}
		}
	}
}

// TestCrowdIsAlone checks that a request's result is the same to the bit alone, and in a crowd that
// comes from many goroutines at random times, with all priorities, and of which some hang up.
func TestCrowdIsAlone(t *testing.T) {
	e := newEngine(t, true, sized(4, 0))
	requests := append(mixed(), speechAt(chirp(420, 8, Request{Words: &usual}), [2]float64{0, 1.5}, [2]float64{2, 4.1}, [2]float64{5, 7.9}))
	alone := make([]*Result, len(requests))
	for i, q := range requests {
		alone[i] = transcribe(t, e, q)[0]
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var wait sync.WaitGroup
	for range 4 {
		for i, q := range requests {
			q.Priority = Priority(rng.IntN(int(priorities)))
			later, hangUp := time.Duration(rng.IntN(40))*time.Millisecond, rng.IntN(5) == 0
			patience := time.Duration(rng.IntN(20)) * time.Millisecond
			wait.Go(func() {
				time.Sleep(later)
				ctx := t.Context()
				if hangUp {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, patience)
					defer cancel()
				}
				r, err := e.Transcribe(ctx, q)
				switch {
				case hangUp && errors.Is(err, ErrCancelled):
				case err != nil:
					t.Errorf("request %d: %v", i, err)
				case !reflect.DeepEqual(r, alone[i]):
					t.Errorf("request %d in the crowd:\n%+v, alone\n%+v", i, r, alone[i])
				}
			})
		}
	}
	wait.Wait()
	e.Close()
	if n := len(e.tasks) + len(e.stations[0].tickets) + e.stations[0].device.(*modelDevice).batch.Len(); n != 0 {
		t.Errorf("%d windows are left", n)
	}
}

// TestRouting checks which adapter each request is given, and that it is used.
func TestRouting(t *testing.T) {
	e := newEngine(t, true, Options{})
	var requests []Request
	want := []struct{ language, adapter, wantAdapter string }{
		{"en", "", ""}, {"cs", "", "cs"}, {"cs", Auto, "cs"}, {"Czech", Auto, "cs"}, {"de", Auto, "de"}, {"cs", None, ""}, {"cs", "de", "de"}, {"en", "cs", "cs"},
	}
	for _, w := range want {
		requests = append(requests, chirp(300, 1, Request{Language: w.language, Adapter: w.adapter}))
	}
	results := transcribe(t, e, requests...)
	for i, w := range want {
		if results[i].Err != nil || results[i].Adapter != w.wantAdapter || results[i].LanguageProb != 0 {
			t.Errorf("%+v: adapter %q, language probability %v, %v", w, results[i].Adapter, results[i].LanguageProb, results[i].Err)
		}
	}
	if results[1].Segments[0].AvgLogProb == results[5].Segments[0].AvgLogProb {
		t.Error("an adapter changes nothing")
	}
}

// TestDetection checks that a language is detected by the base model, among those allowed, and
// that its adapter is taken.
func TestDetection(t *testing.T) {
	for _, allowed := range []string{"cs", "de", "fr"} {
		e := newEngine(t, true, Options{Languages: []string{allowed}})
		r := transcribe(t, e, chirp(300, 1, Request{}))[0]
		want := e.AdapterOf(allowed)
		if r.Language != allowed || r.LanguageProb < 0.999 || r.Adapter != want {
			t.Errorf("allowed %s: language %q with %v, adapter %q, want %q", allowed, r.Language, r.LanguageProb, r.Adapter, want)
		}
	}
}

// TestDetectionAmongWritten checks that detection chooses from what the base model writes and from what has an adapter, one that came
// later too, and not from the rest of what the model has tokens for.
func TestDetectionAmongWritten(t *testing.T) {
	e := newEngine(t, true, Options{Written: []string{"fr"}, Routes: Routes{ByName: true, Languages: map[string]string{"de": None}}})
	check := func(want ...string) {
		t.Helper()
		got := e.Languages()
		slices.Sort(got)
		r := transcribe(t, e, chirp(300, 1, Request{}))[0]
		if !slices.Equal(got, want) || r.Err != nil || !slices.Contains(want, r.Language) {
			t.Errorf("languages %q, want %q; heard %q, %v", got, want, r.Language, r.Err)
		}
	}
	check("cs", "fr")
	if r := transcribe(t, e, chirp(300, 1, Request{Languages: []string{"en"}}))[0]; r.Language != "en" {
		t.Errorf("a request that allows English is in %q, %v", r.Language, r.Err)
	}
	if _, err := e.LoadAdapter("en", seeded(t, e.model, "en", flora.LoRA, flora.All, 1)); err != nil {
		t.Fatal(err)
	}
	check("cs", "en", "fr")
	if err := e.UnloadAdapter("en"); err != nil {
		t.Fatal(err)
	}
	check("cs", "fr")
}

// TestSlowReadingHindersNobody checks that recordings which take long to be read hold up no other, while there are places for all.
func TestSlowReadingHindersNobody(t *testing.T) {
	e := newEngine(t, true, sized(8, 0))
	read := make(chan struct{})
	slow := chirp(300, 1, Request{Language: "en"})
	sound := slow.Audio
	slow.Audio = func() ([]float32, error) { <-read; return sound() }
	var wg sync.WaitGroup
	for range 6 { // more than are read ahead of their places
		wg.Go(func() {
			if r, err := e.Transcribe(t.Context(), slow); err != nil || r.Err != nil {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 3 {
		if _, err := e.Transcribe(ctx, chirp(300, 1, Request{Language: "en"})); err != nil {
			t.Errorf("beside slow ones: %v", err)
		}
	}
	close(read)
	wg.Wait()
}

// TestOneBadRequestFailsAlone checks the reasons of bad requests, and that the others are served.
func TestOneBadRequestFailsAlone(t *testing.T) {
	e := newEngine(t, true, sized(2, 0))
	broken := errors.New("no such recording")
	good := chirp(300, 1, Request{Language: "en"})
	results := transcribe(t, e, good,
		chirp(300, 1, Request{Language: "klingon"}), chirp(300, 1, Request{Language: "haw"}),
		chirp(300, 1, Request{Adapter: "hi"}), chirp(300, 1, Request{Language: "en", Task: "sing"}),
		Request{Audio: func() ([]float32, error) { return nil, broken }}, good)
	for i, want := range []error{nil, ErrInvalid, whisper.ErrLanguage, flora.ErrUnknown, whisper.ErrTask, broken, nil} {
		if !errors.Is(results[i].Err, want) {
			t.Errorf("request %d: %v, want %v", i, results[i].Err, want)
		}
	}
	if !reflect.DeepEqual(results[0], results[6]) {
		t.Errorf("equal requests have results %+v and %+v", results[0], results[6])
	}
}

// TestShortAndLong checks recordings of every length around the window, and of a few samples.
func TestShortAndLong(t *testing.T) {
	for _, unpadded := range []bool{false, true} {
		e := newEngine(t, unpadded, Options{})
		for _, seconds := range []float64{1. / 16000, 0.005, 0.01, 0.011, 0.02, 0.03, windowSeconds - 0.01, windowSeconds, windowSeconds + 0.01, 3*windowSeconds + 0.015} {
			name := fmt.Sprintf("unpadded %v, %v s", unpadded, seconds)
			r := transcribe(t, e, chirp(300, seconds, Request{Language: "en", Timestamps: true}))[0]
			if unpadded && seconds < 0.01 {
				if !errors.Is(r.Err, audio.ErrEmpty) {
					t.Errorf("%s, less than a frame: %v, want %v", name, r.Err, audio.ErrEmpty)
				}
				continue
			}
			if r.Err != nil {
				t.Errorf("%s: %v", name, r.Err)
				continue
			}
			last := 0.0
			for i, s := range r.Segments {
				if s.ID != i || s.Start < last || s.End < s.Start || s.Text == "" {
					t.Errorf("%s: segment %d behind %v s is %+v", name, i, last, s)
				}
				last = s.Start
			}
			if window := float64(windowSeconds); last > seconds+window {
				t.Errorf("%s: last segment begins at %v s", name, last)
			}
		}
	}
}

func TestTranscribeEndsWithItsContext(t *testing.T) {
	e := newEngine(t, true, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := e.TranscribeAll(ctx, []Request{chirp(300, 1, Request{})}, func(int, *Result) {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if r := transcribe(t, e, chirp(300, 1, Request{}))[0]; r.Err != nil {
		t.Errorf("the engine is of no more use: %v", r.Err)
	}
}

func TestNewRefusesUnknownAdapters(t *testing.T) {
	e := newEngine(t, true, Options{})
	if _, err := New(e.model, ops(e).Backend(), nil, map[string]string{"cs": "cs"}, Options{}); !errors.Is(err, flora.ErrUnknown) {
		t.Errorf("error %v, want %v", err, flora.ErrUnknown)
	}
}
