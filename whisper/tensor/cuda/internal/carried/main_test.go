package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport checks the table of a run that has everything, and of one that has little.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := report(dir); err == nil || !strings.Contains(err.Error(), "nothing was measured") {
		t.Errorf("an empty folder: %v", err)
	}
	write("bench-turbo.json", `{"backend": "cuda/9.0", "device": "cuda:0, H200", "results": [
		{"geometry": "turbo", "dtype": "bf16", "batch": 64, "encode_ms_per_window": 5.72, "decode_ms_per_step": 0.74, "rtfx": 1600, "encode_gflops": 390000, "peak_gflops": 780000, "decode_gbps": 2150, "peak_gbps": 4300}]}`)
	write("bench-large-v3.json", `{"results": [{"geometry": "large-v3", "dtype": "bf16", "batch": 64, "encode_ms_per_window": 5.72, "decode_ms_per_step": 3.72, "rtfx": 500, "encode_gflops": 390000, "decode_gbps": 2150}]}`)
	write("flora-turbo-64.json", `{"adapters": [{"geometry": "turbo", "kind": "flora", "rank": 1, "adapters": 32, "batch": 64, "ms": 1, "over_base": 1.05, "chosen": true},
		{"geometry": "turbo", "kind": "flora", "rank": 1, "adapters": 32, "batch": 64, "ms": 9, "over_base": 9}]}`)
	write("lora-turbo-64.json", `{"adapters": [{"geometry": "turbo", "kind": "lora", "rank": 8, "adapters": 32, "batch": 64, "ms": 1, "over_base": 1.5, "chosen": true}]}`)
	write("ranks-lora.json", `{"adapters": [{"geometry": "turbo", "kind": "lora", "rank": 2, "adapters": 32, "batch": 64, "ms": 1, "over_base": 1.25, "chosen": true}]}`)
	write("peer-transformers_generate.json", `{"generate": [{"geometry": "turbo", "batch": 64, "tokens": 100, "rtfx": 400}]}`)
	write("peer-bmm_lora.json", `{"bmm": [{"rank": 2, "over_base": 3.5}]}`)
	write("bench-tiny.json", "") // failed
	text, err := report(dir)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"cuda:0, H200 model",
		"turbo bf16 64 encoder, ms a window 5.720 2.860 50%",
		"turbo bf16 64 step, ms (limit: weights alone) 0.740 0.074 10%",
		"turbo bf16 64 encoder, TFLOP/s 390.0 780.0 50%",
		"turbo bf16 64 step, GB/s 2150 4300 50%",
		"turbo bf16 64 RTFx 1600 - - 1500 ok",
		"turbo bf16 64 times transformers' RTFx of 400 4.00 - - 3 ok",
		"large-v3 bf16 64 RTFx 500 - - 600 missed",
		"large-v3 bf16 64 step, GB/s 2150 - -",
		"turbo 64 32 flora adapters of rank 1, of the base's speed 0.95 1 95% 0.9 ok",
		"turbo 64 32 lora adapters of rank 8, of the base's speed 0.67 1 67% 0.8 missed",
		"2 - 1.25 3.50",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	write("bench-turbo.json", "{")
	if _, err := report(dir); err == nil || !strings.Contains(err.Error(), "bench-turbo.json") {
		t.Errorf("a broken file: %v", err)
	}
}
