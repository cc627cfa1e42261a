package asr

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"glossa/audio"
)

// speechAt returns a request for a recording that holds speech in the given spans, in seconds.
func speechAt(q Request, seconds ...[2]float64) Request {
	q.Speech = func([]float32) (spans []audio.Span, err error) {
		for _, s := range seconds {
			spans = append(spans, audio.Span{Start: int(s[0] * audio.SampleRate), End: int(s[1] * audio.SampleRate)})
		}
		return spans, nil
	}
	return q
}

// TestParallelWindowsAreRecordings checks that each window of a recording's speech has the text that
// it has as a recording of its own, at its place in the whole, whatever is decoded beside it.
func TestParallelWindowsAreRecordings(t *testing.T) {
	spans := [][2]float64{{0.5, 2}, {2.5, 4}, {4.5, 6.5}, {7, 8.75}}
	for _, unpadded := range []bool{false, true} {
		for _, q := range []Request{
			{Language: "cs", Timestamps: true},
			{Language: "de", Words: &usual, Timestamps: true, Decoding: Decoding{NoSpeechThreshold: Off()}},
			{Decoding: Decoding{LogProbThreshold: -0.01, BestOf: 2}},
		} {
			whole := chirp(300, 9, q)
			pcm, _ := whole.Audio()
			e := newEngine(t, unpadded, Options{})
			var want []Segment
			language := ""
			for _, s := range spans {
				part := q
				if language != "" {
					part.Language = language
				}
				part.Audio = func() ([]float32, error) {
					return pcm[int(s[0]*audio.SampleRate):int(s[1]*audio.SampleRate)], nil
				}
				r := transcribe(t, e, part)[0]
				if r.Err != nil {
					t.Fatal(r.Err)
				}
				language = r.Language
				for _, segment := range r.Segments {
					segment.ID, segment.Seek = len(want), segment.Seek+int(math.Round(s[0]*framesPerSecond))
					want = append(want, segment)
				}
			}
			for _, o := range []Options{{}, sized(1, 0), sized(3, 0)} {
				e := newEngine(t, unpadded, o)
				r := transcribe(t, e, chirp(500, 1, Request{Language: "en"}), speechAt(whole, spans...), chirp(400, 3, Request{}))[1]
				if r.Err != nil || r.Language != language || r.Duration != 9 || len(want) == 0 {
					t.Fatalf("unpadded %v: %+v, want language %q", unpadded, r, language)
				}
				if !slices.EqualFunc(r.Segments, want, sameText) {
					t.Errorf("unpadded %v, options %+v:\n%+v, want\n%+v", unpadded, o, r.Segments, want)
				}
				for _, s := range r.Segments {
					if !slices.ContainsFunc(spans, func(x [2]float64) bool { return x[0] <= s.Start && s.End <= x[1] }) {
						t.Errorf("segment %d from %v to %v s is in none of %v", s.ID, s.Start, s.End, spans)
					}
				}
			}
		}
	}
}

// sameText compares all of two segments but their times.
func sameText(a, b Segment) bool {
	word := func(a, b Word) bool { return a.Word == b.Word && a.Probability == b.Probability }
	words := slices.EqualFunc(a.Words, b.Words, word)
	a.Start, a.End, a.Words, b.Start, b.End, b.Words = 0, 0, nil, 0, 0, nil
	return words && reflect.DeepEqual(a, b)
}

func TestSilenceYieldsNothing(t *testing.T) {
	e := newEngine(t, true, Options{})
	results := transcribe(t, e, speechAt(chirp(300, 3, Request{})), speechAt(chirp(300, 3, Request{Language: "cs"}), [2]float64{1, 1.001}))
	for i, language := range []string{"", "cs"} {
		if want := (&Result{Language: language, Duration: 3}); !reflect.DeepEqual(results[i], want) {
			t.Errorf("%+v, want %+v", results[i], want)
		}
	}
}

func TestSpeechThatFails(t *testing.T) {
	e := newEngine(t, true, sized(2, 0))
	broken := errors.New("no detector")
	failing := chirp(300, 3, Request{})
	failing.Speech = func([]float32) ([]audio.Span, error) { return nil, broken }
	spans := [][2]float64{{0, 1.5}, {2, 3.5}, {4, 5.5}}
	good := speechAt(chirp(300, 6, Request{Language: "en"}), spans...)
	clips := good
	clips.Clips = []float64{0, 1}
	// What one window is given, another of the same recording cannot save.
	deaf := speechAt(chirp(300, 6, Request{Language: "en"}), spans...)
	pcm, _ := deaf.Audio()
	pcm[3*audio.SampleRate] = float32(math.NaN())
	results := transcribe(t, e, good, failing, deaf, clips, good)
	for i, want := range []error{nil, broken, audio.ErrNotFinite, ErrInvalid, nil} {
		if !errors.Is(results[i].Err, want) {
			t.Errorf("request %d: %v, want %v", i, results[i].Err, want)
		}
	}
	if !reflect.DeepEqual(results[0], results[4]) {
		t.Errorf("equal requests have results %+v and %+v", results[0], results[4])
	}
}
