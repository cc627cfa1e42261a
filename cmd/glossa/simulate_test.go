package main

import (
	"fmt"
	"math"
	"testing"

	"glossa/asr"
)

func TestWorkersFlag(t *testing.T) {
	for text, want := range map[string]string{
		"8": " [8]", "2-4": " [2 3 4]", "10-40/10": " [10 20 30 40]", "1,5-7/2": " [1 5 7]", "small=4": "small [4]", "a=b@x=1,2": "a=b@x [1 2]",
	} {
		var w workersFlag
		if err := w.UnmarshalText([]byte(text)); err != nil || fmt.Sprint(w.model, " ", w.numbers) != want {
			t.Errorf("%s: %+v %v", text, w, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "4-2", "2-4/0", "x", "1,", "1-9999999", "1-100000", "1.5"} {
		if err := new(workersFlag).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestRateAndMix(t *testing.T) {
	for text, want := range map[string]float64{"3600/h": 1, "30/min": 0.5, "20/s": 20, "2": 2, "86400/d": 1} {
		var r rate
		if err := r.UnmarshalText([]byte(text)); err != nil || math.Abs(float64(r)-want) > 1e-12 {
			t.Errorf("%s: %v %v", text, r, err)
		}
	}
	for _, text := range []string{"", "0/s", "-1/s", "1/week", "x/s", "Inf/s", "NaN"} {
		if err := new(rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	var m mix
	if err := m.UnmarshalText([]byte("live=1,bulk=0.5")); err != nil || m[asr.Live] != 1 || m[asr.Bulk] != 0.5 || len(m) != 2 {
		t.Errorf("%v %v", m, err)
	}
	for _, text := range []string{"", "live", "live=x", "live=-1", "=1", "live=NaN"} {
		if err := new(mix).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// FuzzSimulateFlags checks that no value of a flag does harm.
func FuzzSimulateFlags(f *testing.F) {
	for _, text := range []string{"2-4/2", "small=8", "1000000/h", "live=1,normal=2", "live:p95=2s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var w workersFlag
		if err := w.UnmarshalText([]byte(text)); err == nil && len(w.numbers) == 0 {
			t.Errorf("%q: no numbers", text)
		}
		var r rate
		if err := r.UnmarshalText([]byte(text)); err == nil && !(r > 0) {
			t.Errorf("%q: %v", text, r)
		}
		var m mix
		if err := m.UnmarshalText([]byte(text)); err == nil && len(m) == 0 {
			t.Errorf("%q: no shares", text)
		}
		var target targetFlag
		if err := target.UnmarshalText([]byte(text)); err == nil && target.Within <= 0 {
			t.Errorf("%q: %+v", text, target)
		}
	})
}
