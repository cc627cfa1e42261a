package train

import (
	"math"
	"math/rand/v2"

	"glossa/audio"
)

// babbleVoices is the largest number of voices in a babble.
const babbleVoices = 4

// addNoise adds noise of a random kind with the given root mean square to x: white, pink, brown,
// or, where other returns utterances, a babble of voices.
func addNoise(x []float32, level float32, rng *rand.Rand, other func() []float32) {
	kinds := 4
	if other == nil {
		kinds = 3
	}
	switch rng.IntN(kinds) {
	case 0:
		addWhite(x, level, rng)
	case 1:
		addScaled(x, pink(len(x), rng), level)
	case 2:
		addScaled(x, brown(len(x), rng), level)
	default:
		addScaled(x, babble(len(x), rng, other), level)
	}
}

// addScaled adds noise, brought to the given root mean square, to x.
func addScaled(x, noise []float32, level float32) {
	power := rms(noise)
	if power == 0 {
		return
	}
	gain := level / power
	for i, v := range noise {
		x[i] += gain * v
	}
}

// white is a source of independent numbers from -1 to 1 (xorshift64*, Vigna 2016): fast, and as
// random as noise need be.
type white uint64

func newWhite(rng *rand.Rand) white { return white(rng.Uint64() | 1) }

func (w *white) next() float32 {
	s := uint64(*w)
	s ^= s >> 12
	s ^= s << 25
	s ^= s >> 27
	*w = white(s)
	return float32(int32(s*0x2545f4914f6cdd1d>>32)) * (1.0 / (1 << 31))
}

// addWhite adds white noise with the given root mean square to x: a uniform number from -1 to 1
// has the mean square 1/3.
func addWhite(x []float32, level float32, rng *rand.Rand) {
	w, gain := newWhite(rng), level*float32(math.Sqrt(3))
	for i := range x {
		x[i] += gain * w.next()
	}
}

// pink returns n samples whose power falls by 3 dB an octave: P. Kellet's refined filter.
func pink(n int, rng *rand.Rand) []float32 {
	x, w := make([]float32, n), newWhite(rng)
	var b0, b1, b2 float32
	for i := range x {
		v := w.next()
		b0 = 0.99765*b0 + v*0.0990460
		b1 = 0.96300*b1 + v*0.2965164
		b2 = 0.57000*b2 + v*1.0526913
		x[i] = b0 + b1 + b2 + v*0.1848
	}
	return x
}

// brown returns n samples whose power falls by 6 dB an octave above 50 Hz.
func brown(n int, rng *rand.Rand) []float32 {
	x, w := make([]float32, n), newWhite(rng)
	const leak = 1 - 2*math.Pi*50/audio.SampleRate
	var v float32
	for i := range x {
		v = leak*v + w.next()
		x[i] = v
	}
	return x
}

// babble returns n samples of two or more voices at once, each repeated from a random place on.
func babble(n int, rng *rand.Rand, other func() []float32) []float32 {
	x := make([]float32, n)
	for range 2 + rng.IntN(babbleVoices-1) {
		voice := other()
		if len(voice) == 0 {
			continue
		}
		level := max(rms(voice), 1e-6)
		at := rng.IntN(len(voice))
		for i := range x {
			x[i] += voice[at] / level
			if at++; at == len(voice) {
				at = 0
			}
		}
	}
	return x
}

// narrow filters x in place: by a telephone line, 300 to 3400 Hz, or a low-pass somewhere from 2
// to 7 kHz.
func narrow(x []float32, rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		highPass(300).apply(x)
		lowPass(3400).apply(x)
		lowPass(3400).apply(x)
		return
	}
	cutoff := uniform(rng, 2000, 7000)
	lowPass(cutoff).apply(x)
	lowPass(cutoff).apply(x)
}

// biquad is y[t] = b0 x[t] + b1 x[t-1] + b2 x[t-2] - a1 y[t-1] - a2 y[t-2].
type biquad struct{ b0, b1, b2, a1, a2 float32 }

// lowPass and highPass return Butterworth filters of second order with a cutoff in Hz
// (R. Bristow-Johnson, Audio EQ Cookbook, Q = 1/√2).
func lowPass(cutoff float64) biquad {
	cos, alpha := cookbook(cutoff)
	return normalized((1-cos)/2, 1-cos, (1-cos)/2, 1+alpha, -2*cos, 1-alpha)
}

func highPass(cutoff float64) biquad {
	cos, alpha := cookbook(cutoff)
	return normalized((1+cos)/2, -(1 + cos), (1+cos)/2, 1+alpha, -2*cos, 1-alpha)
}

func cookbook(cutoff float64) (cos, alpha float64) {
	w := 2 * math.Pi * cutoff / audio.SampleRate
	return math.Cos(w), math.Sin(w) / math.Sqrt2
}

func normalized(b0, b1, b2, a0, a1, a2 float64) biquad {
	return biquad{float32(b0 / a0), float32(b1 / a0), float32(b2 / a0), float32(a1 / a0), float32(a2 / a0)}
}

// apply filters x in place, in the transposed direct form II.
func (f biquad) apply(x []float32) {
	var s1, s2 float32
	for i, v := range x {
		y := f.b0*v + s1
		s1 = f.b1*v - f.a1*y + s2
		s2 = f.b2*v - f.a2*y
		x[i] = y
	}
}
