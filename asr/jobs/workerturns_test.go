package jobs

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"glossa/asr"
)

// flow is a simulation of turns: what comes, what is asked for, and what runs.
type flow struct {
	t       *testing.T
	turns   *turns
	slots   int
	rtt     time.Duration
	now     time.Duration
	waiting []int         // messages by line
	out     map[int]ask   // by line
	until   map[int]int64 // when a request without a message is answered
	ends    []time.Duration
	begun   []int // lines of jobs, in their order
	asks    int
}

func newFlow(t *testing.T, slots int, of ...asr.Priority) *flow {
	return &flow{t: t, turns: newTurns(slots, of...), slots: slots, rtt: time.Millisecond, waiting: make([]int, len(of)), out: map[int]ask{}, until: map[int]int64{}}
}

// step asks for what there is to ask for, answers it, and ends jobs, up to a time.
func (f *flow) step(to time.Duration, lasts func() time.Duration) {
	for f.now < to {
		for {
			a, ok := f.turns.next()
			if !ok {
				break
			}
			if _, twice := f.out[a.line]; twice {
				f.t.Fatal("a line is asked for twice at a time")
			}
			f.asks++
			f.out[a.line], f.until[a.line] = a, int64(f.now+max(a.wait, f.rtt))
		}
		if used := f.asked() + len(f.ends); used > f.slots {
			f.t.Fatalf("%d slots are used, of %d", used, f.slots)
		}
		f.now += f.rtt
		for line, a := range f.out {
			got := min(f.waiting[line], a.n)
			if got == 0 && int64(f.now) < f.until[line] {
				continue
			}
			delete(f.out, line)
			f.turns.answered(a, got)
			f.waiting[line] -= got
			for range got {
				f.begun = append(f.begun, line)
				f.ends = append(f.ends, f.now+lasts())
			}
		}
		slices.Sort(f.ends)
		for len(f.ends) > 0 && f.ends[0] <= f.now {
			f.ends = f.ends[1:]
			f.turns.ended()
		}
	}
}

// asked returns the number of messages that are asked for.
func (f *flow) asked() (n int) {
	for _, a := range f.out {
		n += a.n
	}
	return n
}

func count(lines []int, line int) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

func TestTurnsGiveBulkOneInFour(t *testing.T) {
	for _, slots := range []int{1, 2, 3, 16} {
		f := newFlow(t, slots, asr.Normal, asr.Bulk)
		f.waiting = []int{1000, 1000}
		f.step(time.Minute, func() time.Duration { return time.Second })
		for i := 0; i+4 <= min(len(f.begun), 1000); i += 4 {
			if n := count(f.begun[i:i+4], 1); n != 1 {
				t.Fatalf("%d slots: %d of the jobs %d to %d are bulk: %v", slots, n, i, i+3, f.begun[i:i+4])
			}
		}
		if want := 50 * slots; len(f.begun) < want {
			t.Errorf("%d slots: %d jobs of a second have begun in a minute, want at least %d", slots, len(f.begun), want)
		}
	}
}

func TestTurnsLeaveNothingThatWaits(t *testing.T) {
	for line := range 2 {
		for _, slots := range []int{1, 2, 16} {
			f := newFlow(t, slots, asr.Normal, asr.Bulk)
			f.step(time.Minute, nil) // idle
			f.waiting[line] = 3 * slots
			f.step(f.now+2*time.Second, func() time.Duration { return 100 * time.Millisecond })
			if len(f.begun) != 3*slots {
				t.Errorf("%d slots, line %d: %d jobs of %d have begun within two seconds", slots, line, len(f.begun), 3*slots)
			}
		}
	}
}

func TestTurnsAskSeldomWhereNothingWaits(t *testing.T) {
	for _, c := range []struct {
		slots, most int
		of          []asr.Priority
	}{{16, 25, []asr.Priority{asr.Normal, asr.Bulk}}, {1, 125, []asr.Priority{asr.Normal, asr.Bulk}}, {4, 8, []asr.Priority{asr.Live}}} {
		f := newFlow(t, c.slots, c.of...)
		f.step(time.Minute, nil)
		if f.asks > c.most {
			t.Errorf("%d slots of %v: %d requests in an idle minute, want at most %d", c.slots, c.of, f.asks, c.most)
		}
	}
}

func TestTurnsNeverExceedSlots(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 15 {
		slots := 1 + rng.IntN(8)
		f := newFlow(t, slots, asr.Normal, asr.Bulk)
		sent := 0
		for range 40 {
			line, n := rng.IntN(2), rng.IntN(2*slots)
			f.waiting[line] += n
			sent += n
			f.step(f.now+time.Duration(rng.IntN(3000))*time.Millisecond, func() time.Duration { return time.Duration(1+rng.IntN(500)) * time.Millisecond })
		}
		f.step(f.now+time.Duration(sent)*time.Second, func() time.Duration { return time.Millisecond })
		if len(f.begun) != sent || f.turns.free+f.asked() != slots {
			t.Fatalf("seed %d: %d of %d jobs have begun; %d slots are free and %d asked for, of %d", seed, len(f.begun), sent, f.turns.free, f.asked(), slots)
		}
	}
}

func TestBackoffGrows(t *testing.T) {
	b := backoff{first: 100 * time.Millisecond, most: 5 * time.Second}
	var all []string
	for i := range 40 {
		d := b.next()
		base := min(100*time.Millisecond<<min(i, 20), 5*time.Second)
		if cmp.Compare(d, base/2) < 0 || d > 3*base/2 {
			t.Errorf("delay %d is %v, want about %v", i, d, base)
		}
		all = append(all, fmt.Sprint(d))
	}
	if len(slices.Compact(all)) < 10 {
		t.Error("the delays have no jitter")
	}
}
