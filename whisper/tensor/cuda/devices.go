//go:build cuda && linux

package cuda

import "glossa/whisper/tensor/cuda/internal/driver"

// Count returns how many devices there are. Where there is none the error wraps [ErrUnavailable].
func Count() (int, error) { return driver.Count() }

// Devices returns what the devices are called, in the order of their numbers, which are those of [New]. It opens each. The
// error is that of Count.
func Devices() ([]string, error) {
	n, err := Count()
	if err != nil {
		return nil, err
	}
	names := make([]string, n)
	for i := range names {
		d, err := driver.Open(i)
		if err != nil {
			names[i] = "of no use: " + err.Error()
			continue
		}
		names[i] = d.Info().Name
		d.Close()
	}
	return names, nil
}
