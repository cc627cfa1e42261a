//go:build cuda && linux

package cuda

import (
	"math/rand/v2"
	"testing"

	"glossa/whisper/tensor"
)

// TestPickSteadyStep checks that choosing tokens at each step allocates nothing, is a replayed graph, and brings a few bytes of
// each row to the host.
func TestPickSteadyStep(t *testing.T) {
	const nRow, n = 6, 3000
	b := openPlainly(t)
	o := tensor.NewOps(b)
	defer o.Free()
	rng := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, nRow*n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	logits := o.Upload(nRow, n, x)
	choices := make([]tensor.Choice, nRow)
	round := 0
	step := func() {
		round++
		for i := range choices {
			c := &choices[i]
			c.Reset()
			for range (i + round) % 3 { // there are more and less
				c.Exclude(0, int32(20+round))
			}
			c.Timestamps, c.Likeliest = n-100, 6
		}
		if err := o.Pick(logits, choices); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		step()
	}
	before := b.device.Stats()
	const rounds = 10
	allocations := testing.AllocsPerRun(rounds, step)
	after := b.device.Stats()
	if allocations != 0 {
		t.Errorf("%g allocations a step, want 0", allocations)
	}
	if replayed := after.GraphLaunches - before.GraphLaunches; replayed != rounds+1 {
		t.Errorf("%d of %d steps were graphs", replayed, rounds+1)
	}
	if bytes := (after.BytesOut - before.BytesOut) / (rounds + 1) / nRow; bytes > 100 {
		t.Errorf("%d bytes a row come to the host", bytes)
	}
}
