package train

import (
	"math"
	"slices"
	"testing"

	"glossa/audio"
)

func TestResampleKeepsAToneAtItsSpeed(t *testing.T) {
	for _, speed := range []float64{0.88, 1, 1.12} {
		got, want := resample(tone(500, 0.5), speed), tone(500*speed, 0.5/speed)
		if d := len(got) - len(want); d < -1 || d > 1 {
			t.Fatalf("speed %v: %d samples, want %d", speed, len(got), len(want))
		}
		const edge = 3 // samples at the end whose neighbours are missing
		for i := range min(len(got), len(want)) - edge {
			if math.Abs(float64(got[i]-want[i])) > 2e-3 {
				t.Fatalf("speed %v: sample %d is %v, want %v", speed, i, got[i], want[i])
			}
		}
	}
}

func TestSpeechBoundsAreWhereTheToneIs(t *testing.T) {
	pcm := slices.Concat(make([]float32, 3200), tone(400, 0.5), make([]float32, 1600))
	if start, end := speechBounds(pcm); start != 3200 || end != 11200 {
		t.Errorf("speech from %d to %d, want 3200 to 11200", start, end)
	}
	if start, end := speechBounds(make([]float32, 1000)); start != 0 || end != 1000 {
		t.Errorf("silence: from %d to %d", start, end)
	}
}

func TestNoiseHasItsLevel(t *testing.T) {
	other := func() []float32 { return tone(700, 0.3) }
	for kind := range uint64(20) { // a random kind each
		x := make([]float32, 2*audio.SampleRate)
		addNoise(x, 0.05, newRand(kind, 9, 9), other)
		if got := rms(x); math.Abs(float64(got)-0.05) > 0.002 {
			t.Errorf("noise %d has the root mean square %v, want 0.05", kind, got)
		}
	}
}

func TestFiltersPassTheirBand(t *testing.T) {
	for _, c := range []struct {
		name      string
		filter    biquad
		frequency float64
		low, high float32 // of the gain
	}{
		{"low-pass, below", lowPass(2000), 200, 0.98, 1.02}, {"low-pass, at the cutoff", lowPass(2000), 2000, 0.68, 0.73},
		{"low-pass, above", lowPass(2000), 7000, 0, 0.05}, {"high-pass, above", highPass(300), 3000, 0.98, 1.02},
		{"high-pass, below", highPass(300), 50, 0, 0.05},
	} {
		x := tone(c.frequency, 1)
		before := rms(x[8000:])
		c.filter.apply(x)
		if gain := rms(x[8000:]) / before; gain < c.low || gain > c.high {
			t.Errorf("%s: gain %v at %v Hz, want %v to %v", c.name, gain, c.frequency, c.low, c.high)
		}
	}
}

func TestSoundIsVariedWithinItsBounds(t *testing.T) {
	a := DefaultAugment()
	pcm := tone(400, 1)
	for n := range uint64(50) {
		out, start, end := a.sound(pcm, newRand(1, 2, n), func() []float32 { return tone(900, 0.2) })
		length := float64(end-start) / audio.SampleRate
		if length < 1/(1+a.Speed)-0.02 || length > 1/(1-a.Speed)+0.02 {
			t.Errorf("example %d: %v s of speech from 1 s at speeds of 1±%v", n, length, a.Speed)
		}
		if silence := float64(len(out)-(end-start)) / audio.SampleRate; silence < 0 || silence > 2*a.Silence+0.02 {
			t.Errorf("example %d: %v s of silence", n, silence)
		}
	}
	out, start, end := Augment{}.sound(pcm, newRand(1, 2, 3), nil)
	if !slices.Equal(out, pcm) || start != 0 || end != len(pcm) {
		t.Error("the zero Augment changes the sound")
	}
}

func TestSpecAugmentMasksStripes(t *testing.T) {
	newMel := func() audio.Mel {
		m := audio.Mel{NMels: 80, Frames: 200, Data: make([]float32, 80*200)}
		for i := range m.Data {
			m.Data[i] = float32(math.Sin(float64(i)))
		}
		return m
	}
	before := newMel()
	a := Augment{FreqMasks: 2, TimeMasks: 3, FreqMask: 0.1, TimeMask: 0.05}
	most := 0
	for n := range uint64(30) {
		m, again := newMel(), newMel()
		a.spectrum(m, newRand(1, 1, n))
		a.spectrum(again, newRand(1, 1, n))
		if !slices.Equal(m.Data, again.Data) {
			t.Fatal("the same numbers mask differently")
		}
		changed := 0
		for i, v := range m.Data {
			if v != before.Data[i] {
				changed++
			}
		}
		most = max(most, changed)
	}
	if limit := 2*9*200 + 3*11*80; most == 0 || most > limit {
		t.Errorf("up to %d values masked, want 1 to %d", most, limit)
	}
}

func TestWarpAndTilt(t *testing.T) {
	m := audio.Mel{NMels: 5, Frames: 1, Data: []float32{0, 1, 2, 3, 4}}
	warp(m, 0.5)
	if want := []float32{0, 0.5, 1, 1.5, 2}; !slices.Equal(m.Data, want) {
		t.Errorf("warped by 0.5: %v, want %v", m.Data, want)
	}
	flat := audio.Mel{NMels: 3, Frames: 2, Data: []float32{1, 1, 1, 0, 0, 0}}
	tilt(flat, 4)
	// 4 dB are 0.4 decades, and a decade is a quarter.
	for i, want := range []float32{0.95, 1, 1.05, 0, 0, 0.05} {
		if math.Abs(float64(flat.Data[i]-want)) > 1e-6 {
			t.Errorf("tilted value %d is %v, want %v", i, flat.Data[i], want)
		}
	}
}
