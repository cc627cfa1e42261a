package measure

import (
	"math"
	"testing"
	"time"

	"glossa/asr/simulate"
)

func TestMedianOfPasses(t *testing.T) {
	pass := func(x float64) *simulate.Model {
		return &simulate.Model{
			Name: "n", WindowFrames: int(x), Enter: x, Encode: []simulate.EncodeCost{{Frames: 7, Seconds: 2 * x}}, Adapters: &simulate.Adapters{Bring: 3 * x},
		}
	}
	m := Median(pass(5), pass(100), pass(1))
	if m.Name != "n" || m.WindowFrames != 5 || m.Enter != 5 || m.Encode[0] != (simulate.EncodeCost{Frames: 7, Seconds: 10}) || m.Adapters.Bring != 15 {
		t.Errorf("%+v", m)
	}
	if m := Median(pass(1), pass(2)); m.Enter != 1.5 {
		t.Errorf("%+v", m)
	}
}

func TestRegress(t *testing.T) {
	at0, slope := regress(func(i int) float64 { return float64(i) }, []float64{2, 5, 8})
	if math.Abs(at0-2) > 1e-12 || math.Abs(slope-3) > 1e-12 {
		t.Error(at0, slope)
	}
	at0, slope = regress(func(i int) float64 { return float64(1 + i) }, []float64{0.5, 2, 4}) // the line goes below 0
	if at0 != 0 || math.Abs(slope-6.5/6) > 1e-12 {
		t.Error(at0, slope)
	}
}

// TestAtSpeedTellsWhatAMachineOfOneSpeedWouldTake checks that times are told as of the first probe, and at last as of the usual one.
func TestAtSpeedTellsWhatAMachineOfOneSpeedWouldTake(t *testing.T) {
	m := &bench{probe: func() (d time.Duration, err error) { return }}
	if got := m.atSpeed([]float64{10, 20, 2}); got[0] != 10 || got[1] != 20 || len(got) != 2 {
		t.Error(got)
	}
	for range 2 {
		if got := m.atSpeed([]float64{30, 6}); got[0] != 10 { // the machine is three times as slow
			t.Error(got)
		}
	}
	if o := m.usualSpeed(&simulate.Model{Enter: 10}); o.Enter != 30 {
		t.Error(o.Enter)
	}
}
