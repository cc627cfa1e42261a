package audio

import "fmt"

// Window is the window of a frame, NFFT numbers, which must not be changed.
func (e *Extractor) Window() []float64 { return e.window }

// Filters are the mel filters, which must not be changed: filter m has weights[start[m]:start[m+1]] at the bins from first[m] on, and zeros
// at the others of the NFFT/2+1 bins.
func (e *Extractor) Filters() (first, start []int32, weights []float64) {
	return e.filters.first, e.filters.start, e.filters.weights
}

// LogMelBy is LogMel with a part of it, nearly all, computed by another: logPower is called at most once, with samples that hold n frames
// from the first on, HopLength apart and NFFT long, and sets logs (n, nMels), frame-major, to
//
//	log10 max(PowerFloor, Σ_k filter[m, k]·|DFT(window·frame)[k]|²)
//
// and highest (n) to the maximum of each frame, NaN where a sample of the frame is not finite. The frames that see the ends of the clip are
// computed here. An error of logPower is returned, wrapped; the others are those of LogMel.
func (e *Extractor) LogMelBy(dst *Mel, pcm []float32, padSamples int, logPower func(logs, highest, pcm []float32) error) error {
	total, err := e.resize(dst, len(pcm), padSamples)
	if err != nil {
		return err
	}
	from, to := innerFrames(len(pcm))
	peak, err := e.logPower(dst, pcm, total, 0, from)
	if err != nil {
		return err
	}
	if from < to {
		first, end := from*HopLength-reflectLength, (to-1)*HopLength-reflectLength+NFFT
		highest := make([]float32, to-from)
		if err := logPower(dst.Slice(from, to).Data, highest, pcm[first:end]); err != nil {
			return fmt.Errorf("log-mel of %d frames: %w", to-from, err)
		}
		for i, v := range highest {
			if v != v {
				return fmt.Errorf("%w: in frame %d", ErrNotFinite, from+i)
			}
			peak = max(peak, v)
		}
	}
	last, err := e.logPower(dst, pcm, total, to, dst.Frames)
	if err != nil {
		return err
	}
	dst.scale(max(peak, last))
	return nil
}

// innerFrames returns which frames, from…to-1, of a clip of samples see neither of its ends. Those before from see its beginning.
func innerFrames(samples int) (from, to int) {
	from = (reflectLength + HopLength - 1) / HopLength
	if samples >= reflectLength {
		to = (samples-reflectLength)/HopLength + 1
	}
	from = min(from, samples/HopLength)
	return from, max(from, to)
}
