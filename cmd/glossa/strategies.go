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
)

// strategyOptions returns how adapters of m are computed beside each other in batches of so many windows: by what
// strategies cost on this machine, which is measured once and kept in the user's cache. Without a cache it is what
// they cost on others.
func strategyOptions(m *whisper.Model, b computer, batch int) (flora.Options, error) {
	policy := flora.DefaultPolicy(m)
	policy.Decode = flora.Load{Rows: batch, Adapters: batch}
	o := flora.Options{Policy: policy}
	machine := processor()
	if b.gpu() {
		_, machine, _ = strings.Cut(b.describe(), ", ") // without its number
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return o, nil
	}
	o.Costs, err = flora.CachedCosts(filepath.Join(cache, "glossa"), flora.NewCostsKey(m, b.backend, threadsOf(b.backend), machine), func() (*flora.Costs, error) {
		return flora.Calibrate(m, b.backend, flora.Stopwatch(time.Now, flora.CalibrationBudget))
	})
	if err != nil {
		return o, fmt.Errorf("costs of adapters: %w", err)
	}
	return o, nil
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
