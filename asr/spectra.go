package asr

import (
	"errors"
	"slices"
	"sync"

	"glossa/audio"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// spectra computes the log-mels of recordings, by any number of goroutines: where it is worth the way there on a device of the
// engine's that can, and else here. What devices compute differs from what is computed here by rounding at most.
type spectra struct {
	tables *audio.Extractor
	form   *tensor.Spectrogram // the same, as devices have it
	window int                 // samples of the model's window
	failed func(device string, err error)

	mu      sync.Mutex
	devices []*spectrographer
}

// spectrographer is a device that computes log-mels.
type spectrographer struct {
	tensor.Spectrographer
	number int // of its station
	name   string
	at     int  // log-mels
	told   bool // that it could not compute one
}

// leastOnDevice is the number of samples, a second of sound, below which they are transformed here in the time that it takes to ask a device.
const leastOnDevice = audio.SampleRate

// newSpectra returns spectra without devices. failed is told, once of each device, why it could not compute a log-mel.
func newSpectra(m *whisper.Model, failed func(device string, err error)) (*spectra, error) {
	e, err := audio.NewExtractor(m.Dims.NMels)
	if err != nil {
		return nil, err
	}
	first, start, weights := e.Filters()
	form := &tensor.Spectrogram{Window: e.Window(), Hop: audio.HopLength, First: first, Start: start, Weights: weights, Floor: audio.PowerFloor}
	return &spectra{tables: e, form: form, window: m.Dims.WindowFrames() * audio.HopLength, failed: failed}, nil
}

// add lets a device compute log-mels, if it can.
func (s *spectra) add(number int, d Device) {
	if g, ok := d.Backend.(tensor.Spectrographer); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.devices = append(s.devices, &spectrographer{Spectrographer: g, number: number, name: d.Name})
	}
}

// remove lets the device of a station compute no more log-mels.
func (s *spectra) remove(number int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices = slices.DeleteFunc(s.devices, func(d *spectrographer) bool { return d.number == number })
}

// logMel returns the log-mel of samples, all or some of a recording of so many, followed by silence. The errors are those of
// [audio.LogMelPadded].
//
// A device computes those of a recording that takes more than one window. One window alone is as soon done here, where no other
// work is before it.
func (s *spectra) logMel(pcm []float32, padding, recording int) (m audio.Mel, err error) {
	if recording > s.window && len(pcm) >= leastOnDevice {
		if d := s.take(); d != nil {
			var fault error
			err = s.tables.LogMelBy(&m, pcm, padding, func(logs, highest, pcm []float32) error {
				fault = d.LogMel(logs, highest, pcm, s.form)
				return fault
			})
			s.give(d, fault)
			if fault == nil {
				return m, err
			}
		}
	}
	err = s.tables.LogMel(&m, pcm, padding)
	return m, err
}

// take returns the device with the least to do, nil where there is none.
func (s *spectra) take() *spectrographer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.devices) == 0 {
		return nil
	}
	d := slices.MinFunc(s.devices, func(a, b *spectrographer) int { return a.at - b.at })
	d.at++
	return d
}

// give gives a device back. One that failed for another reason than a lack of memory is not taken again.
func (s *spectra) give(d *spectrographer, fault error) {
	s.mu.Lock()
	d.at--
	tell := fault != nil && !d.told && slices.Contains(s.devices, d) // otherwise it is known to be lost
	d.told = d.told || tell
	if fault != nil && !errors.Is(fault, tensor.ErrMemory) {
		s.devices = slices.DeleteFunc(s.devices, func(o *spectrographer) bool { return o == d })
	}
	s.mu.Unlock()
	if tell {
		s.failed(d.name, fault)
	}
}
