package asr

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"glossa/audio"
	"glossa/whisper"
)

// observation is what an observer was told.
type observation struct {
	waits     []time.Duration
	encoded   []Encoded
	stepped   []Stepped
	fallbacks []Fallback
	silent    int
	finished  []Finished
}

func (o *observation) observer() *Observer {
	return &Observer{
		Waited:   func(_ Priority, wait time.Duration) { o.waits = append(o.waits, wait) },
		Encoded:  func(e Encoded) { o.encoded = append(o.encoded, e) },
		Stepped:  func(s Stepped) { o.stepped = append(o.stepped, s) },
		FellBack: func(f Fallback) { o.fallbacks = append(o.fallbacks, f) },
		Silent:   func() { o.silent++ },
		Finished: func(f Finished) { o.finished = append(o.finished, f) },
	}
}

// TestObserverIsToldOfTheWork checks what an observer and Load tell of two requests, of which one is cancelled, by the
// fake device's costs.
func TestObserverIsToldOfTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen observation
		e, _ := newFakeEngine(t, Options{Observer: seen.observer(), SchedulerOptions: SchedulerOptions{MaxEncoderFrames: 1}})
		if l := e.Load(); e.Err() != nil || l.Requests != 0 || len(l.Windows) != 0 || l.Stopped {
			t.Errorf("an idle engine's load is %+v", l)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go e.Transcribe(t.Context(), chirp(300, 1, Request{Language: "de", Client: "anna"}))
		time.Sleep(time.Millisecond)
		go e.Transcribe(ctx, chirp(300, 1.5, Request{Language: "fr", Priority: Bulk}))
		time.Sleep(fakeEncode + fakeStep/2)
		l := e.Load() // in the first's first step, in which the second is read
		if l.Requests != 2 || l.Queued != 1 || l.QueuedAudio != 1.5 || len(l.Windows) != 1 || l.Memory == 0 {
			t.Errorf("while the second waits the load is %+v", l)
		}
		time.Sleep(200 * time.Millisecond)
		l = e.Load()
		want := []WindowLoad{{Device: "fake", Language: "de", Priority: "normal"}, {Device: "fake", Language: "fr", Priority: "bulk"}}
		if l.Requests != 2 || l.Queued != 0 || !slices.Equal(l.Windows, want) || l.MaxWindows != 20 {
			t.Errorf("in the batch the load is %+v", l)
		}
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		e.Close()
		if l := e.Load(); !l.Stopped || !errors.Is(e.Err(), ErrCancelled) {
			t.Errorf("a closed engine's load is %+v", l)
		}
		// The second waits for the first's encoding and one step.
		if want := []time.Duration{0, fakeEncode + fakeStep - time.Millisecond}; !slices.Equal(seen.waits, want) {
			t.Errorf("waits of %v, want %v", seen.waits, want)
		}
		if want := (Encoded{Device: "fake", Windows: 1, Duration: fakeEncode}); len(seen.encoded) != 2 || seen.encoded[1] != want {
			t.Errorf("encoded %+v", seen.encoded)
		}
		if first := seen.stepped[0]; first != (Stepped{Device: "fake", Rows: 1, Windows: 1, Duration: fakeStep}) {
			t.Errorf("the first step is %+v", first)
		}
		if !slices.ContainsFunc(seen.stepped, func(s Stepped) bool { return s.Windows == 2 && s.Rows == 2 }) {
			t.Error("no step of two windows")
		}
		if len(seen.finished) != 2 {
			t.Fatalf("finished: %+v", seen.finished)
		}
		if f := seen.finished[0]; f.Language != "de" || f.Audio != 1 || f.Client != "anna" || f.Err != nil || f.Duration < 400*time.Millisecond {
			t.Errorf("the first ended as %+v", f)
		}
		if f := seen.finished[1]; !errors.Is(f.Err, ErrCancelled) || f.Priority != Bulk {
			t.Errorf("the cancelled one ended as %+v", f)
		}
	})
}

// TestObserverIsToldOfFallback checks the reasons, that silence is told, and that adapters are counted, with a model whose
// every window fails or is silent.
func TestObserverIsToldOfFallback(t *testing.T) {
	var seen observation
	e := newEngine(t, true, Options{Observer: seen.observer()})
	e.Watch(func([]whisper.Utterance) {}, func(_ []whisper.Utterance, ds []whisper.Decoded) {
		switch d := &ds[0]; d.Language {
		case "cs":
			d.AvgLogProb, d.CompressionRatio, d.NoSpeechProb = -0.1, 9, 0
		case "de":
			d.AvgLogProb, d.CompressionRatio, d.NoSpeechProb = -5, 1, 0
		default:
			d.AvgLogProb, d.CompressionRatio, d.NoSpeechProb = -5, 1, 0.99
		}
	})
	for lang, want := range map[string]Fallback{"cs": FallbackCompressionRatio, "de": FallbackLogProb, "en": ""} {
		seen = observation{}
		r := transcribe(t, e, chirp(300, 1, Request{Language: lang}))[0]
		n := len(temperatures) - 1
		if want == "" {
			n = 0
		}
		if r.Err != nil || !slices.Equal(seen.fallbacks, slices.Repeat([]Fallback{want}, n)) {
			t.Errorf("%s: fallbacks %q, %v", lang, seen.fallbacks, r.Err)
		}
		if (seen.silent == 1) != (lang == "en") {
			t.Errorf("%s: silent %d times", lang, seen.silent)
		}
		if adapters := seen.stepped[0].Adapters; adapters != len(e.AdapterOf(lang))/2 {
			t.Errorf("%s: %d adapters in a step", lang, adapters)
		}
	}
}

// TestSegmentsAreToldInOrder checks that Request.Segment is told exactly the segments of the result, one behind the other, of
// recordings of several windows, also where these are decoded side by side and end in any order.
func TestSegmentsAreToldInOrder(t *testing.T) {
	e := newEngine(t, true, Options{})
	for name, q := range map[string]Request{
		"one behind the other": chirp(300, 9, Request{Timestamps: true}),
		"with words":           chirp(350, 9, Request{Words: &usual, Language: "cs"}),
		"switching":            chirp(320, 5, Request{SwitchLanguage: true, Languages: []string{"cs", "de"}}),
		"side by side":         speechAt(chirp(420, 12, Request{Words: &usual}), [2]float64{0, 1.5}, [2]float64{2, 4.1}, [2]float64{5, 7.9}, [2]float64{8.5, 11}),
	} {
		var told []Segment
		q.Segment = func(s Segment) { told = append(told, s) }
		r := transcribe(t, e, q)[0]
		if r.Err != nil || len(r.Segments) < 2 || !reflect.DeepEqual(told, r.Segments) {
			t.Errorf("%s: told\n%+v of\n%+v, %v", name, told, r.Segments, r.Err)
		}
		for _, s := range r.Segments {
			if q.SwitchLanguage != (s.Adapter != "" && s.Adapter == e.AdapterOf(s.Language)) {
				t.Errorf("%s: a segment in %q has adapter %q", name, s.Language, s.Adapter)
			}
		}
	}
}

// TestSilenceTellsNoSegments checks a recording without speech.
func TestSilenceTellsNoSegments(t *testing.T) {
	e := newEngine(t, true, Options{})
	q := chirp(300, 1, Request{Speech: func([]float32) ([]audio.Span, error) { return nil, nil }})
	q.Segment = func(s Segment) { t.Errorf("told %+v", s) }
	if r := transcribe(t, e, q)[0]; r.Err != nil || len(r.Segments) != 0 {
		t.Errorf("%+v, %v", r, r.Err)
	}
}
