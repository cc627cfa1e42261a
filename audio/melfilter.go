package audio

import "math"

// melFilters is the Slaney mel filter bank (nMels, NFFT/2+1), sparse: filter m has weights[start[m]:start[m+1]] at the
// consecutive bins from first[m]. All other weights are zero. It is immutable.
type melFilters struct {
	first   []int32
	start   []int32
	weights []float64
}

// Slaney's mel scale: linear below 1 kHz, logarithmic above, 27 mels to a factor of 6.4.
const (
	melHzPerMel = 200.0 / 3
	melLogHz    = 1000.0
	melLogStart = melLogHz / melHzPerMel
)

var melLogStep = math.Log(6.4) / 27

// hzOfMel is the frequency in Hz of m mels (librosa.mel_to_hz with htk=False).
func hzOfMel(m float64) float64 {
	if m < melLogStart {
		return m * melHzPerMel
	}
	return melLogHz * math.Exp(melLogStep*(m-melLogStart))
}

// melOfHz is the inverse of hzOfMel (librosa.hz_to_mel with htk=False).
func melOfHz(hz float64) float64 {
	if hz < melLogHz {
		return hz / melHzPerMel
	}
	return melLogStart + math.Log(hz/melLogHz)/melLogStep
}

// newMelFilters computes librosa.filters.mel(sr=SampleRate, n_fft=NFFT, n_mels=nMels): nMels triangles whose corners are spaced
// evenly in mels from 0 Hz to half the sample rate, each of unit area in Hz (norm="slaney").
func newMelFilters(nMels int) *melFilters {
	corner := make([]float64, nMels+2)
	for i := range corner {
		corner[i] = hzOfMel(melOfHz(SampleRate/2) * float64(i) / float64(nMels+1))
	}
	f := &melFilters{start: []int32{0}}
	for m := range nMels {
		left, centre, right := corner[m], corner[m+1], corner[m+2]
		first := 0
		for k := range NFFT/2 + 1 {
			hz := float64(k) * SampleRate / NFFT
			w := min((hz-left)/(centre-left), (right-hz)/(right-centre))
			if w <= 0 {
				continue
			}
			if len(f.weights) == int(f.start[m]) {
				first = k
			}
			f.weights = append(f.weights, w*2/(right-left))
		}
		f.first = append(f.first, int32(first))
		f.start = append(f.start, int32(len(f.weights)))
	}
	return f
}

// apply sets dst[m] = Σ_k filter[m][k]·power[k]; dst (nMels).
func (f *melFilters) apply(dst []float64, power *[NFFT/2 + 1]float64) {
	start := f.start[0]
	for m := range dst {
		end := f.start[m+1]
		w := f.weights[start:end]
		start = end
		p := power[f.first[m]:][:len(w)]
		sum := 0.0
		for i, weight := range w {
			sum += weight * p[i]
		}
		dst[m] = sum
	}
}
