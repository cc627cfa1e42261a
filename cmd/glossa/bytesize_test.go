package main

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"1": 1, "4096": 4096, "4096B": 4096, "500MB": 500_000_000, "500m": 500_000_000, "1.5 GiB": 3 << 29, "2kib": 2048, " 3 k ": 3000, "1e3": 1000,
	} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q is %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1MB", "MB", "lots", "NaN", "inf", "1e30", "5 XB", "0.2"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}
