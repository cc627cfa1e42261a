package audio

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestMelStreamIsLogMel pins that a window of a stream is bitwise what LogMelPadded makes of its samples, however the samples came
// and whatever was dropped before.
func TestMelStreamIsLogMel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 40 {
		e, err := NewExtractor([]int{80, 128}[round%2])
		if err != nil {
			t.Fatal(err)
		}
		pcm := noise(HopLength*(20+rng.IntN(200))+rng.IntN(HopLength), 0.5, uint64(round))
		for i := range pcm { // loud and soft by turns
			pcm[i] *= float32(math.Pow(10, -4*math.Abs(math.Sin(float64(i)/9000))))
		}
		s := NewMelStream(e)
		var got Mel
		for rest := pcm; len(rest) > 0; {
			n := min(len(rest), rng.IntN(3000))
			s.Push(rest[:n])
			rest = rest[n:]
			if rng.IntN(4) == 0 {
				s.Drop(s.First() + rng.IntN(10))
			}
			from := s.First() + rng.IntN(s.Frames()-s.First()+1)
			to := from + rng.IntN(s.Frames()-from+1)
			pad := rng.IntN(2) * rng.IntN(4000)
			want, wantErr := LogMelPadded(pcm[from*HopLength:to*HopLength], e.nMels, pad)
			err := s.Window(&got, from, to, pad)
			if !errors.Is(err, ErrEmpty) == (wantErr != nil) {
				t.Fatalf("frames %d to %d: %v, want %v", from, to, err, wantErr)
			}
			if err == nil && (got.Frames != want.Frames || got.Padding != want.Padding || !slices.Equal(got.Data, want.Data)) {
				t.Fatalf("frames %d to %d of %d, first %d, padding %d: not the log-mel of these samples", from, to, s.Frames(), s.First(), pad)
			}
		}
	}
}

func TestMelStreamKeepsWhatIsNeeded(t *testing.T) {
	e, err := NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	s, m := NewMelStream(e), Mel{}
	minute := noise(SampleRate, 0.1, 9)
	for second := range 60 {
		s.Push(minute)
		if err := s.Window(&m, s.First(), s.Frames(), 0); err != nil {
			t.Fatal(err)
		}
		s.Drop(s.Frames() - 50)
		if held := cap(s.pcm) + cap(s.logs); second > 2 && held > 4*SampleRate {
			t.Fatalf("%d numbers are held after %d s", held, second)
		}
	}
	s.Drop(s.Frames())
	if s.Frames() != 60*FramesPerSec || cap(s.pcm) > 4*HopLength || cap(s.logs) > 4*HopLength {
		t.Errorf("%d frames, memory of %d samples and %d powers is left", s.Frames(), cap(s.pcm), cap(s.logs))
	}
}

func TestMelStreamNotFinite(t *testing.T) {
	e, err := NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	pcm := noise(SampleRate, 0.1, 9)
	pcm[5*HopLength] = float32(math.NaN())
	s, m := NewMelStream(e), Mel{}
	s.Push(pcm)
	if err := s.Window(&m, 0, s.Frames(), 0); !errors.Is(err, ErrNotFinite) {
		t.Errorf("a sample that is none: %v", err)
	}
	if err := s.Window(&m, 10, s.Frames(), 0); err != nil {
		t.Errorf("behind it: %v", err)
	}
}

func TestMelStreamAllocatesNothing(t *testing.T) {
	e, err := NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	s, m := NewMelStream(e), Mel{}
	s.Push(noise(2*SampleRate, 0.1, 9))
	look := func() {
		if err := s.Window(&m, 20, s.Frames(), 1000); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if n := testing.AllocsPerRun(10, look); n != 0 {
		t.Errorf("a window that was there before allocates %v times", n)
	}
}

func BenchmarkMelStreamWindow(b *testing.B) {
	e, err := NewExtractor(80)
	if err != nil {
		b.Fatal(err)
	}
	s, m := NewMelStream(e), Mel{}
	s.Push(noise(20*SampleRate, 0.1, 9))
	for b.Loop() {
		if err := s.Window(&m, 0, s.Frames(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
