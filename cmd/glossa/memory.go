package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"

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

// boundMemory has the garbage collector keep within nine tenths of what a container or a service of systemd may have, so that
// the system does not end the process for what could have been collected. GOMEMLIMIT, where it is set, counts instead.
func boundMemory() {
	_, _ = memlimit.Set() // without a limit nothing is set
}

// availableMemory returns how much memory can be taken without swapping, 0 where the system does not tell.
func availableMemory() int64 { return withinLimit(procField("/proc/meminfo", "MemAvailable:")) }

// availableWithSwap returns how much memory can be taken at all, 0 where the system does not tell.
func availableWithSwap() int64 {
	available := procField("/proc/meminfo", "MemAvailable:")
	if available > 0 {
		available += procField("/proc/meminfo", "SwapFree:")
	}
	return withinLimit(available)
}

// withinLimit returns the lesser of a size and what the process's control group leaves.
func withinLimit(available int64) int64 {
	limit, err := memlimit.FromCgroup()
	if err != nil || limit > math.MaxInt64 {
		return available
	}
	left := max(int64(limit)-procField("/proc/self/status", "VmRSS:"), 1)
	if available == 0 {
		return left
	}
	return min(available, left)
}

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
		if available = availableWithSwap(); available == 0 {
			return nil // not known
		}
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
