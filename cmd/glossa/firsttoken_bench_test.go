package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// firstWrite is a writer that knows when it was first written to.
type firstWrite struct{ at time.Time }

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
	}
	return len(p), nil
}

// BenchmarkFirstText measures the time from the command line to the text of one recording: flags,
// the embedded model and its adapters, sound, encoder and decoder.
func BenchmarkFirstText(b *testing.B) {
	clip := filepath.Join("..", "..", "testdata", "multilingual", "en", "00.flac")
	if _, err := os.Stat(clip); err != nil {
		b.Skipf("SKIP: the multilingual test set, absent: %v", err)
	}
	var sum time.Duration
	for b.Loop() {
		var out firstWrite
		begin := time.Now()
		if status := run(b.Context(), []string{"transcribe", clip}, &out, io.Discard); status != statusOK {
			b.Fatalf("status %d", status)
		}
		sum += out.at.Sub(begin)
	}
	b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/text")
}
