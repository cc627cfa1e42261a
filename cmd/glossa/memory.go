package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"glossa/whisper"
	"glossa/whisper/tensor"
)

// peakMemory returns the most memory that the process had since resetPeakMemory, or where that does
// nothing since its beginning; 0 where the system does not tell.
func peakMemory() int64 {
	if n := procField("/proc/self/status", "VmHWM:"); n > 0 {
		return n
	}
	return maxResident()
}

// resetPeakMemory makes peakMemory begin anew, on Linux.
func resetPeakMemory() {
	const resetPeak = "5" // proc(5)
	_ = os.WriteFile("/proc/self/clear_refs", []byte(resetPeak), 0)
}

// availableMemory returns how much memory can be taken without swapping, 0 where the system does not
// tell.
func availableMemory() int64 { return procField("/proc/meminfo", "MemAvailable:") }

// procField returns a size in one of Linux's files of fields, 0 where there is none.
func procField(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name && fields[2] == "kB" {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// modelMemory returns about how much memory a packed model takes, beside int8 with the rows of the
// token embedding in bfloat16.
func modelMemory(d whisper.Dims, dtype tensor.DType) int64 {
	weights, channels := 0, 0
	for _, l := range whisper.Outline(d).Linears() {
		weights += l.Weight.Rows * l.Weight.Cols
		channels += l.Weight.Rows
	}
	embedding := d.NVocab * d.NTextState
	n := weightBytes(dtype, weights+embedding, channels+d.NVocab)
	if dtype == tensor.I8 {
		n += halfSize * int64(embedding)
	}
	return n
}

// checkLoading returns errMemory where a model, the plain token embedding while it is packed, and one
// window take more memory than there is, swap included: the system would end the process. On a device it is the
// device's memory.
func checkLoading(on computer, d whisper.Dims, dtype tensor.DType) error {
	available, _, ok := memoryOf(on.backend)
	if !ok {
		if available = availableMemory(); available == 0 {
			return nil // not known
		}
		available += procField("/proc/meminfo", "SwapFree:")
	}
	need := modelMemory(d, dtype) + float32Size*int64(d.NVocab)*int64(d.NTextState) + batchMemory(d, dtype, 1, 1)
	if need > available {
		return fmt.Errorf("%w: in %s it takes %s, there are %s", errMemory, dtype, formatBytes(need), formatBytes(available))
	}
	return nil
}

// batchMemory returns about how much memory a batch of windows takes, so many of them encoded
// together: keys and values of each, twice of those that are encoded, and what a block computes.
func batchMemory(d whisper.Dims, dtype tensor.DType, batch, together int) int64 {
	const wide = 24 // numbers of a block's results to one of its input
	cross, self := crossBytes(d, dtype), selfBytes(d, d.NTextCtx)
	block := float32Size * wide * int64(d.NAudioCtx) * int64(d.NAudioState)
	return int64(batch)*(cross+self) + int64(together)*(cross+block)
}
