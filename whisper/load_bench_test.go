package whisper

import (
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"glossa/whisper/safetensors"
	"glossa/whisper/tensor"
	"glossa/whisper/tensor/cpu"
)

// BenchmarkLoad measures the time and the peak memory of loading a model to serve: a file of the layout of a
// published model, whose numbers are holes, in every format of files and weights that matters.
func BenchmarkLoad(b *testing.B) {
	backend, err := cpu.New(cpu.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	for _, name := range []string{"base", "large-v3"} {
		i := slices.IndexFunc(published, func(p struct {
			name       string
			parameters int
			heads      int
		}) bool {
			return p.name == name
		})
		d := publishedDims(i)
		tok := openUpstreamTokenizer(b, d.NVocab)
		for _, file := range []safetensors.DType{safetensors.F32, safetensors.F16} {
			dir := b.TempDir()
			writeLayout(b, dir, d, tok, file, 1)
			for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16, tensor.I8} {
				b.Run(name+"/"+string(file)+"→"+dtype.String(), func(b *testing.B) {
					peak := 0
					for b.Loop() {
						b.StopTimer()
						debug.FreeOSMemory()
						before := residentMB(b, "VmRSS:")
						resetPeak(b)
						b.StartTimer()
						c, err := openWithoutVocabulary(dir)
						if err != nil {
							b.Fatal(err)
						}
						m, err := Load(c, backend, dtype)
						if err != nil {
							b.Fatal(err)
						}
						peak = max(peak, residentMB(b, "VmHWM:")-before)
						if m.Dims.NVocab != d.NVocab {
							b.Fatal(m.Dims)
						}
						c.Close()
					}
					b.ReportMetric(float64(peak), "peak-MB")
				})
			}
		}
	}
}

// resetPeak makes the peak of the process's memory begin anew, on Linux.
func resetPeak(b *testing.B) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Skipf("SKIP: peak memory, which the system does not tell: %v", err)
	}
}

// residentMB is a size in /proc/self/status.
func residentMB(b *testing.B, name string) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skipf("SKIP: peak memory, which the system does not tell: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			n, _ := strconv.Atoi(f[1])
			return n >> 10
		}
	}
	return 0
}
