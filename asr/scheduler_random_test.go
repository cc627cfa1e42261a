package asr

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestSchedulerKeepsItsBounds drives schedulers at random, and checks that places, memory and the
// encoder's batches keep to their bounds, that plans name tasks that are there and not busy, and that
// every task comes to its end.
func TestSchedulerKeepsItsBounds(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(map[string]int{"max-windows": 1 + rng.IntN(5), "live-windows": 1 + rng.IntN(2), "memory": 100,
			"encoder-frames": 6000, "other-steps": 1 + rng.IntN(8), "ahead": 1 + rng.IntN(3)})
		submitted := 0
		for submitted < 40 || w.Len() > 0 {
			if submitted < 40 && rng.IntN(3) == 0 {
				submitted++
				a := map[string]int{"frames": 100 + rng.IntN(3000), "bytes": 1 + rng.IntN(40), "steps": 1 + rng.IntN(6), "attempts": 1 + rng.IntN(2),
					"windows": 1 + rng.IntN(3), "words": rng.IntN(2), "detect": rng.IntN(2)}
				if rng.IntN(3) == 0 {
					a["adapt"] = rng.IntN(int(200 * time.Millisecond))
				}
				if rng.IntN(15) == 0 {
					a["bytes"] = 150
				}
				w.submit(fmt.Sprint(submitted), Priority(rng.IntN(int(priorities))).String(), a)
			}
			if rng.IntN(20) == 0 {
				w.Cancel(TaskID(1 + rng.IntN(submitted+1)))
			}
			w.run()
			o, d := w.Options(), w.devices[0]
			if d.admitted > o.MaxWindows+o.LiveWindows || d.used > o.Memory && d.admitted > 1 || d.stepping != len(w.batch) {
				t.Fatalf("seed %d: %d windows of %d bytes, %d in the batch of %d", seed, d.admitted, d.used, d.stepping, len(w.batch))
			}
		}
		if d := w.devices[0]; len(w.tasks) > 0 || d.admitted != 0 || d.used != 0 || d.live != 0 || w.adapting != 0 || w.ahead != [priorities]int{} || w.Next().Kind != Nothing {
			t.Fatalf("seed %d: %d tasks are left, %+v", seed, len(w.tasks), w.Scheduler)
		}
	}
}

// TestSteadyPlanAllocatesNothing checks that a plan in which nothing but the next step is to be done
// leaves no garbage.
func TestSteadyPlanAllocatesNothing(t *testing.T) {
	w := newWorld(map[string]int{"max-windows": 4})
	for i := range 9 {
		w.submit(fmt.Sprint(i), "normal", map[string]int{"steps": 1000})
	}
	for range 20 {
		w.run()
	}
	if n := testing.AllocsPerRun(100, func() {
		if p := w.Next(); p.Kind != ToDecode || len(p.Tasks) > 0 {
			t.Fatalf("%+v", p)
		}
		w.Apply()
	}); n != 0 {
		t.Errorf("%v allocations a step, want 0", n)
	}
}
