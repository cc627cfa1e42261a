package simulate

import (
	"testing"
	"time"
)

// TestMeasuredCostsAreInOrder checks that the costs which the README speaks of can be simulated.
func TestMeasuredCostsAreInOrder(t *testing.T) {
	l := Load{Rate: 5, Duration: 20 * time.Second, Languages: 100, Zipf: 1}
	for name, workers := range map[string]int{"nano": 1, "small": 12, "large-v3-turbo": 60} {
		m := modelOf(t, "testdata/epyc.json", name)
		if r := simulate(t, Options{Model: m, Workers: workers}, l.Arrivals()); r.Served != r.Recordings || r.Served < 50 || r.Of(All).Total.P50 > 20 {
			t.Errorf("%+v", r)
		}
	}
}
