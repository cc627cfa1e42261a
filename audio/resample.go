package audio

import (
	"fmt"
	"math"
)

// The filter of the resampler. With f the lower of the two Nyquist frequencies, it passes up to passEdge·f unchanged and stops from
// stopEdge·f on, so that nothing aliases.
const (
	passEdge   = 0.9
	stopEdge   = 1.0
	cutOff     = (passEdge + stopEdge) / 2
	stopBandDB = 90.0
)

const (
	tapUnit       = 8       // taps summed side by side
	resampleBlock = 1 << 14 // input samples taken at a time
	maxTable      = 1 << 18 // values of a table; where it would take more, its rows are interpolated
	interpPhases  = 2048    // rows of an interpolated table for each period of the lower rate
)

// Resampler converts a stream of mono samples from one rate to SampleRate by a band-limited polyphase filter: output n is
//
//	y[n] = Σ_i x[i]·h(n·rate/SampleRate - i),   h(t) = c·sinc(c·t)·kaiser(t)
//
// with a Kaiser window of stopBandDB attenuation (Kaiser 1974; Smith, "Digital Audio Resampling Home Page"), and c = cutOff·f in half
// cycles a sample. It has no delay: output n stands for the time n/SampleRate of the input. Sums are float32.
//
// h is tabulated at SampleRate/gcd(rate, SampleRate) phases, each scaled to a gain of 1 at 0 Hz. For an odd rate they are too many: then
// the two nearest rows are interpolated linearly, which errs by under -120 dB.
//
// A Resampler serves one stream and one goroutine.
type Resampler struct {
	num, den int // rate/SampleRate in lowest terms: output n stands at input n·num/den
	taps     int // a multiple of tapUnit
	phases   int
	rows     int       // phases, or phases+1 where rows are interpolated
	table    []float32 // (rows, taps): row p is h(p/phases + taps/2 - 1 - j), j = 0…taps-1
	between  []float32 // one interpolated row, or nil where no row is

	held  []float32 // input samples from index first on
	first int64
	ended int64 // input samples so far
	next  int64 // index of the next output sample
}

// NewResampler makes a Resampler from rate, in Hz, to SampleRate. It panics unless MinSourceRate <= rate <= MaxSourceRate.
func NewResampler(rate int) *Resampler {
	if rate < MinSourceRate || rate > MaxSourceRate {
		panic(fmt.Sprintf("audio: NewResampler(%d): want %d to %d Hz", rate, MinSourceRate, MaxSourceRate))
	}
	// f in half cycles an input sample, and Kaiser's estimate of the filter's order, in input samples.
	nyquist := min(1, float64(SampleRate)/float64(rate))
	order := (stopBandDB - 7.95) / (2.285 * math.Pi * (stopEdge - passEdge) * nyquist)

	common := gcd(rate, SampleRate)
	r := &Resampler{num: rate / common, den: SampleRate / common, taps: tapUnit * int(math.Ceil(order/tapUnit))}
	r.phases, r.rows = r.den, r.den
	if r.den*r.taps > maxTable {
		r.phases = int(math.Ceil(interpPhases * nyquist))
		r.rows = r.phases + 1
		r.between = make([]float32, r.taps)
	}
	r.design(cutOff * nyquist)
	r.held = make([]float32, r.taps/2-1, r.taps+resampleBlock) // silence before the first sample
	r.first = -int64(len(r.held))
	return r
}

// design fills the table of h with c = cut.
func (r *Resampler) design(cut float64) {
	beta := 0.1102 * (stopBandDB - 8.7)
	half := r.taps / 2
	r.table = make([]float32, r.rows*r.taps)
	row := make([]float64, r.taps)
	for p := range r.rows {
		sum := 0.0
		for j := range row {
			t := float64(p)/float64(r.phases) + float64(half-1-j)
			row[j] = sinc(cut*t) * kaiser(t/float64(half), beta)
			sum += row[j]
		}
		for j, v := range row {
			r.table[p*r.taps+j] = float32(v / sum)
		}
	}
}

// Append takes the next input samples and appends to dst the output samples that they complete. It returns the extended slice.
func (r *Resampler) Append(dst, src []float32) []float32 {
	for len(src) > 0 {
		n := min(len(src), resampleBlock)
		r.ended += int64(n)
		dst = r.advance(dst, src[:n])
		src = src[n:]
	}
	return dst
}

// Flush appends the last output samples to dst, as if silence followed: in all ⌈input·SampleRate/rate⌉ of them. Nothing may be appended
// afterwards.
func (r *Resampler) Flush(dst []float32) []float32 {
	total := (r.ended*int64(r.den) + int64(r.num) - 1) / int64(r.num)
	dst = r.advance(dst, make([]float32, r.taps))
	return dst[:len(dst)-int(r.next-total)]
}

// advance extends the held input by src and computes every output that it then covers.
func (r *Resampler) advance(dst, src []float32) []float32 {
	r.held = append(r.held, src...)
	half := int64(r.taps / 2)
	for {
		at := r.next * int64(r.num)
		start := at/int64(r.den) - half + 1 - r.first // index in held of the first sample under the filter
		if start+int64(r.taps) > int64(len(r.held)) {
			// Keep what later outputs need.
			kept := copy(r.held, r.held[min(start, int64(len(r.held))):])
			r.first += int64(len(r.held) - kept)
			r.held = r.held[:kept]
			return dst
		}
		dst = append(dst, dot(r.row(at%int64(r.den)), r.held[start:]))
		r.next++
	}
}

// row is the filter for an output at phase/den input samples behind an input sample.
func (r *Resampler) row(phase int64) []float32 {
	if r.between == nil {
		return r.table[int(phase)*r.taps:][:r.taps]
	}
	at := float64(phase) / float64(r.den) * float64(r.phases)
	p := int(at)
	weight := float32(at - float64(p))
	low := r.table[p*r.taps:][:r.taps]
	high := r.table[(p+1)*r.taps:][:r.taps]
	for i, v := range low {
		r.between[i] = v + weight*(high[i]-v)
	}
	return r.between
}

// Resample is pcm, mono samples at rate Hz, at SampleRate: ⌈len(pcm)·SampleRate/rate⌉ samples. At SampleRate itself it is pcm, not a
// copy. It panics as NewResampler does.
func Resample(pcm []float32, rate int) []float32 {
	if rate == SampleRate {
		return pcm
	}
	r := NewResampler(rate)
	dst := make([]float32, 0, len(pcm)*r.den/r.num+r.taps)
	return r.Flush(r.Append(dst, pcm))
}

// dot is Σ a[i]·b[i] over len(a), a multiple of tapUnit, in tapUnit running sums.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	b = b[:len(a)]
	for i := 0; i <= len(a)-tapUnit; i += tapUnit {
		x, y := (*[tapUnit]float32)(a[i:]), (*[tapUnit]float32)(b[i:])
		s0 += x[0] * y[0]
		s1 += x[1] * y[1]
		s2 += x[2] * y[2]
		s3 += x[3] * y[3]
		s4 += x[4] * y[4]
		s5 += x[5] * y[5]
		s6 += x[6] * y[6]
		s7 += x[7] * y[7]
	}
	return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
}

// sinc is sin(πt)/(πt).
func sinc(t float64) float64 {
	if t == 0 {
		return 1
	}
	return math.Sin(math.Pi*t) / (math.Pi * t)
}

// kaiser is the Kaiser window I0(β√(1-t²))/I0(β), zero for |t| >= 1.
func kaiser(t, beta float64) float64 {
	if t <= -1 || t >= 1 {
		return 0
	}
	return besselI0(beta*math.Sqrt(1-t*t)) / besselI0(beta)
}

// besselI0 is the modified Bessel function of the first kind and order 0, by its power series Σ ((x/2)^k / k!)².
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-17*sum; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
