package tensor

import "errors"

// ErrSpectrum is wrapped by the error of a [Spectrographer] that has no kernel for the form of a spectrogram.
var ErrSpectrum = errors.New("tensor: no kernel for the spectrogram")

// Spectrogram says how sound becomes log-mel powers: the window, and the filters of its transform. It does not change once
// it was given to a [Spectrographer], which knows it by its address.
type Spectrogram struct {
	Window []float64 // of one frame, N numbers: N is the length of the transform
	Hop    int       // samples from frame to frame

	// Filter m has the weights Weights[Start[m]:Start[m+1]] at the consecutive bins from First[m] on, and zeros at the others
	// of the N/2+1 bins.
	First, Start []int32
	Weights      []float64

	Floor float64 // power below it counts as silence; positive
}

// Frames returns how many frames there are in so many samples.
func (s *Spectrogram) Frames(samples int) int {
	if samples < len(s.Window) {
		return 0
	}
	return (samples-len(s.Window))/s.Hop + 1
}

// Spectrographer is implemented by a [Device] that computes log-mels of sound for the host. The sound and the log-mels are
// in host memory.
//
// Any number of goroutines may call it at any time, while kernels run too: it has no part in their order, and takes nothing of
// theirs but the device's time.
type Spectrographer interface {
	// LogMel sets y (nFrame, nFilter), row-major, to
	//
	//	y[t, m] = log10 max(Floor, Σ_k w[m, k] |Σ_n Window[n] pcm[t Hop + n] exp(-2πikn/N)|²),   k = 0…N/2
	//
	// with nFrame = s.Frames(len(pcm)) and w[m, k] the weight of filter m at bin k, and highest (nFrame) to the maxima of its
	// rows. It computes in float64. A frame of which a sample is NaN or infinite has NaN in highest, and any numbers in y.
	//
	// However long the sound is, it takes a few MiB of the device's memory. An error wraps [ErrMemory] where there is no
	// room for these, and [ErrSpectrum] where the device has no kernel for s; after any other one the device computes
	// no log-mels any more. The contents of y and highest are then unspecified.
	LogMel(y, highest, pcm []float32, s *Spectrogram) error
}
