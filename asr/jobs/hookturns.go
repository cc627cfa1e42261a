package jobs

import (
	"maps"
	"sync"
	"time"
)

// Bounds of how long a message waits for its receiver's turn.
const (
	shortestTurn = 100 * time.Millisecond
	longestTurn  = 10 * time.Minute
	maxTurns     = 1000 // receivers that are remembered
)

// hookTurns bounds the attempts at each receiver that are under way, and says to the others when to come again: one after the other, as fast as the
// receiver has been.
type hookTurns struct {
	max     int
	longest time.Duration // that a message waits

	mu sync.Mutex
	of map[string]*hookTurn
}

type hookTurn struct {
	running int
	began   time.Time     // the last of them
	took    time.Duration // an attempt, of late
	next    time.Time     // when the last that was told to come again comes
}

func newHookTurns(max int) *hookTurns {
	return &hookTurns{max: max, longest: longestTurn, of: make(map[string]*hookTurn)}
}

// begin counts an attempt until its end. !ok: it is to come again after so long.
func (t *hookTurns) begin(receiver string, now time.Time) (wait time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of[receiver]
	if r == nil {
		r = new(hookTurn)
		t.of[receiver] = r
	}
	if r.running < t.max {
		r.running++
		r.began = now
		return 0, true
	}
	if r.next.Before(now) {
		r.next = now
	}
	r.next = r.next.Add(max(r.took, now.Sub(r.began), time.Millisecond) / time.Duration(t.max))
	return min(max(r.next.Sub(now), shortestTurn), t.longest), false
}

// end counts an attempt no more.
func (t *hookTurns) end(receiver string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of[receiver]
	r.running--
	r.took = (r.took + took) / 2
	if now := time.Now(); len(t.of) > maxTurns {
		maps.DeleteFunc(t.of, func(_ string, r *hookTurn) bool { return r.running == 0 && !r.next.After(now) })
	}
}
