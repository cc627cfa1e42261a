//go:build cuda && linux

package cuda

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cuda/internal/driver"
	"glossa/whisper/tensor/cuda/internal/kernels"
)

var _ tensor.Spectrographer = (*Backend)(nil)

// Of kernel log_mel.
const (
	melPoints  = 400 // of the transform
	melFrames  = 4   // of a block
	melThreads = 160
	melFilters = 200 // at most
)

// melChunk is the most frames, and melSamples the most samples, of one launch.
const (
	melChunk   = 4096
	melSamples = melChunk * melPoints / 2
)

// spectrograph computes log-mels with a stream, a thread and memory of its own, so that the backend's list stays what it was. It is
// opened for the first log-mel.
type spectrograph struct {
	mu      sync.Mutex
	ordinal int
	closed  bool
	device  *driver.Device // nil until it is opened
	list    *driver.List
	kernel  *driver.Kernel
	form    *tensor.Spectrogram // whose tables are on the device, nil where none are
	table   driver.Address      // numbers, as spectrum.cu has them
	index   driver.Address      // first bins, and where weights start
	result  driver.Address      // log-mels of a chunk
	maxima  driver.Address      // of its frames
}

// LogMel computes log-mels, one chunk after the other; those of several goroutines take turns.
func (b *Backend) LogMel(y, highest, pcm []float32, s *tensor.Spectrogram) error {
	n, filters := s.Frames(len(pcm)), len(s.First)
	if len(y) != n*filters || len(highest) != n {
		panic(fmt.Sprintf("cuda: %d numbers and %d maxima for the log-mel of %d frames by %d filters", len(y), len(highest), n, filters))
	}
	if len(s.Window) != melPoints || filters < 1 || filters > melFilters || s.Hop < 1 || s.Hop > melSamples {
		return fmt.Errorf("%w: windows of %d samples, %d apart, by %d filters", tensor.ErrSpectrum, len(s.Window), s.Hop, filters)
	}
	chunk := max(1, min(melChunk, (melSamples-melPoints)/s.Hop))
	for t := 0; t < n; t += chunk {
		frames := min(chunk, n-t)
		sound := pcm[t*s.Hop:][:(frames-1)*s.Hop+melPoints]
		if err := b.mel.compute(y[t*filters:][:frames*filters], highest[t:][:frames], sound, s); err != nil {
			return memoryError(err)
		}
	}
	return nil
}

// compute computes the log-mel of one chunk.
func (g *spectrograph) compute(y, highest, pcm []float32, s *tensor.Spectrogram) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.ready(s); err != nil {
		return err
	}
	sound, to := g.list.Stage(4*len(pcm), 16)
	copy(to, bytesOf(pcm))
	frames := len(highest)
	g.list.Launch(g.kernel, driver.Dim3{X: blocks(frames, melFrames)}, driver.Dim3{X: melThreads}, 0,
		driver.Pointer(g.result), driver.Pointer(g.maxima), driver.Pointer(sound), driver.Pointer(g.table), driver.Pointer(g.index),
		driver.Int32(frames), driver.Int32(s.Hop), driver.Int32(len(s.First)))
	if err := g.device.RunRead(g.list, bytesOf(y), g.result); err != nil {
		return err
	}
	return g.device.CopyOut(bytesOf(highest), g.maxima)
}

// ready opens the device where it was not, and brings the tables of s there.
func (g *spectrograph) ready(s *tensor.Spectrogram) error {
	if g.closed {
		return driver.ErrClosed
	}
	if g.device == nil {
		if err := g.open(); err != nil {
			return err
		}
	}
	if g.form == s {
		return nil
	}
	table, index := melTables(s)
	if len(table) > melTableRoom {
		return fmt.Errorf("%w: filters of %d weights", tensor.ErrSpectrum, len(s.Weights))
	}
	g.form = nil
	if err := errors.Join(g.device.CopyIn(g.table, bytesOf(table)), g.device.CopyIn(g.index, bytesOf(index))); err != nil {
		return err
	}
	g.form = s
	return nil
}

// melTableRoom is the most numbers of the tables: filters may overlap in any way.
const melTableRoom = melPoints + 2*25 + 1 + melFilters*(melPoints/2+1)

// open opens the device. Where it fails, nothing is left.
func (g *spectrograph) open() (err error) {
	d, err := driver.OpenBeside(g.ordinal)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	module := kernels.Module{Name: kernels.Spectrum}
	loaded, err := d.LoadModule(module.PTX(), module.Kernels()...)
	if err != nil {
		return fmt.Errorf("load module %s: %w", module.Name, err)
	}
	for _, m := range []struct {
		at    *driver.Address
		bytes int
	}{{&g.table, 8 * melTableRoom}, {&g.index, 4 * (2*melFilters + 1)}, {&g.result, 4 * melChunk * melFilters}, {&g.maxima, 4 * melChunk}} {
		if *m.at, err = d.Alloc(m.bytes); err != nil {
			return err
		}
	}
	list := d.NewList()
	list.Stage(4*melSamples, 16) // so that there is room for any chunk
	if err := d.Run(list); err != nil {
		return err
	}
	g.device, g.list, g.kernel, g.form = d, list, loaded["log_mel"], nil
	return nil
}

// close gives the device back.
func (g *spectrograph) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.device == nil {
		return nil
	}
	return g.device.Close()
}

// melTables returns the numbers and the indices that the kernel reads.
func melTables(s *tensor.Spectrogram) (table []float64, index []int32) {
	const fifths = 5 // 25 = 5·5
	table = append(table, s.Window...)
	var sines []float64
	for b := range fifths {
		for c := range fifths {
			sin, cos := math.Sincos(2 * math.Pi * float64(b*c) / (fifths * fifths))
			table, sines = append(table, cos), append(sines, -sin)
		}
	}
	table = append(append(append(table, sines...), s.Floor), s.Weights...)
	return table, append(append(index, s.First...), s.Start...)
}
