package main

import (
	"slices"
	"time"

	"glossa/asr/simulate"
)

// atSpeed returns times of things, of which the last is the probe, at the speed of the reference.
func (m *costsBench) atSpeed(seconds []float64) []float64 {
	if m.probe == nil {
		return seconds
	}
	last := len(seconds) - 1
	probe := seconds[last]
	m.probed = append(m.probed, probe)
	if m.reference == 0 {
		m.reference = probe
	}
	for i := range seconds[:last] {
		seconds[i] *= m.reference / probe
	}
	return seconds[:last]
}

// longestProbe is what a probe may take, in seconds: machines change their speed in the time of several.
const longestProbe = 0.05

// findProbe takes a window in the encoder for a probe, where that is short.
func (m *costsBench) findProbe() error {
	frames := m.model.Dims.WindowFrames()
	if m.model.Dims.Unpadded {
		frames /= 5
	}
	mels := m.windows(1, frames)
	once := func() (time.Duration, error) { return m.model.encodeAdapted(mels, nil, nil) }
	for range 2 { // the first is for memory to be there
		d, err := once()
		if err != nil || d.Seconds() > longestProbe {
			return err
		}
	}
	m.probe = once
	return nil
}

// usualSpeed returns a measurement at the speed that the machine usually had.
func (m *costsBench) usualSpeed(o *simulate.Model) *simulate.Model {
	if m.probe == nil {
		return o
	}
	slices.Sort(m.probed)
	usual := m.probed[len(m.probed)/2]
	return roundTimes(o.Slower(usual / m.reference))
}

// probes is how often a probe is done before and after what cannot be done by turns with it.
const probes = 8

// besideProbes does something between probes, which would be disturbed by it or disturb it, and returns how many times as fast the
// reference is.
func (m *costsBench) besideProbes(f func() error) (faster float64, err error) {
	if m.probe == nil {
		return 1, f()
	}
	probe := m.probe
	var times []time.Duration
	sample := func() error {
		for i := range 1 + probes {
			d, err := probe()
			if err != nil {
				return err
			}
			if i > 0 {
				times = append(times, d)
			}
		}
		return nil
	}
	if err := sample(); err != nil {
		return 0, err
	}
	m.probe = nil
	err = f()
	m.probe = probe
	if err != nil {
		return 0, err
	}
	if err := sample(); err != nil {
		return 0, err
	}
	return m.atSpeed([]float64{1, meanOf(times)})[0], nil
}
