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
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"B", 1},
}

// UnmarshalText reads a size such as 500MB, 1.5 GiB or 4096.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, scale := strings.ToLower(strings.TrimSpace(string(text))), 1.0
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(number, strings.ToLower(u.name)); ok {
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

// String returns the size in the greatest unit of which it is a whole number.
func (b byteSize) String() string {
	for _, u := range byteUnits {
		if n := float64(b) / u.bytes; n >= 1 && n == math.Trunc(n) {
			return strconv.FormatFloat(n, 'f', -1, 64) + u.name
		}
	}
	return "0B"
}
