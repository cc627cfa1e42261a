package main

import (
	"errors"
	"testing"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// TestModelThatDoesNotFitIsRefused checks that a model is refused before it is loaded where it would
// take all memory, and only there.
func TestModelThatDoesNotFitIsRefused(t *testing.T) {
	if availableMemory() == 0 {
		t.Skip("SKIP: the size of the memory, which the system does not tell")
	}
	d, _ := whisper.Geometry("tiny")
	for _, dtype := range dtypes {
		if err := checkLoading(computer{name: cpuDevice}, d, dtype); err != nil {
			t.Errorf("tiny: %v", err)
		}
	}
	d.NVocab = 1 << 40
	if err := checkLoading(computer{name: cpuDevice}, d, tensor.I8); !errors.Is(err, errMemory) {
		t.Errorf("a vocabulary of %d tokens: %v", d.NVocab, err)
	}
}
