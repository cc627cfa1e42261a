package audio

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// framesHere returns what a device would compute in LogMelBy, and counts the frames.
func framesHere(e *Extractor, count *int) func(logs, highest, pcm []float32) error {
	return func(logs, highest, pcm []float32) error {
		*count += len(highest)
		var s melScratch
		for t := range highest {
			v, err := e.logFrame(&s, logs[t*e.nMels:(t+1)*e.nMels], pcm[:t*HopLength+NFFT], t*HopLength, len(pcm))
			if highest[t] = v; err != nil {
				highest[t] = float32(math.NaN())
			}
		}
		if len(pcm) != (len(highest)-1)*HopLength+NFFT || len(logs) != len(highest)*e.nMels {
			return errors.New("the samples are not those of the frames")
		}
		return nil
	}
}

// TestLogMelBy holds LogMelBy to LogMel, bit by bit, at all lengths that differ in how frames see the ends.
func TestLogMelBy(t *testing.T) {
	const nMels = 20
	e, err := NewExtractor(nMels)
	if err != nil {
		t.Fatal(err)
	}
	var want, got Mel
	for n := 0; n < 1500; n += 7 {
		pcm := noise(n, 1, 11)
		for _, padding := range []int{0, 100, 1000} {
			count := 0
			wantErr := e.LogMel(&want, pcm, padding)
			err := e.LogMelBy(&got, pcm, padding, framesHere(e, &count))
			if errors.Is(err, ErrEmpty) != errors.Is(wantErr, ErrEmpty) || (err == nil) != (wantErr == nil) {
				t.Fatalf("%d samples, padding %d: %v, want %v", n, padding, err, wantErr)
			}
			if err != nil {
				continue
			}
			if got.Frames != want.Frames || got.Padding != want.Padding || !slices.Equal(got.Data, want.Data) {
				t.Fatalf("%d samples, padding %d: not what LogMel computes", n, padding)
			}
			if most := want.Content(); count > most || count < most-4 {
				t.Fatalf("%d samples, padding %d: %d of %d frames are another's", n, padding, count, most)
			}
		}
	}
}

// TestLogMelByErrors checks that the error of the other comes back, and that numbers that are none are refused wherever they are.
func TestLogMelByErrors(t *testing.T) {
	e, err := NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	var m Mel
	broken := errors.New("it is broken")
	if err := e.LogMelBy(&m, noise(5000, 1, 12), 0, func(_, _, _ []float32) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want that it is broken", err)
	}
	count := 0
	for _, at := range []int{0, 150, 2000, 4800, 4999} {
		pcm := noise(5000, 1, 12)
		pcm[at] = float32(math.Inf(1))
		if err := e.LogMelBy(&m, pcm, 0, framesHere(e, &count)); !errors.Is(err, ErrNotFinite) {
			t.Errorf("sample %d: %v, want ErrNotFinite", at, err)
		}
	}
}

// BenchmarkLogMelBy measures what is left to do here of the log-mel of 30 s.
func BenchmarkLogMelBy(b *testing.B) {
	pcm := noise(ChunkSamples, 0.3, 9)
	for name, nMels := range map[string]int{"80": 80, "128": 128} {
		b.Run(name, func(b *testing.B) {
			e, err := NewExtractor(nMels)
			if err != nil {
				b.Fatal(err)
			}
			var m Mel
			b.ReportAllocs()
			for b.Loop() {
				if err := e.LogMelBy(&m, pcm, 0, func(_, _, _ []float32) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1000*b.Elapsed().Seconds()/float64(b.N), "ms/30s")
		})
	}
}
