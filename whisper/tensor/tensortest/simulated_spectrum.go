package tensortest

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/ref"
)

// spectrumMemory is the bytes of the device's memory that a log-mel takes.
const spectrumMemory = 4 << 20

var _ tensor.Spectrographer = (*Simulated)(nil)

// LogMel computes by the reference, beside what is queued, where there is memory for it. The error is the device's fault, or wraps
// tensor.ErrMemory.
func (d *Simulated) LogMel(y, highest, pcm []float32, s *tensor.Spectrogram) error {
	if err := d.beginLogMel(s.Frames(len(pcm))); err != nil {
		return err
	}
	ref.LogMel(y, highest, pcm, s)
	d.state.mu.Lock()
	d.state.used -= spectrumMemory
	d.state.mu.Unlock()
	return nil
}

func (d *Simulated) beginLogMel(frames int) error {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if d.state.fault != nil {
		return d.state.fault
	}
	if err := d.state.claim(spectrumMemory); err != nil {
		return err
	}
	d.state.stats.LogMelFrames += int64(frames)
	return nil
}
