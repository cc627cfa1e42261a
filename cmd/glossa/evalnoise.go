package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"glossa/audio"
)

// noisePrefix begins the path of sound that is made here: noise:KIND/NUMBER.
const noisePrefix = "noise:"

// noiseSeconds is how long such sound is.
const noiseSeconds = 10

// noises make sound in which nothing is said.
var noises = []struct {
	kind string
	make func(pcm []float32, rng *rand.Rand)
}{
	{"silence", func([]float32, *rand.Rand) {}},
	{"white", whiteNoise},
	{"pink", pinkNoise},
	{"hum", hum},
	{"tones", tones},
}

// noiseName returns the name of clip i: its kind, in turn, and its number within that.
func noiseName(i int) string {
	return fmt.Sprintf("%s/%d", noises[i%len(noises)].kind, i/len(noises))
}

// makeNoise returns the samples of a clip of the path noise:KIND/NUMBER.
func makeNoise(path string, seed uint64) ([]float32, error) {
	kind, digits, _ := strings.Cut(strings.TrimPrefix(path, noisePrefix), "/")
	number, err := strconv.ParseUint(digits, 10, 32)
	for i, n := range noises {
		if n.kind == kind && err == nil {
			pcm := make([]float32, noiseSeconds*audio.SampleRate)
			n.make(pcm, rand.New(rand.NewPCG(seed, number*uint64(len(noises))+uint64(i))))
			return pcm, nil
		}
	}
	return nil, fmt.Errorf("there is no such noise as %q", path)
}

// level returns an amplitude between -50 and -10 dB of full scale.
func level(rng *rand.Rand) float64 { return math.Pow(10, (-50+40*rng.Float64())/20) }

// whiteNoise has the same power at all frequencies.
func whiteNoise(pcm []float32, rng *rand.Rand) {
	a := level(rng)
	for i := range pcm {
		pcm[i] = float32(a * rng.NormFloat64())
	}
}

// pinkNoise has a power of 1/f, as rain and the wind in trees do: the sum of white noises that are drawn anew every 1, 2, 4, … samples
// (Voss and Clarke 1978, by McCartney's order).
func pinkNoise(pcm []float32, rng *rand.Rand) {
	const octaves = 12
	var rows [octaves]float64
	sum, a := 0.0, level(rng)/math.Sqrt(octaves)
	for i := range pcm {
		row := 0
		for n := i + 1; n%2 == 0 && row < octaves-1; n /= 2 {
			row++
		}
		drawn := rng.NormFloat64()
		sum += drawn - rows[row]
		rows[row] = drawn
		pcm[i] = float32(a * sum)
	}
}

// hum is the mains at 50 or 60 Hz with its overtones, and a little hiss.
func hum(pcm []float32, rng *rand.Rand) {
	a, hertz := level(rng), 50+10*float64(rng.IntN(2))
	var amplitudes [6]float64
	for k := range amplitudes {
		amplitudes[k] = a * rng.Float64() / float64(k+1)
	}
	for i := range pcm {
		x := a / 100 * rng.NormFloat64()
		for k, amplitude := range amplitudes {
			x += amplitude * math.Sin(2*math.Pi*hertz*float64(k+1)*float64(i)/audio.SampleRate)
		}
		pcm[i] = float32(x)
	}
}

// tones are notes of a pentatonic scale, each with three partials that die away, as of music that nobody sings to.
func tones(pcm []float32, rng *rand.Rand) {
	const shortest, longest = audio.SampleRate / 5, audio.SampleRate
	scale := []float64{0, 2, 4, 7, 9}
	a := level(rng)
	for from := 0; from < len(pcm); {
		length := min(shortest+rng.IntN(longest-shortest), len(pcm)-from)
		semitones := scale[rng.IntN(len(scale))] + 12*float64(rng.IntN(3))
		hertz := 220 * math.Pow(2, semitones/12)
		for i := range length {
			fade := math.Exp(-3 * float64(i) / float64(length))
			for k := 1; k <= 3; k++ {
				pcm[from+i] += float32(a * fade / float64(k) * math.Sin(2*math.Pi*hertz*float64(k)*float64(i)/audio.SampleRate))
			}
		}
		from += length
	}
}
