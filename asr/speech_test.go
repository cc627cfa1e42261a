package asr

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"glossa/audio"
)

// randomSpans are spans of a recording, in order, some of which touch, and the samples of the recording.
func randomSpans(r *rand.Rand, n, longest int) (spans []audio.Span, samples int) {
	for range n {
		samples += r.IntN(2) * r.IntN(longest)
		start := samples
		samples += 1 + r.IntN(longest)
		spans = append(spans, audio.Span{Start: start, End: samples})
	}
	return spans, samples + r.IntN(longest)
}

// TestPackedSpeechIsAllSpeech checks that the windows hold every sample of speech once, in order, that none is too long or empty, and that
// none has room for what the next begins with, or has more than one part.
func TestPackedSpeechIsAllSpeech(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 1000 {
		together := round%2 == 0
		maxSamples := 100 + r.IntN(1000)
		spans, samples := randomSpans(r, r.IntN(30), 1+r.IntN(3000))
		recording := make([]float32, samples)
		for i := range recording {
			recording[i] = float32(i)
		}
		var want, got []float32
		for _, s := range spans {
			want = append(want, recording[s.Start:s.End]...)
		}
		windows := packSpeech(spans, maxSamples, together)
		for i, w := range windows {
			pcm := w.pcm(recording)
			if len(pcm) != w.length || w.length < 1 || w.length > maxSamples {
				t.Fatalf("window %d has %d samples and says %d: want at most %d", i, len(pcm), w.length, maxSamples)
			}
			if together && i > 0 && windows[i-1].length+w.parts[0].Len() <= maxSamples {
				t.Fatalf("window %d has room for %v", i-1, w.parts[0])
			}
			if !together && len(w.parts) > 1 {
				t.Fatalf("window %d has the parts %v", i, w.parts)
			}
			got = append(got, pcm...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("windows %v do not hold %v", windows, spans)
		}
	}
	if windows := packSpeech(nil, 100, true); len(windows) != 0 {
		t.Errorf("silence makes windows %v", windows)
	}
}

// TestTimesMapBack checks that a time in a window is the time in the recording of the same sample.
func TestTimesMapBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const half = 0.5 / audio.SampleRate
	for range 100 {
		spans, samples := randomSpans(r, 1+r.IntN(30), 1+r.IntN(400))
		recording := make([]float32, samples)
		for i := range recording {
			recording[i] = float32(i)
		}
		for _, w := range packSpeech(spans, 1000, true) {
			before := 0.0
			for i, want := range w.pcm(recording) {
				start := float64(i) / audio.SampleRate
				from, to := w.segmentTimes(start+half, start+half)
				if at := int(math.Floor(from * audio.SampleRate)); from != to || at != int(want) {
					t.Fatalf("sample %d of the window is at %g-%g: want %v", i, from*audio.SampleRate, to*audio.SampleRate, want)
				}
				if from < before {
					t.Fatalf("time goes back from %g to %g", before, from)
				}
				before = from
			}
			from, to := w.segmentTimes(0, 1e6)
			wantFrom, _ := w.parts[0].Seconds()
			_, wantTo := w.parts[len(w.parts)-1].Seconds()
			if from != wantFrom || to != wantTo {
				t.Fatalf("the whole window is %g-%g: want %g-%g", from, to, wantFrom, wantTo)
			}
		}
	}
}

// TestTimesBetweenParts checks which side a time is on that lies where one part ends and another starts.
func TestTimesBetweenParts(t *testing.T) {
	const second = audio.SampleRate
	w := packSpeech([]audio.Span{{Start: 10 * second, End: 12 * second}, {Start: 20 * second, End: 21 * second}}, 30*second, true)[0]
	for _, c := range []struct {
		times      func(start, end float64) (float64, float64)
		start, end float64
		want       [2]float64
	}{
		{w.segmentTimes, 0, 2, [2]float64{10, 12}},
		{w.segmentTimes, 2, 3, [2]float64{20, 21}},
		{w.segmentTimes, 0, 3, [2]float64{10, 21}},
		{w.segmentTimes, 1, 2.5, [2]float64{11, 20.5}},
		{w.segmentTimes, 2, 2, [2]float64{20, 20}},
		{w.segmentTimes, 3, 9, [2]float64{21, 21}},
		{w.segmentTimes, 4, 9, [2]float64{21, 21}},
		{w.wordTimes, 1.5, 2.25, [2]float64{11.5, 12}},
		{w.wordTimes, 1.75, 2.5, [2]float64{20, 20.5}},
		{w.wordTimes, 0.5, 1, [2]float64{10.5, 11}},
		{w.wordTimes, 2.75, 5, [2]float64{20.75, 21}},
	} {
		if from, to := c.times(c.start, c.end); from != c.want[0] || to != c.want[1] {
			t.Errorf("%g-%g is %g-%g: want %g", c.start, c.end, from, to, c.want)
		}
	}
}
