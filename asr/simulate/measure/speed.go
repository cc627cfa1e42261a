package measure

import (
	"slices"
	"time"

	"glossa/asr/simulate"
)

// atSpeed returns times of things, of which the last is the probe, at the speed of the reference.
func (m *bench) atSpeed(seconds []float64) []float64 {
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
func (m *bench) findProbe() error {
	frames := m.Model.Dims.WindowFrames()
	if m.Model.Dims.Unpadded {
		frames /= 5
	}
	mels := m.windows(1, frames)
	once := func() (time.Duration, error) { return m.encodeOnce(mels, nil, nil) }
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
func (m *bench) usualSpeed(o *simulate.Model) *simulate.Model {
	if m.probe == nil {
		return o
	}
	slices.Sort(m.probed)
	usual := m.probed[len(m.probed)/2]
	return Median(o.Slower(usual / m.reference))
}

// probes is how often a probe is done before and after what cannot be done by turns with it.
const probes = 8

// besideProbes does something between probes, which would be disturbed by it or disturb it, and returns how many times as fast the
// reference is.
func (m *bench) besideProbes(f func() error) (faster float64, err error) {
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

// timed returns the mean of what something takes, which is done once to warm up unless that takes too long by itself.
func (m *bench) timed(once func() (time.Duration, error)) (seconds float64, err error) {
	means, err := m.byTurns(once)
	if err != nil {
		return 0, err
	}
	return means[0], nil
}

// byTurns is timed of several things that are done by turns. Where there is a probe it is done by turns with them, and what they take is
// told as of a machine on which the probe takes what it did first: the speed of shared machines changes while they are measured.
func (m *bench) byTurns(things ...func() (time.Duration, error)) (seconds []float64, err error) {
	if m.probe != nil {
		things = append(things, m.probe)
	}
	times := make([][]time.Duration, len(things))
	begin := time.Now()
	limit := time.Duration(m.Seconds * float64(time.Second))
	more := func(i int) bool {
		past := time.Since(begin)
		return i == 0 || len(times[0]) == 0 || i < leastTimes && past < 4*limit || past < limit && i < mostTimes
	}
	for i := 0; more(i); i++ {
		for j, once := range things {
			if err := m.ctx.Err(); err != nil {
				return nil, err
			}
			d, err := once()
			if err != nil {
				return nil, err
			}
			if i > 0 || d > limit {
				times[j] = append(times[j], d)
			}
		}
	}
	for _, t := range times {
		seconds = append(seconds, meanOf(t))
	}
	return m.atSpeed(seconds), nil
}

// How often something is measured.
const (
	leastTimes = 4
	mostTimes  = 200
)

// meanOf returns the mean of times in seconds, but for the longest of a hundred: what a machine does on the whole, as its medians do not
// tell.
func meanOf(times []time.Duration) float64 {
	slices.Sort(times)
	times = times[:len(times)-len(times)/100]
	sum := 0.0
	for _, d := range times {
		sum += d.Seconds()
	}
	return sum / float64(max(len(times), 1))
}
