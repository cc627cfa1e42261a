package train

import (
	"math"
	"math/rand/v2"

	"glossa/audio"
)

// spectrum varies a log-mel spectrogram in place: the mel axis warped, the spectrum tilted, and
// stripes of time and of frequency replaced by the mean (Park et al. 2019).
func (a Augment) spectrum(m audio.Mel, rng *rand.Rand) {
	if a.Warp > 0 && m.NMels > 1 {
		warp(m, uniform(rng, 1-a.Warp, 1+a.Warp))
	}
	if a.Tilt > 0 {
		tilt(m, uniform(rng, -a.Tilt, a.Tilt))
	}
	mean := meanOf(m.Data)
	for range a.FreqMasks {
		from, to := stripe(m.NMels, a.FreqMask, rng)
		for t := range m.Frames {
			fill(m.Frame(t)[from:to], mean)
		}
	}
	for range a.TimeMasks {
		from, to := stripe(m.Frames, a.TimeMask, rng)
		fill(m.Data[from*m.NMels:to*m.NMels], mean)
	}
}

// stripe returns a range in 0:n of a random place and a random width up to the fraction.
func stripe(n int, fraction float64, rng *rand.Rand) (from, to int) {
	width := int(rng.Float64() * (fraction*float64(n) + 1))
	width = min(width, n)
	from = rng.IntN(n - width + 1)
	return from, from + width
}

// warp sets band i of each frame to what was at i·factor, between bands by interpolation. Beyond
// the last band it repeats the last.
func warp(m audio.Mel, factor float64) {
	low, part := make([]int, m.NMels), make([]float32, m.NMels)
	for i := range low {
		position := min(float64(i)*factor, float64(m.NMels-1))
		low[i] = min(int(position), m.NMels-2)
		part[i] = float32(position - float64(low[i]))
	}
	row := make([]float32, m.NMels)
	for t := range m.Frames {
		frame := m.Frame(t)
		copy(row, frame)
		for i := range frame {
			l := low[i]
			frame[i] = row[l] + part[i]*(row[l+1]-row[l])
		}
	}
}

// melPerDecibel is the change of a log-mel value, (log10 of the power + 4)/4, for one dB.
const melPerDecibel = 1.0 / 10 / 4

// tilt adds a slope of so many dB over the mel axis, 0 in its middle. What lies at the floor of
// the spectrogram stays there.
func tilt(m audio.Mel, slope float64) {
	if m.NMels < 2 {
		return
	}
	floor := float32(math.Inf(1))
	for _, v := range m.Data {
		floor = min(floor, v)
	}
	for t := range m.Frames {
		frame := m.Frame(t)
		for i := range frame {
			frame[i] = max(floor, frame[i]+float32(slope*melPerDecibel*(float64(i)/float64(m.NMels-1)-0.5)))
		}
	}
}

func meanOf(x []float32) float32 {
	var sum float64
	for _, v := range x {
		sum += float64(v)
	}
	return float32(sum / float64(max(len(x), 1)))
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}
