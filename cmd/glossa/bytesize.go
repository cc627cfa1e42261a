package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// byteSize is a number of bytes.
type byteSize int64

// byteUnits are the units of sizes, those of formatBytes and the binary ones.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1},
}

// UnmarshalText reads a size such as 500MB, 1.5 GiB or 4096.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, scale := strings.ToLower(strings.TrimSpace(string(text))), 1.0
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, scale = strings.TrimSpace(n), u.bytes
			break
		}
	}
	x, err := strconv.ParseFloat(number, 64)
	if size := x * scale; err != nil || !(size >= 1) || size >= math.MaxInt64 {
		return fmt.Errorf("%q is no size; want one such as 500MB or 2GiB", text)
	}
	*b = byteSize(x * scale)
	return nil
}
