package tensortest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// spectrogram returns windows of 400 samples by filters of random places and lengths, none among them too.
func spectrogram(filters, hop int) *tensor.Spectrogram {
	const n = 400
	rng := rand.New(rand.NewPCG(uint64(filters), uint64(hop)))
	s := &tensor.Spectrogram{Hop: hop, Start: []int32{0}, Floor: 1e-10}
	for i := range n {
		s.Window = append(s.Window, 0.5-0.5*math.Cos(2*math.Pi*float64(i)/n))
	}
	for m := range filters {
		length := rng.IntN(20)
		switch m {
		case 0:
			length = n/2 + 1
		case 1:
			length = 0
		}
		s.First = append(s.First, int32(rng.IntN(n/2+2-length)))
		for range length {
			s.Weights = append(s.Weights, rng.Float64()/20)
		}
		s.Start = append(s.Start, int32(len(s.Weights)))
	}
	return s
}

// testLogMel holds the log-mels of a device to the reference.
func testLogMel(t *testing.T, g tensor.Spectrographer) {
	for _, c := range []struct{ filters, hop, samples int }{
		{80, 160, 400}, {80, 160, 399}, {80, 160, 0}, {128, 160, 400 + 160*16}, {1, 160, 1000}, {2, 1, 430}, {200, 77, 3000}, {80, 600, 5000},
	} {
		t.Run(fmt.Sprintf("%d filters, hop %d, %d samples", c.filters, c.hop, c.samples), func(t *testing.T) {
			pcm := normalSound(c.samples)
			if err := agreesOnSound(g, pcm, spectrogram(c.filters, c.hop)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("NotFinite", func(t *testing.T) { notFiniteSound(t, g) })
	t.Run("Concurrency", func(t *testing.T) { soundsAtOnce(t, g) })
	t.Run("Unknown", func(t *testing.T) {
		form := &tensor.Spectrogram{Window: make([]float64, 256), Hop: 160, First: []int32{100}, Start: []int32{0, 1}, Weights: []float64{1}, Floor: 1}
		pcm := normalSound(1000)
		n := form.Frames(len(pcm))
		if err := g.LogMel(make([]float32, n), make([]float32, n), pcm, form); err != nil && !errors.Is(err, tensor.ErrSpectrum) {
			t.Errorf("a window of 256 samples: %v, want ErrSpectrum or none", err)
		}
	})
}

// normalSound returns noise with a silence in it.
func normalSound(samples int) []float32 {
	rng := rand.New(rand.NewPCG(uint64(samples), 7))
	pcm := make([]float32, samples)
	for i := range pcm {
		pcm[i] = float32(rng.NormFloat64()) / 4
	}
	clear(pcm[samples/2 : samples*3/4])
	return pcm
}

// agreesOnSound compares log-mels with the reference's: both are rounded to float32 from float64. What is written beside them is an
// error.
func agreesOnSound(g tensor.Spectrographer, pcm []float32, form *tensor.Spectrogram) error {
	const guard = 64
	n, filters := form.Frames(len(pcm)), len(form.First)
	want, wantHighest := make([]float32, n*filters), make([]float32, n)
	ref.LogMel(want, wantHighest, pcm, form)
	got, highest := slices.Repeat([]float32{poison}, n*filters+guard), slices.Repeat([]float32{poison}, n+guard)
	if err := g.LogMel(got[:n*filters:n*filters], highest[:n:n], pcm, form); err != nil {
		return err
	}
	for _, list := range [][]float32{got[n*filters:], highest[n:]} {
		for i, v := range list {
			if math.Float32bits(v) != math.Float32bits(poison) {
				return fmt.Errorf("number %d behind the result was written", i)
			}
		}
	}
	for t := range n {
		if w, h := float64(wantHighest[t]), float64(highest[t]); math.IsNaN(w) || math.IsNaN(h) {
			if math.IsNaN(w) != math.IsNaN(h) {
				return fmt.Errorf("frame %d: highest %v, want %v", t, h, w)
			}
			continue
		}
		for m := range filters {
			if d := math.Abs(float64(got[t*filters+m]) - float64(want[t*filters+m])); !(d <= 2e-6) {
				return fmt.Errorf("frame %d, filter %d: %v, want %v", t, m, got[t*filters+m], want[t*filters+m])
			}
		}
		if most := slices.Max(got[t*filters : (t+1)*filters]); highest[t] != most {
			return fmt.Errorf("frame %d: highest %v, its values have %v", t, highest[t], most)
		}
	}
	return nil
}

// notFiniteSound checks that frames with a number that is none are told, and others are not touched by it.
func notFiniteSound(t *testing.T, g tensor.Spectrographer) {
	form := spectrogram(80, 160)
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, at := range []int{0, 399, 401, 1599, 4999} {
			pcm := normalSound(5000)
			pcm[at] = float32(bad)
			if err := agreesOnSound(g, pcm, form); err != nil {
				t.Errorf("%v at sample %d: %v", bad, at, err)
			}
		}
	}
}

// soundsAtOnce asks for log-mels of two forms from several goroutines.
func soundsAtOnce(t *testing.T, g tensor.Spectrographer) {
	forms := []*tensor.Spectrogram{spectrogram(80, 160), spectrogram(128, 160)}
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for round := range 2 {
				if err := agreesOnSound(g, normalSound(1000+300*i), forms[(i+round)%2]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}
