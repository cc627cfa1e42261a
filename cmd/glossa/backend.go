package main

import (
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// newBackend returns the fastest backend that this machine has.
func newBackend() (tensor.Backend, error) { return cpu.New(cpu.Options{}) }
