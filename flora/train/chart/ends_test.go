package chart

import (
	"bytes"
	"math"
	"testing"

	"gonum.org/v1/plot/vg"
)

func TestNamesStandApart(t *testing.T) {
	at := []vg.Point{{Y: 100}, {Y: 3}, {Y: 2}, {X: 1, Y: 2}}
	apart(at)
	for i, want := range []vg.Length{100, 2 + 2*endStep, 2, 2 + endStep} {
		if math.Abs(float64(at[i].Y-want)) > 1e-9 {
			t.Errorf("name %d at %v, want %v", i, at[i].Y, want)
		}
	}
}

// TestNamesStandOnceAtEnds holds that they are not in the legend too, and that a line of no points has none.
func TestNamesStandOnceAtEnds(t *testing.T) {
	nan := math.NaN()
	f := Figure{Panels: []Panel{{Ends: true, Series: []Series{
		{Name: "ends early", X: []float64{1, 2, 3}, Y: []float64{1, 2, nan}},
		{Name: "never was", X: []float64{1}, Y: []float64{nan}},
	}}}}
	if legend := f.legend(); len(legend) > 0 {
		t.Errorf("legend %v", legend)
	}
	if x, y, ok := f.Panels[0].Series[0].end(); x != 2 || y != 2 || !ok {
		t.Errorf("the line ends at %v, %v, %v; want 2, 2", x, y, ok)
	}
	svg, err := f.SVG(Light())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"ends early": 1, "never was": 0} {
		if n := bytes.Count(svg, []byte(name)); n != want {
			t.Errorf("%q stands in the figure %d times, want %d", name, n, want)
		}
	}
}
