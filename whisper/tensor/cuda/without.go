//go:build !cuda || !linux

package cuda

import (
	"errors"

	"glossa/whisper/tensor"
)

// ErrUnavailable is wrapped by the error of [New] where there is nothing to compute on.
var ErrUnavailable = errors.New("this glossa was built without CUDA (-tags cuda)")

// New returns ErrUnavailable.
func New(int) (tensor.Backend, error) { return nil, ErrUnavailable }

// Count returns ErrUnavailable.
func Count() (int, error) { return 0, ErrUnavailable }

// Devices returns ErrUnavailable.
func Devices() ([]string, error) { return nil, ErrUnavailable }
