package measure

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"glossa/asr/simulate"
	"glossa/audio"
	"glossa/whisper"
)

// load loads a recording as the engine does.
func (m *bench) load(s *Sound) error {
	pcm, err := audio.Decode(bytes.NewReader(s.File), audio.Limits{})
	if err == nil {
		_, err = audio.LogMelPadded(pcm.Samples, m.Model.Dims.NMels, 0)
	}
	return err
}

// loaders load recordings, so many at a time, until they are stopped.
type loaders struct {
	running sync.WaitGroup
	stopped atomic.Bool
	n       int
	done    atomic.Int64
	err     atomic.Pointer[error]
	begin   time.Time
}

func (m *bench) startLoaders(n int, sounds []Sound) *loaders {
	l := &loaders{n: n, begin: time.Now()}
	for i := range n {
		l.running.Go(func() {
			for j := i; !l.stopped.Load(); j += n {
				if err := m.load(&sounds[j%len(sounds)]); err != nil {
					l.err.Store(&err)
					return
				}
				l.done.Add(1)
			}
		})
	}
	return l
}

// stop ends the loaders, and returns how long a recording took each.
func (l *loaders) stop() (seconds float64, err error) {
	l.stopped.Store(true)
	l.running.Wait()
	if e := l.err.Load(); e != nil {
		return 0, *e
	}
	return time.Since(l.begin).Seconds() * float64(l.n) / float64(max(l.done.Load(), 1)), nil
}

// loadsBeside returns the numbers of recordings that are loaded at a time: one alone where the device is slow, and loading does not matter.
func (m *bench) loadsBeside() []int {
	if m.probe == nil {
		return []int{1}
	}
	return []int{1, 2, 4, 8}
}

// measureBeside measures how much longer device and loading take beside each other.
func (m *bench) measureBeside(sounds []Sound) error {
	work, alone, err := m.work()
	if err != nil {
		return err
	}
	one, err := m.loadsAtOnce(1, sounds)
	if err != nil {
		return err
	}
	for _, n := range m.loadsBeside() {
		others, err := m.loadsAtOnce(n, sounds)
		if err != nil {
			return err
		}
		var device, loading float64
		faster, err := m.besideProbes(func() error {
			l := m.startLoaders(n, sounds)
			d, err := m.timed(work)
			seconds, stopped := l.stop()
			device, loading = d, seconds
			return errors.Join(err, stopped)
		})
		if err != nil {
			return err
		}
		m.out.Beside = append(m.out.Beside, simulate.Beside{
			Loads: n, Device: figures(max(1, faster*device/alone)), Loading: figures(max(1, faster*loading/one)), Others: figures(max(1, others/one)),
		})
	}
	return nil
}

// loadsAtOnce returns what loading a recording takes while nothing is computed and so many are loaded.
func (m *bench) loadsAtOnce(n int, sounds []Sound) (seconds float64, err error) {
	faster, err := m.besideProbes(func() (err error) {
		l := m.startLoaders(n, sounds)
		time.Sleep(max(50*time.Millisecond, time.Duration(m.Seconds/2*float64(time.Second))))
		seconds, err = l.stop()
		return err
	})
	return faster * seconds, err
}

// work returns something for the device to do, and what it takes alone: a window in the encoder, and a batch of four that is decoded; a
// window that is slow by itself will do, as it was measured already.
func (m *bench) work() (work func() (time.Duration, error), alone float64, err error) {
	frames := m.typicalFrames()
	mels := m.windows(1, frames)
	encode := func() (time.Duration, error) { return m.encodeOnce(mels, nil, nil) }
	if m.probe == nil {
		return encode, m.out.Encode[len(m.out.Encode)-1].Seconds, nil
	}
	cross, err := m.cross(4, frames)
	if err != nil {
		return nil, 0, err
	}
	work = func() (time.Duration, error) {
		begin := time.Now()
		if _, err := encode(); err != nil {
			return 0, err
		}
		err := m.decodeOnce(cross)
		return time.Since(begin), err
	}
	alone, err = m.timed(work)
	return work, alone, err
}

// rests are those of a machine, before which it has to wake.
var rests = []time.Duration{time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond}

// measureWake measures how much longer the device takes for a window behind a rest: nothing that matters where it is slow.
func (m *bench) measureWake(sounds []Sound) error {
	if m.probe == nil {
		return nil
	}
	frames := m.typicalFrames()
	cross, err := m.cross(1, frames)
	if err != nil {
		return err
	}
	var mean0, variance0 float64
	for i, rest := range append([]time.Duration{0}, rests...) {
		var mean, variance float64
		faster, err := m.besideProbes(func() (err error) {
			mean, variance, err = m.behind(rest, sounds, cross, frames)
			return err
		})
		if err != nil {
			return err
		}
		mean, variance = faster*mean, faster*faster*variance
		if i == 0 {
			mean0, variance0 = mean, variance
			continue
		}
		more := max(0, mean-mean0)
		m.out.Wake = append(m.out.Wake, simulate.Wake{
			Rest: rest.Seconds(), Device: figures(more), Often: figures(often(more, variance-variance0)),
		})
	}
	return nil
}

// often returns the probability of something that takes so much on average and otherwise nothing, of which the variance is known: with p
// of s it is ps and p(1-p)s².
func often(mean, variance float64) float64 {
	if mean == 0 || variance <= 0 {
		return 1
	}
	return mean * mean / (mean*mean + variance)
}

// behind returns the mean and the variance of what encoding and decoding a window take when its recording was loaded behind a rest.
func (m *bench) behind(rest time.Duration, sounds []Sound, cross []*whisper.CrossKV, frames int) (mean, variance float64, err error) {
	mels := m.windows(1, frames)
	var times []time.Duration
	for i, begin := 0, time.Now(); i < 1+4*len(sounds) && (i < 3 || time.Since(begin).Seconds() < 2*m.Seconds); i++ {
		time.Sleep(rest)
		if err := m.load(&sounds[i%len(sounds)]); err != nil {
			return 0, 0, err
		}
		start := time.Now()
		if _, err := m.encodeOnce(mels, nil, nil); err != nil {
			return 0, 0, err
		}
		if err := m.decodeOnce(cross); err != nil {
			return 0, 0, err
		}
		if i > 0 { // the first is for memory to be there
			times = append(times, time.Since(start))
		}
	}
	mean = meanOf(times)
	for _, d := range times {
		variance += (d.Seconds() - mean) * (d.Seconds() - mean) / float64(len(times))
	}
	return mean, variance, nil
}
