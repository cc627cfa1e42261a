//go:build cuda && linux

package main

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
	"glossa/whisper/tensor/cuda"
)

// gpus is access to the GPUs of NVIDIA.
var gpus = gpuAccess{built: true, count: cuda.Count, names: cuda.Devices, open: openCUDA}

// openCUDA opens a GPU. What has to be chosen on the host, the processor's kernels choose.
func openCUDA(ordinal int) (tensor.Backend, error) {
	b, err := cuda.New(ordinal)
	if err != nil {
		return nil, err
	}
	if g, ok := b.(*cuda.Backend); ok {
		if g.Chooser, err = cpu.New(cpu.Options{}); err != nil {
			return nil, err
		}
	}
	return b, nil
}
