package audio

import (
	"math"
	"math/bits"

	"github.com/mjibson/go-dsp/window"
)

const (
	fftSize = 256
	fftLog  = 8
)

// fft256 is a windowed Fourier transform of 256 points, of two real signals at once: Z = FFT(a + ib) has A[k] = (Z[k] + Z*[-k])/2 and
// B[k] = (Z[k] - Z*[-k])/2i. It is the radix-2 algorithm of Cooley and Tukey 1965, decimated in time. It is immutable.
type fft256 struct {
	window  [fftSize]float64 // periodic Hann
	cos     [fftSize / 2]float64
	sin     [fftSize / 2]float64 // twiddle k is cos - i·sin
	reverse [fftSize]uint8       // input of each place
}

func newFFT256() *fft256 {
	f := new(fft256)
	copy(f.window[:], window.Hann(fftSize+1))
	for k := range f.cos {
		f.sin[k], f.cos[k] = math.Sincos(2 * math.Pi * float64(k) / fftSize)
	}
	for n := range f.reverse {
		f.reverse[n] = bits.Reverse8(uint8(n))
	}
	return f
}

// magnitudes sets a[k] and b[k] to |Σ_n window[n]·x[n]·exp(-2πikn/256)| of x and y, k = 0…128.
func (f *fft256) magnitudes(a, b []float32, x, y *[fftSize]float32) {
	var re, im [fftSize]float64
	for i, n := range f.reverse {
		re[i], im[i] = f.window[n]*float64(x[n]), f.window[n]*float64(y[n])
	}
	for half := 1; half < fftSize; half *= 2 {
		step := fftSize / 2 / half
		for base := 0; base < fftSize; base += 2 * half {
			upRe, upIm := re[base:base+half], im[base:base+half]
			lowRe, lowIm := re[base+half : base+2*half][:len(upRe)], im[base+half : base+2*half][:len(upRe)]
			upIm = upIm[:len(upRe)]
			for k := range upRe {
				c, s := f.cos[k*step&(fftSize/2-1)], f.sin[k*step&(fftSize/2-1)]
				tRe, tIm := lowRe[k]*c+lowIm[k]*s, lowIm[k]*c-lowRe[k]*s
				lowRe[k], lowIm[k] = upRe[k]-tRe, upIm[k]-tIm
				upRe[k], upIm[k] = upRe[k]+tRe, upIm[k]+tIm
			}
		}
	}
	for k := range fftSize/2 + 1 {
		m := (fftSize - k) % fftSize
		aRe, aIm, bRe, bIm := re[k]+re[m], im[k]-im[m], re[k]-re[m], im[k]+im[m]
		a[k], b[k] = float32(math.Sqrt(aRe*aRe+aIm*aIm)/2), float32(math.Sqrt(bRe*bRe+bIm*bIm)/2)
	}
}
