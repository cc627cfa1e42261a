//go:build !cuda

package main

import (
	"errors"

	"glossa/whisper/tensor"
)

// errPlain is the error of GPUs in a program that was built without the tag cuda.
var errPlain = errors.New("this glossa was built without CUDA (-tags cuda)")

// gpus is access to no GPU.
var gpus = gpuAccess{
	count: func() (int, error) { return 0, errPlain },
	names: func() ([]string, error) { return nil, errPlain },
	open:  func(int) (tensor.Backend, error) { return nil, errPlain },
}
