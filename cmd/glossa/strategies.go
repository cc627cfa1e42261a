package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"glossa/flora"
	"glossa/whisper"
	"glossa/whisper/tensor"
)

// strategyOptions returns how adapters of m are computed beside each other in batches of so many windows: by what
// strategies cost on this machine or GPU, which is measured there once and kept in the user's cache. Without a cache it is
// what they cost on others. Weights that are merged for adapters take so much memory at most.
func strategyOptions(m *whisper.Model, b computer, batch int, merged mergedMemory) (flora.Options, error) {
	policy := flora.DefaultPolicy(m)
	policy.Encode = encodeLoad(m, b)
	policy.Decode = flora.Load{Rows: batch, Adapters: batch}
	policy.MergedBytes = merged.on(m, b, batch)
	o := flora.Options{Policy: policy}
	machine := processor()
	if b.gpu() {
		_, machine, _ = strings.Cut(b.describe(), ", ") // without its number
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return o, nil
	}
	key := flora.NewCostsKey(m, b.backend, threadsOf(b.backend), machine, policy.Encode)
	o.Costs, err = flora.CachedCosts(filepath.Join(cache, "glossa"), key, func() (*flora.Costs, error) { return calibrate(m, b) })
	if err != nil {
		return o, fmt.Errorf("costs of adapters: %w", err)
	}
	return o, nil
}

// encodeLoad returns what the encoder's linears are called with: on a GPU rows of as many windows as are encoded together, each under an adapter of
// its own, and on a processor those of one.
func encodeLoad(m *whisper.Model, b computer) flora.Load {
	windows := encodesOn(b)
	return flora.Load{Rows: windows * m.Dims.NAudioCtx, Adapters: windows}
}

// calibrate measures what strategies cost for a model on a device.
func calibrate(m *whisper.Model, b computer) (*flora.Costs, error) {
	return flora.Calibrate(m, b.backend, encodeLoad(m, b), flora.Stopwatch(time.Now, flora.CalibrationBudget))
}

// mergedShare is the part of what is free on a GPU, beside the model and a full batch, that merged weights have.
const mergedShare = 4

// mergedMemory is the most memory of each device that merged weights take.
type mergedMemory struct {
	given bool
	bytes byteSize
}

// UnmarshalText reads a size, or none, or nothing, which stands for the default.
func (m *mergedMemory) UnmarshalText(text []byte) error {
	*m = mergedMemory{given: len(text) > 0}
	if !m.given || string(text) == "none" {
		return nil
	}
	return m.bytes.UnmarshalText(text)
}

// String returns what UnmarshalText reads, "" of the default.
func (m mergedMemory) String() string {
	switch {
	case !m.given:
		return ""
	case m.bytes == 0:
		return "none"
	}
	return m.bytes.String()
}

// on returns the bytes for a model, which is loaded, on a device where so many windows are decoded together: by default a quarter of what is left
// on a GPU, and nothing of a processor's memory, where to mix them at each use costs a few per cent.
func (m mergedMemory) on(model *whisper.Model, b computer, batch int) int64 {
	free, _, ok := memoryOf(b.backend)
	if m.given || !b.gpu() || !ok {
		return int64(m.bytes)
	}
	return max(0, free-batchMemory(model.Dims, weightsOf(model), batch, gpuEncodes)) / mergedShare
}

// weightsOf returns the number format of the weights of a model.
func weightsOf(m *whisper.Model) tensor.DType {
	for _, l := range m.Linears() {
		if l.Weight.Packed != nil {
			return l.Weight.Packed.DType()
		}
	}
	return tensor.F32
}

// processor returns the name of the processor, or its architecture where the system does not tell.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
