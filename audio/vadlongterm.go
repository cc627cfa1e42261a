package audio

import (
	"math"

	"github.com/mjibson/go-dsp/window"
)

// The long-term detector's features are powers S(t, k), means over three successive transforms of NFFT samples, in bands of equal width.
const (
	ltHop      = HopLength     // samples of a frame
	ltMean     = 3             // transforms to a mean
	ltBands    = 16            //
	ltBandBins = 6             // bins of a band, 240 Hz
	ltFirstBin = 5             // 200 Hz: the hum of mains is below
	ltReach    = 15            // frames before and behind that variability looks at, 150 ms
	ltSpan     = 2*ltReach + 1 // frames that are remembered
	ltEnvelope = 3             // frames before and behind that the envelope looks at, 30 ms
	ltMinima   = 10            // blocks of ltReach frames that the noise is the least of, 1.5 s

	// ltFloor is added to every power: white noise 80 dB below full scale, under a window of power 3/8.
	ltFloor = 1e-8 * NFFT * 3 / 8

	// Where divergence and variability say 1/2, and what makes a logit.
	ltDivergence, ltDivergenceUnit   = 6.5, 1.0   // dB
	ltVariability, ltVariabilityUnit = 0.003, 0.5 // the unit in nepers
)

// NewLongTermDetector returns a Detector of frames of 10 ms that needs no weights. It tells of a frame 175 ms after that begins. Speech is
// what stands above the noise, at whatever level, and changes its spectrum as noise does not:
//
//	D(t) = 10 log10 1/K Σ_k E(t, k)/N(t, k)           E: the greatest S(t', k) of t-3 ≤ t' ≤ t+3,  N: the least of 1.5 s
//	L(t) = 1/K Σ_k (H(t, k) - mean H(t))²             H(t, k): the entropy of S(t-15…t+15, k) over time
//	p(t) = min(σ((D - 6.5 dB)/1 dB), σ(2 ln(L/0.003)))
//
// D is the long-term spectral divergence of Ramírez, Segura, Benítez, de la Torre and Rubio, "Efficient voice activity detection algorithms
// using long-term speech information", 2004, with minimum statistics (Martin 2001) for the noise, as nobody says which frames are noise.
// L is the long-term signal variability of Ghosh, Tsiartas and Narayanan, "Robust voice activity detection using long-term signal
// variability", 2011: in noise, hum and silence every band has nearly the entropy of a constant, and in a click or a burst of noise every
// band the same lower one, so that L is small where D is not.
func NewLongTermDetector() Detector { return newLongTermDetector() }

type longTermDetector struct {
	framer
	dft      *dftTables
	spectrum spectrum

	samples int // pushed
	told    int // frames

	frames  int                        // frames of which S is known
	powers  [ltMean][ltBands]float64   // of the last transforms, frame t at t mod ltMean
	s, slog [ltSpan][ltBands]float64   // S and S·ln S of the last frames, frame t at t mod ltSpan
	block   [ltBands]float64           // the least S of the block of frames that is not complete
	minima  [ltMinima][ltBands]float64 // of the last complete blocks
	floor   [ltBands]float64           // the least of minima
	last    float32                    // probability of the last frame told
}

func newLongTermDetector() *longTermDetector {
	hann := window.Hann(NFFT + 1)[:NFFT]
	d := &longTermDetector{framer: newFramer(NFFT, ltHop, 0), dft: newDFTTables(hann)}
	d.reset()
	return d
}

func (d *longTermDetector) reset() {
	d.have, d.samples, d.told, d.frames, d.last = 0, 0, 0, 0, 0
	d.block = unbounded
	for i := range d.minima {
		d.minima[i] = unbounded
	}
	d.floor = unbounded
}

// unbounded is the least of no powers.
var unbounded = func() (p [ltBands]float64) {
	for k := range p {
		p[k] = math.Inf(1)
	}
	return p
}()

// lower sets the powers in a to those in b where they are less.
func lower(a, b *[ltBands]float64) {
	for k, p := range b {
		if p < a[k] {
			a[k] = p
		}
	}
}

func (d *longTermDetector) FrameSamples() int { return ltHop }

func (d *longTermDetector) Push(probs, pcm []float32) []float32 {
	d.samples += len(pcm)
	d.push(pcm, func(window []float32) {
		d.add((*[NFFT]float32)(window))
		if d.frames > ltReach {
			probs = d.tell(probs)
		}
	})
	return probs
}

func (d *longTermDetector) Flush(probs []float32) []float32 {
	for d.told < d.frames {
		probs = d.tell(probs)
	}
	// The last frames are shorter than a transform.
	for ; d.told*ltHop < d.samples; d.told++ {
		probs = append(probs, d.last)
	}
	d.reset()
	return probs
}

// add computes S of the next frame, of which window is the last transform.
func (d *longTermDetector) add(window *[NFFT]float32) {
	d.dft.powerSpectrum(&d.spectrum, window)
	now := &d.powers[d.frames%ltMean]
	for k := range now {
		now[k] = ltFloor
		for _, p := range d.spectrum.power[ltFirstBin+k*ltBandBins:][:ltBandBins] {
			now[k] += p / ltBandBins
		}
	}
	if d.frames == 0 {
		for i := range d.powers {
			d.powers[i] = *now
		}
	}
	s, slog := &d.s[d.frames%ltSpan], &d.slog[d.frames%ltSpan]
	for k := range s {
		sum := 0.0
		for i := range d.powers {
			sum += d.powers[i][k]
		}
		s[k] = sum / ltMean
		slog[k] = s[k] * math.Log(s[k])
	}
	lower(&d.block, s)
	d.frames++
	if d.frames%ltReach == 0 {
		d.minima[d.frames/ltReach%ltMinima] = d.block
		d.block, d.floor = unbounded, unbounded
		for i := range d.minima {
			lower(&d.floor, &d.minima[i])
		}
	}
}

// tell appends the probability of the first frame that is not told yet.
func (d *longTermDetector) tell(probs []float32) []float32 {
	d.last = float32(min(
		logistic((d.divergence(d.told)-ltDivergence)/ltDivergenceUnit),
		logistic(math.Log(d.variability(d.told)/ltVariability)/ltVariabilityUnit),
	))
	d.told++
	return append(probs, d.last)
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// divergence is D(t), in dB.
func (d *longTermDetector) divergence(t int) float64 {
	envelope, noise := d.s[t%ltSpan], d.floor
	lower(&noise, &d.block)
	for i := max(t-ltEnvelope, 0); i <= min(t+ltEnvelope, d.frames-1); i++ {
		for k, s := range &d.s[i%ltSpan] {
			if s > envelope[k] {
				envelope[k] = s
			}
		}
	}
	sum := 0.0
	for k := range envelope {
		sum += envelope[k] / noise[k]
	}
	return 10 * math.Log10(sum/ltBands)
}

// variability is L(t).
func (d *longTermDetector) variability(t int) float64 {
	var sum, sumLog [ltBands]float64
	for i := max(t-ltReach, 0); i <= min(t+ltReach, d.frames-1); i++ {
		s, slog := &d.s[i%ltSpan], &d.slog[i%ltSpan]
		for k := range sum {
			sum[k] += s[k]
			sumLog[k] += slog[k]
		}
	}
	var entropy [ltBands]float64
	mean := 0.0
	for k := range entropy {
		entropy[k] = math.Log(sum[k]) - sumLog[k]/sum[k]
		mean += entropy[k] / ltBands
	}
	variance := 0.0
	for _, h := range entropy {
		variance += (h - mean) * (h - mean) / ltBands
	}
	return variance
}
