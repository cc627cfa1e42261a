package audio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// jfk is a clip of 11 s of which the spans of speech are published.
func jfk(t testing.TB) []float32 {
	t.Helper()
	pcm, err := DecodeFile(dataFile(t, "recording of jfk", "audio", "en", "jfk.wav"))
	if err != nil {
		t.Fatal(err)
	}
	return pcm.Samples
}

// spokenLike is n samples of synthetic vowels: pulses of a gliding pitch through three resonators that move, four syllables a second, of
// the given root mean square.
func spokenLike(n int, rms float64, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	x := make([]float64, n)
	phase, pitch := 0.0, 120.0
	var state [3][2]float64
	formants, goal := [3]float64{500, 1500, 2500}, [3]float64{500, 1500, 2500}
	energy := 0.0
	for i := range x {
		const syllable = SampleRate / 4
		if i%syllable == 0 {
			goal = [3]float64{300 + 500*r.Float64(), 900 + 1300*r.Float64(), 2300 + 700*r.Float64()}
			pitch = 100 + 60*r.Float64()
		}
		loud := math.Sin(math.Pi * float64(i%syllable) / syllable)
		v := 0.0
		if phase += pitch / SampleRate; phase >= 1 {
			phase--
			v = 1
		}
		for f := range formants {
			formants[f] += (goal[f] - formants[f]) / 800
			const decay = 0.98
			y := v + 2*decay*math.Cos(2*math.Pi*formants[f]/SampleRate)*state[f][0] - decay*decay*state[f][1]
			state[f] = [2]float64{y, state[f][0]}
			x[i] += y * loud / float64(f+1)
		}
		energy += x[i] * x[i]
	}
	out := make([]float32, n)
	scale := rms / math.Sqrt(energy/float64(n))
	for i, v := range x {
		out[i] = float32(v * scale)
	}
	return out
}

// add is x with y added from sample at on.
func add(x, y []float32, at int) []float32 {
	x = slices.Clone(x)
	for i, v := range y {
		x[at+i] += v
	}
	return x
}

// hum is the mains: 50 Hz and eleven harmonics.
func hum(n int, amplitude float64) []float32 {
	x := make([]float32, n)
	for h := 1; h <= 12; h++ {
		x = add(x, sine(50*float64(h), SampleRate, n), 0)
	}
	for i := range x {
		x[i] *= float32(amplitude / 12)
	}
	return x
}

func TestLongTermDetectorIsSilentWhereNobodySpeaks(t *testing.T) {
	const n = 6 * SampleRate
	constant := slices.Repeat([]float32{0.3}, n)
	clicks := noise(n, 1e-4, 1)
	for i := SampleRate / 2; i < n; i += SampleRate {
		clicks[i] = 0.9
	}
	sounds := map[string][]float32{
		"silence":               make([]float32, n),
		"constant":              constant,
		"constant begins":       add(make([]float32, n), constant[n/2:], n/2),
		"hum":                   add(noise(n, 1e-4, 2), hum(n, 0.3), 0),
		"hum in silence":        hum(n, 0.3),
		"clicks":                clicks,
		"a tone":                sine(440, SampleRate, n),
		"noise gets louder":     add(noise(n, 1e-3, 3), noise(n/2, 0.1, 4), n/2),
		"noise comes and goes":  add(noise(n, 1e-3, 5), noise(n/4, 0.05, 6), n/3),
		"one sample":            {1},
		"less than a transform": noise(NFFT-1, 0.5, 7),
		"nothing":               nil,
	}
	for _, amplitude := range []float32{1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1} {
		for seed := range uint64(3) {
			sounds["noise of "+string(rune('0'+seed))+" at "+time.Duration(amplitude*1e9).String()] = noise(n, amplitude, seed)
		}
	}
	for name, pcm := range sounds {
		if spans := FindSpeech(NewLongTermDetector(), pcm, DefaultSpeechOptions()); len(spans) > 0 {
			t.Errorf("%s: speech at %v", name, spans)
		}
	}
}

// TestLongTermDetectorHearsSpeechAtAnyLevel checks that synthetic speech of 2 s is found where it is, loud or low, in silence and in noise.
func TestLongTermDetectorHearsSpeechAtAnyLevel(t *testing.T) {
	const n, from, long = 8 * SampleRate, 3 * SampleRate, 2 * SampleRate
	const slack = 3 * SampleRate / 10
	o := DefaultSpeechOptions()
	o.MinSilence = 300 * ms
	for _, c := range []struct{ rms, noise float64 }{
		{0.3, 0}, {0.03, 0}, {3e-3, 0}, {1e-3, 0}, {0.3, 0.1}, {0.1, 0.03}, {0.01, 1e-3}, {1e-3, 1e-4},
	} {
		pcm := add(noise(n, float32(c.noise), 8), spokenLike(long, c.rms, 9), from)
		spans := FindSpeech(NewLongTermDetector(), pcm, o)
		if len(spans) == 0 || spans[0].Start > from+slack || spans[0].Start < from-slack ||
			spans[len(spans)-1].End > from+long+slack || spans[len(spans)-1].End < from+long-slack {
			t.Errorf("speech of %g in noise of %g: %v: want about [{%d %d}]", c.rms, c.noise, spans, from, from+long)
		}
	}
}

// TestLongTermDetectorComesNearSilero checks that no speech that Silero's network finds in a true recording is missed, and that little else
// is found.
func TestLongTermDetectorComesNearSilero(t *testing.T) {
	pcm := jfk(t)
	spans := FindSpeech(NewLongTermDetector(), pcm, DefaultSpeechOptions())
	t.Logf("built in: %v", inSeconds(spans))
	const slack = 0.2
	extra := 0.0
	for _, s := range inSeconds(spans) {
		extra += s[1] - s[0]
	}
	for _, want := range jfkSpans {
		extra -= want[1] - want[0]
		if !slices.ContainsFunc(inSeconds(spans), func(s [2]float64) bool { return s[0] <= want[0]+slack && s[1] >= want[1]-slack }) {
			t.Errorf("speech at %v is not whole in %v", want, inSeconds(spans))
		}
	}
	if extra > 2 {
		t.Errorf("%.2f s more than Silero's network finds in 11 s: %v", extra, inSeconds(spans))
	}
}

func inSeconds(spans []Span) [][2]float64 {
	s := make([][2]float64, len(spans))
	for i := range s {
		s[i][0], s[i][1] = spans[i].Seconds()
	}
	return s
}

// detectors are the implementations of Detector, without any files.
func detectors(t testing.TB) map[string]func() Detector {
	silero, err := NewSilero(randomTensors(1, sileroNamings[0]))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func() Detector{"long-term": NewLongTermDetector, "silero": silero.Detector}
}

// TestStreamIsTheWhole checks that a recording in chunks of any sizes has bitwise the probabilities of the whole, and the spans, also where
// the Detector has heard another before.
func TestStreamIsTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, newDetector := range detectors(t) {
		used := newDetector()
		for range 6 {
			n := r.IntN(2 * SampleRate)
			pcm := add(noise(n+SampleRate, 0.01, r.Uint64()), spokenLike(SampleRate, 0.1, r.Uint64()), r.IntN(n+1))[:n]
			whole := SpeechProbs(newDetector(), pcm)
			if frame := used.FrameSamples(); len(whole) != (n+frame-1)/frame {
				t.Fatalf("%s: %d probabilities of %d samples", name, len(whole), n)
			}
			o := randomSpeechOptions(r)
			stream := NewSpeechStream(newDetector(), o)
			var probs []float32
			var spans []Span
			take := func(events []SpeechEvent) {
				for _, e := range events {
					if e.Start {
						spans = append(spans, Span{e.At, none})
					} else {
						spans[len(spans)-1].End = e.At
					}
				}
			}
			for rest := pcm; len(rest) > 0; {
				k := 1 + r.IntN(min(len(rest), 1+r.IntN(2000)))
				probs = used.Push(probs, rest[:k])
				take(stream.Push(nil, rest[:k]))
				rest = rest[k:]
			}
			probs = used.Flush(probs)
			take(stream.Close(nil))
			if !slices.Equal(probs, whole) {
				t.Fatalf("%s: other probabilities of %d samples in chunks", name, n)
			}
			if want := FindSpeech(newDetector(), pcm, o); !slices.Equal(spans, want) {
				t.Fatalf("%s: spans %v in chunks: want %v", name, spans, want)
			}
		}
	}
}

// TestDetectorsSurviveBrokenSamples checks that NaN, infinities and absurd values are silence, and leave no trace.
func TestDetectorsSurviveBrokenSamples(t *testing.T) {
	broken := noise(SampleRate, 0.1, 3)
	silent := slices.Clone(broken)
	for i, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, -math.MaxFloat32} {
		for j := i; j < len(broken); j += 97 {
			broken[j], silent[j] = v, 0
		}
	}
	for name, newDetector := range detectors(t) {
		got := SpeechProbs(newDetector(), broken)
		if !slices.Equal(got, SpeechProbs(newDetector(), silent)) {
			t.Errorf("%s: other probabilities than of silence", name)
		}
		for i, p := range got {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("%s: probability %d is %v", name, i, p)
			}
		}
	}
}

func BenchmarkDetector(b *testing.B) {
	pcm := add(noise(10*SampleRate, 0.01, 1), spokenLike(5*SampleRate, 0.1, 2), 2*SampleRate)
	for name, newDetector := range detectors(b) {
		b.Run(name, func(b *testing.B) {
			d := newDetector()
			var probs []float32
			b.ReportAllocs()
			for b.Loop() {
				probs = d.Flush(d.Push(probs[:0], pcm))
			}
			b.ReportMetric(samplesDuration(int64(len(pcm)), SampleRate).Seconds()*float64(b.N)/b.Elapsed().Seconds(), "RTFx")
		})
	}
}
