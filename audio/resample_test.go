package audio

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"
)

func sine(hz float64, rate, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(2 * math.Pi * hz * float64(i) / float64(rate)))
	}
	return x
}

// amplitude is that of the component at hz in x at SampleRate, by a Hann-windowed DFT of one bin, and its phase as a sine.
func amplitude(x []float32, hz float64) (level, phase float64) {
	sum, norm := complex(0, 0), 0.0
	for i, v := range x {
		w := 1 - math.Cos(2*math.Pi*float64(i)/float64(len(x)))
		sum += complex(w*float64(v), 0) * cmplx.Exp(complex(0, -2*math.Pi*hz*float64(i)/SampleRate))
		norm += w
	}
	sum *= complex(0, 2/norm)
	return cmplx.Abs(sum), cmplx.Phase(sum)
}

func decibels(level float64) float64 { return 20 * math.Log10(max(level, 1e-12)) }

var resampleRates = []int{8000, 11025, 12000, 15999, 16001, 22050, 24000, 32000, 44100, 47999, 48000, 88200, 96000, 192000, 384000}

func TestResampleKeepsLevelAndTime(t *testing.T) {
	for _, rate := range resampleRates {
		nyquist := float64(min(rate, SampleRate)) / 2
		for _, part := range []float64{0.01, 0.5, 0.9} {
			hz := math.Round(part * nyquist)
			y := Resample(sine(hz, rate, rate/4), rate)
			level, phase := amplitude(y[500:3500], hz)
			phase = math.Remainder(phase-2*math.Pi*hz*500/SampleRate, 2*math.Pi)
			if d := math.Abs(decibels(level)); d > 0.01 {
				t.Errorf("%d Hz: a sine of %g Hz changes by %.4f dB", rate, hz, d)
			}
			if math.Abs(phase) > 1e-4 {
				t.Errorf("%d Hz: a sine of %g Hz is shifted by %g rad", rate, hz, phase)
			}
		}
	}
}

// TestResampleRejectsAliases feeds sines between the two Nyquist frequencies, closest together at the edge: nothing may be left of them.
func TestResampleRejectsAliases(t *testing.T) {
	for _, rate := range []int{22050, 44100, 47999, 48000, 192000} {
		for above := 1.0; SampleRate+2*above < float64(rate); above *= 1.9 {
			hz := SampleRate/2 + above
			y := Resample(sine(hz, rate, rate/8), rate)
			if db := decibels(rms(y[500:1500]) * math.Sqrt2); db > -80 {
				t.Errorf("%d Hz: a sine of %g Hz leaves %.1f dB", rate, hz, db)
			}
		}
	}
}

// TestResampleRejectsImages looks at the residue beside a sine that is up-sampled.
func TestResampleRejectsImages(t *testing.T) {
	for _, rate := range []int{8000, 11025, 12000, 15999} {
		for _, part := range []float64{0.1, 0.5, 0.85} {
			hz := part * float64(rate) / 2
			y := Resample(sine(hz, rate, rate/2), rate)
			residue := make([]float32, 6000)
			for i := range residue {
				residue[i] = float32(float64(y[1000+i]) - math.Sin(2*math.Pi*hz*float64(1000+i)/SampleRate))
			}
			if db := decibels(rms(residue) * math.Sqrt2); db > -80 {
				t.Errorf("%d Hz: a sine of %g Hz has a residue of %.1f dB", rate, hz, db)
			}
		}
	}
}

func rms(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(x)))
}

func TestResampleInPiecesIsResample(t *testing.T) {
	for _, rate := range []int{8000, 16001, 44100, 48000, 192000} {
		pcm := noise(rate/4+13, 1, uint64(rate))
		want := Resample(pcm, rate)
		r := NewResampler(rate)
		var got []float32
		for size, rest := 1, pcm; len(rest) > 0; size = size*3%1009 + 1 {
			n := min(size, len(rest))
			got = r.Append(got, rest[:n])
			rest = rest[n:]
		}
		got = r.Flush(got)
		if len(got) != len(want) {
			t.Fatalf("%d Hz: %d samples in pieces, %d at once", rate, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d Hz: sample %d = %g in pieces, %g at once", rate, i, got[i], want[i])
			}
		}
	}
}

func TestResampleLengths(t *testing.T) {
	for _, rate := range []int{MinSourceRate, 8000, 16001, 44100, 48000, MaxSourceRate} {
		for _, n := range []int{0, 1, 2, 3, 100, 441, 1234} {
			want := (n*SampleRate + rate - 1) / rate
			if got := len(Resample(make([]float32, n), rate)); got != want {
				t.Errorf("%d samples at %d Hz give %d, want %d", n, rate, got, want)
			}
		}
	}
	pcm := noise(100, 1, 1)
	if got := Resample(pcm, SampleRate); &got[0] != &pcm[0] {
		t.Error("Resample at SampleRate copies")
	}
}

func TestResampleConstant(t *testing.T) {
	for _, rate := range []int{8000, 11025, 15999, 44100, 47999, 96000} {
		pcm := make([]float32, rate/4)
		for i := range pcm {
			pcm[i] = 1
		}
		y := Resample(pcm, rate)
		for i, v := range y[1000:3000] {
			if math.Abs(float64(v)-1) > 1e-5 {
				t.Fatalf("%d Hz: sample %d of a constant 1 is %g", rate, 1000+i, v)
			}
		}
	}
}

func BenchmarkResample(b *testing.B) {
	const seconds = 30
	for _, rate := range []int{8000, 44100, 47999, 48000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			pcm := noise(seconds*rate, 0.5, 1)
			r := NewResampler(rate)
			dst := make([]float32, 0, seconds*SampleRate+1)
			for b.Loop() {
				dst = r.Append(dst[:0], pcm)
			}
			perRun := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(1000*perRun, "ms/30s")
			b.ReportMetric(seconds/perRun, "RTFx")
		})
	}
}

func BenchmarkNewResampler(b *testing.B) {
	for _, rate := range []int{8000, 44100, 47999, MaxSourceRate - 1} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) {
			for b.Loop() {
				NewResampler(rate)
			}
		})
	}
}
