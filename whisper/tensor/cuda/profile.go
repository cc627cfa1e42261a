//go:build cuda && linux

package cuda

import "glossa/whisper/tensor"

var _ tensor.Profiler = (*Backend)(nil)

// Profile implements [tensor.Profiler]. While it is on, lists are not replayed as graphs. Log-mels are not timed.
func (b *Backend) Profile(on bool) error { return b.device.Profile(on) }

// Timings implements [tensor.Profiler].
func (b *Backend) Timings() ([]tensor.Timing, error) {
	timings, err := b.device.Timings()
	all := make([]tensor.Timing, len(timings))
	for i, t := range timings {
		all[i] = tensor.Timing(t)
	}
	return all, err
}
