package audio

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/mjibson/go-dsp/fft"
	"github.com/mjibson/go-dsp/window"
)

// noise is n samples of white noise, the same for the same seed.
func noise(n int, amplitude float32, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = amplitude * (2*r.Float32() - 1)
	}
	return x
}

func TestPowerSpectrumIsThatOfGoDSP(t *testing.T) {
	hann := window.Hann(NFFT + 1)[:NFFT]
	tables := newDFTTables(hann)
	inputs := map[string][]float32{"noise": noise(NFFT, 1, 1), "quiet noise": noise(NFFT, 1e-4, 2)}
	for _, at := range []int{1, 7, 200, 399} {
		impulse := make([]float32, NFFT)
		impulse[at] = 1
		inputs["impulse at "+string(rune('0'+at%10))] = impulse
	}
	for name, x := range inputs {
		windowed := make([]float64, NFFT)
		for i := range windowed {
			windowed[i] = float64(x[i]) * hann[i]
		}
		want := fft.FFTReal(windowed)
		var s spectrum
		for i := range s.power {
			s.power[i] = math.NaN()
		}
		tables.powerSpectrum(&s, (*[NFFT]float32)(x))
		energy := 0.0
		for _, v := range windowed {
			energy += v * v
		}
		for k, got := range s.power {
			p := real(want[k])*real(want[k]) + imag(want[k])*imag(want[k])
			if d := math.Abs(got - p); !(d <= 1e-12*energy) {
				t.Errorf("%s: power[%d] = %g, go-dsp has %g", name, k, got, p)
			}
		}
	}
}

// TestLogMelIsItsDefinition holds LogMel against its equation written with go-dsp's transform and dense filters.
func TestLogMelIsItsDefinition(t *testing.T) {
	pcm := noise(4000, 0.3, 3)
	for i := range 1500 {
		pcm[1000+i] *= 1e-3
	}
	for _, nMels := range []int{80, 128} {
		for _, pad := range []int{0, 1000} {
			want := referenceLogMel(pcm, nMels, pad)
			got, err := LogMelPadded(pcm, nMels, pad)
			if err != nil {
				t.Fatal(err)
			}
			if got.Frames != len(want) || got.Content() != len(pcm)/HopLength {
				t.Fatalf("%d mels, pad %d: %d frames, %d content", nMels, pad, got.Frames, got.Content())
			}
			for f, row := range want {
				for m, v := range row {
					if d := math.Abs(v - float64(got.Frame(f)[m])); d > 1e-6 {
						t.Fatalf("%d mels, pad %d: frame %d mel %d = %g, want %g", nMels, pad, f, m, got.Frame(f)[m], v)
					}
				}
			}
		}
	}
}

func referenceLogMel(pcm []float32, nMels, pad int) [][]float64 {
	padded := append(append([]float32(nil), pcm...), make([]float32, pad)...)
	at := func(i int) float64 {
		if i < 0 {
			i = -i
		}
		if i >= len(padded) {
			i = 2*(len(padded)-1) - i
		}
		return float64(padded[i])
	}
	hann := window.Hann(NFFT + 1)[:NFFT]
	filters := denseFilters(nMels)
	peak := math.Inf(-1)
	mel := make([][]float64, len(padded)/HopLength)
	for f := range mel {
		x := make([]float64, NFFT)
		for i := range x {
			x[i] = hann[i] * at(f*HopLength-NFFT/2+i)
		}
		spectrum := fft.FFTReal(x)
		mel[f] = make([]float64, nMels)
		for m := range mel[f] {
			sum := 0.0
			for k, w := range filters[m] {
				sum += w * (real(spectrum[k])*real(spectrum[k]) + imag(spectrum[k])*imag(spectrum[k]))
			}
			mel[f][m] = math.Log10(max(sum, 1e-10))
			peak = max(peak, mel[f][m])
		}
	}
	for _, row := range mel {
		for m := range row {
			row[m] = (max(row[m], peak-8) + 4) / 4
		}
	}
	return mel
}

// denseFilters is the filter bank as a matrix (nMels, NFFT/2+1).
func denseFilters(nMels int) [][]float64 {
	f := newMelFilters(nMels)
	dense := make([][]float64, nMels)
	for m := range dense {
		dense[m] = make([]float64, NFFT/2+1)
		copy(dense[m][f.first[m]:], f.weights[f.start[m]:f.start[m+1]])
	}
	return dense
}

// TestMelFiltersAreUpstreams compares with openai/whisper's assets/mel_filters.npz, made by librosa in float32.
func TestMelFiltersAreUpstreams(t *testing.T) {
	z, err := zip.OpenReader(dataFile(t, "mel_filters.npz of openai/whisper", "assets", "mel_filters.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for name, nMels := range map[string]int{"mel_80.npy": 80, "mel_128.npy": 128} {
		r, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		// An .npy of version 1: magic and version (8 bytes), length of the header (2 bytes), the header, the values.
		n := int(binary.LittleEndian.Uint16(b[8:]))
		header, values := string(b[10:10+n]), b[10+n:]
		if !strings.Contains(header, "'<f4'") || !strings.Contains(header, "'fortran_order': False") {
			t.Fatalf("%s: header %s", name, header)
		}
		if want := 4 * nMels * (NFFT/2 + 1); len(values) != want {
			t.Fatalf("%s: %d bytes of values, want %d", name, len(values), want)
		}
		for m, row := range denseFilters(nMels) {
			for k, w := range row {
				want := math.Float32frombits(binary.LittleEndian.Uint32(values[4*(m*len(row)+k):]))
				if d := math.Abs(float64(want) - w); d > 1e-8 {
					t.Fatalf("%s: filter %d bin %d = %g, want %g", name, m, k, w, want)
				}
			}
		}
	}
}

func TestLog10(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	for range 100000 {
		x := math.Pow(10, 60*r.Float64()-20)
		if d := math.Abs(log10(x) - math.Log10(x)); !(d < 1e-9) {
			t.Fatalf("log10(%g) = %g, off by %g", x, log10(x), d)
		}
	}
	for _, x := range []float64{1, 10, 1e-10, 0.5, math.Sqrt2, math.Sqrt2 / 2, math.Nextafter(1, 0), math.Nextafter(1, 2)} {
		if d := math.Abs(log10(x) - math.Log10(x)); !(d < 1e-9) {
			t.Errorf("log10(%g) = %g, off by %g", x, log10(x), d)
		}
	}
}

func TestLogMelOfSilence(t *testing.T) {
	m, err := LogMelPadded(nil, 80, ChunkSamples)
	if err != nil {
		t.Fatal(err)
	}
	if m.Frames != ChunkFrames || m.Content() != 0 {
		t.Errorf("%d frames, %d content", m.Frames, m.Content())
	}
	for i, v := range m.Data {
		if v != -1.5 {
			t.Fatalf("value %d = %g, want -1.5", i, v)
		}
	}
}

func TestLogMelShortClips(t *testing.T) {
	for n := range 700 {
		m, err := LogMel(noise(n, 1, 5), 80)
		switch {
		case n < HopLength && !errors.Is(err, ErrEmpty):
			t.Errorf("%d samples: %v, want ErrEmpty", n, err)
		case n >= HopLength && (err != nil || m.Frames != n/HopLength || len(m.Data) != m.Frames*80):
			t.Errorf("%d samples: %d frames, %v", n, m.Frames, err)
		}
	}
}

func TestLogMelRefusesNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, at := range []int{0, 200, 1000, 1599} {
			pcm := noise(1600, 1, 6)
			pcm[at] = float32(bad)
			if _, err := LogMel(pcm, 80); !errors.Is(err, ErrNotFinite) {
				t.Errorf("%g at sample %d: %v, want ErrNotFinite", bad, at, err)
			}
		}
	}
	for _, nMels := range []int{-1, 0, 201} {
		if _, err := LogMel(noise(1600, 1, 6), nMels); err == nil {
			t.Errorf("%d mels: no error", nMels)
		}
	}
}

func TestMelWindow(t *testing.T) {
	pcm := noise(50*HopLength, 1, 7)
	m, err := LogMelPadded(pcm, 80, 100*HopLength)
	if err != nil {
		t.Fatal(err)
	}
	for _, seek := range []int{0, 10, 49, 50, 200} {
		w := m.Window(seek, 30)
		content := min(max(50-seek, 0), 30)
		if w.Frames != 30 || w.Content() != content || w.NMels != 80 {
			t.Errorf("Window(%d, 30) has %d frames, %d content, want %d", seek, w.Frames, w.Content(), content)
		}
		for i := range 30 {
			for k, v := range w.Frame(i) {
				want := float32(0)
				if i < content {
					want = m.Frame(seek + i)[k]
				}
				if v != want {
					t.Fatalf("Window(%d, 30): frame %d mel %d = %g, want %g", seek, i, k, v, want)
				}
			}
		}
	}
	for _, c := range []struct{ from, to, content int }{{0, 150, 50}, {0, 50, 50}, {40, 60, 10}, {60, 70, 0}, {20, 20, 0}} {
		s := m.Slice(c.from, c.to)
		if s.Frames != c.to-c.from || s.Content() != c.content || len(s.Data) != 80*s.Frames {
			t.Errorf("Slice(%d, %d) has %d frames, %d content, want %d", c.from, c.to, s.Frames, s.Content(), c.content)
		}
	}
}

func TestPadOrTrim(t *testing.T) {
	pcm := []float32{1, 2, 3}
	if got := PadOrTrim(pcm, 2); len(got) != 2 || cap(got) != 2 || got[1] != 2 {
		t.Errorf("trimmed to %v", got)
	}
	if got := PadOrTrim(pcm, 5); len(got) != 5 || got[2] != 3 || got[4] != 0 {
		t.Errorf("padded to %v", got)
	}
}

func TestExtractorIsSharedByGoroutines(t *testing.T) {
	e, err := NewExtractor(80)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for seed := range uint64(4) {
		wait.Go(func() {
			pcm := noise(16000, 0.5, seed)
			want, err := LogMel(pcm, 80)
			if err != nil {
				t.Error(err)
				return
			}
			var got Mel
			for range 3 {
				if err := e.LogMel(&got, pcm, 0); err != nil {
					t.Error(err)
					return
				}
			}
			for i, v := range want.Data {
				if got.Data[i] != v {
					t.Errorf("seed %d: value %d differs", seed, i)
					return
				}
			}
		})
	}
	wait.Wait()
}

func TestExtractorDoesNotAllocate(t *testing.T) {
	e, err := NewExtractor(128)
	if err != nil {
		t.Fatal(err)
	}
	pcm := noise(16000, 0.5, 8)
	var m Mel
	n := testing.AllocsPerRun(3, func() {
		if err := e.LogMel(&m, pcm, 16000); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%g allocations a run, want 0", n)
	}
}

func BenchmarkLogMel(b *testing.B) {
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
				if err := e.LogMel(&m, pcm, 0); err != nil {
					b.Fatal(err)
				}
			}
			perRun := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(1000*perRun, "ms/30s")
			b.ReportMetric(ChunkLength/perRun, "RTFx")
		})
	}
}

func BenchmarkPowerSpectrum(b *testing.B) {
	x := noise(NFFT, 1, 10)
	hann := window.Hann(NFFT + 1)[:NFFT]
	b.Run("prime-factor", func(b *testing.B) {
		tables := newDFTTables(hann)
		var s spectrum
		for b.Loop() {
			tables.powerSpectrum(&s, (*[NFFT]float32)(x))
		}
	})
	b.Run("go-dsp", func(b *testing.B) {
		windowed := make([]float64, NFFT)
		for b.Loop() {
			for i := range windowed {
				windowed[i] = float64(x[i]) * hann[i]
			}
			fft.FFTReal(windowed)
		}
	})
}
