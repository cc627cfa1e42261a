package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"glossa/audio"
)

// Augment is how sound is varied from one hearing to the next. The zero value leaves it as it is.
type Augment struct {
	// Speed s plays at a speed drawn from 1-s … 1+s, pitch included (Ko et al. 2015). The default
	// value is 0.1.
	Speed float64

	// Silence is the longest silence put before and after, in seconds. The default value is 0.3.
	Silence float64

	// Band is the probability of a narrower band: a low-pass filter or a telephone line. The
	// default value is 0.
	Band float64

	// Noise is the probability of noise, at a ratio of speech to noise from SNRMin to SNRMax, in
	// dB. The default values are 0.3, 10 and 35.
	Noise, SNRMin, SNRMax float64

	// Gain is the largest change of level either way, in dB. The default value is 8.
	Gain float64

	// Warp w stretches the mel axis by a factor drawn from 1-w … 1+w, as vocal tracts of other
	// lengths do (Jaitly & Hinton 2013). The default value is 0.08.
	Warp float64

	// Tilt is the largest slope of the spectrum from its lowest to its highest band, in dB, as
	// other microphones have. The default value is 5.
	Tilt float64

	// FreqMasks and TimeMasks are the numbers of SpecAugment's masks, FreqMask the widest in the
	// fraction of the bands and TimeMask in the fraction of the frames (Park et al. 2019; the
	// scaling by length is Park et al. 2020, §3). The default values are 1, 2, 0.15 and 0.05.
	FreqMasks, TimeMasks int
	FreqMask, TimeMask   float64
}

// DefaultAugment returns the default values.
func DefaultAugment() Augment {
	return Augment{Speed: 0.1, Silence: 0.3, Band: 0, Noise: 0.3, SNRMin: 10, SNRMax: 35, Gain: 8,
		Warp: 0.08, Tilt: 5, FreqMasks: 1, TimeMasks: 2, FreqMask: 0.15, TimeMask: 0.05}
}

func (a Augment) check() error {
	for _, c := range []struct {
		name      string
		value     float64
		low, high float64
	}{
		{"Speed", a.Speed, 0, 0.5}, {"Silence", a.Silence, 0, 10}, {"Band", a.Band, 0, 1}, {"Noise", a.Noise, 0, 1},
		{"SNRMin", a.SNRMin, -20, 100}, {"SNRMax", a.SNRMax, a.SNRMin, 100}, {"Gain", a.Gain, 0, 60},
		{"Warp", a.Warp, 0, 0.5}, {"Tilt", a.Tilt, 0, 60}, {"FreqMask", a.FreqMask, 0, 1}, {"TimeMask", a.TimeMask, 0, 1},
		{"FreqMasks", float64(a.FreqMasks), 0, 100}, {"TimeMasks", float64(a.TimeMasks), 0, 100},
	} {
		if !(c.value >= c.low && c.value <= c.high) {
			return fmt.Errorf("%w: Augment.%s is %v, not in %v to %v", ErrOptions, c.name, c.value, c.low, c.high)
		}
	}
	return nil
}

// uniform returns a number from low to high.
func uniform(rng *rand.Rand, low, high float64) float64 { return low + (high-low)*rng.Float64() }

// decibels returns the factor of amplitude for a level in dB.
func decibels(level float64) float32 { return float32(math.Pow(10, level/20)) }

// sound varies an utterance. It returns the samples and where in them speech begins and ends.
// other returns the samples of another utterance, to make a babble of.
func (a Augment) sound(pcm []float32, rng *rand.Rand, other func() []float32) (out []float32, start, end int) {
	if a.Speed > 0 {
		pcm = resample(pcm, uniform(rng, 1-a.Speed, 1+a.Speed))
	}
	start, end = speechBounds(pcm)
	if rng.Float64() < a.Band {
		narrow(pcm, rng)
	}
	lead := int(uniform(rng, 0, a.Silence) * audio.SampleRate)
	trail := int(uniform(rng, 0, a.Silence) * audio.SampleRate)
	out = make([]float32, lead+len(pcm)+trail)
	copy(out[lead:], pcm)
	start, end = start+lead, end+lead
	level := rms(out[start:end])
	if rng.Float64() < a.Noise {
		addNoise(out, level*decibels(-uniform(rng, a.SNRMin, a.SNRMax)), rng, other)
	} else if a.Silence > 0 {
		addWhite(out, level*decibels(-uniform(rng, 50, 80)), rng)
	}
	if a.Gain > 0 {
		scale(out, decibels(uniform(rng, -a.Gain, a.Gain)))
	}
	return out, start, end
}

// silence returns sound without speech: noise of a random kind, level and length up to 3 s.
func (a Augment) silence(rng *rand.Rand) []float32 {
	out := make([]float32, int(uniform(rng, 0.5, 3)*audio.SampleRate))
	addNoise(out, decibels(uniform(rng, -70, -20)), rng, nil)
	return out
}

// resample returns pcm played at a speed, by cubic interpolation (Catmull & Rom 1974). It does not
// filter: at speeds near 1 what folds back lies above 7 kHz.
func resample(pcm []float32, speed float64) []float32 {
	if len(pcm) < 2 {
		return append([]float32(nil), pcm...)
	}
	out := make([]float32, int(float64(len(pcm))/speed))
	at := func(i int) float32 { return pcm[max(0, min(len(pcm)-1, i))] }
	for i := range out {
		position := float64(i) * speed
		k := int(position)
		t := float32(position - float64(k))
		var p0, p1, p2, p3 float32
		if k > 0 && k+2 < len(pcm) {
			q := pcm[k-1 : k+3 : k+3]
			p0, p1, p2, p3 = q[0], q[1], q[2], q[3]
		} else {
			p0, p1, p2, p3 = at(k-1), at(k), at(k+1), at(k+2)
		}
		out[i] = p1 + t/2*(p2-p0+t*(2*p0-5*p1+4*p2-p3+t*(3*(p1-p2)+p3-p0)))
	}
	return out
}

// Speech begins and ends where the level of a frame of 10 ms is within speechRange dB of the loudest.
const speechRange = 35

// speechBounds returns the first sample of the first loud frame and the end of the last; all of
// pcm where there is none.
func speechBounds(pcm []float32) (start, end int) {
	n := len(pcm) / audio.HopLength
	level := make([]float32, n)
	var peak float32
	for i := range level {
		level[i] = rms(pcm[i*audio.HopLength : (i+1)*audio.HopLength])
		peak = max(peak, level[i])
	}
	threshold := peak * decibels(-speechRange)
	first, last := -1, -1
	for i, l := range level {
		if l > threshold {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first < 0 {
		return 0, len(pcm)
	}
	return first * audio.HopLength, (last + 1) * audio.HopLength
}

// rms returns the root of the mean square of x, 0 for none.
func rms(x []float32) float32 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return float32(math.Sqrt(sum / float64(max(len(x), 1))))
}

func scale(x []float32, factor float32) {
	for i := range x {
		x[i] *= factor
	}
}
