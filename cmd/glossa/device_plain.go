//go:build !cuda || !linux

package main

import "glossa/whisper/tensor/cuda"

// gpus is access to no GPU.
var gpus = gpuAccess{count: cuda.Count, names: cuda.Devices, open: cuda.New}
