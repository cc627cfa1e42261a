package web

import (
	"math"
	"slices"
	"sync"
	"time"
)

// latencySpan is how long a latency counts.
const latencySpan = 15 * time.Second

// latencyCount is the greatest number of latencies that count.
const latencyCount = 4096

// Latencies keeps the latencies of the last 15 seconds, the newest 4,096 at most, for their quantiles. The zero value is
// empty and ready to use. It is safe for concurrent use.
type Latencies struct {
	mu   sync.Mutex
	ring []latency
	next int // where the next one goes once the ring is full
}

type latency struct {
	at      time.Time
	seconds float64
}

// Observe adds a latency.
func (l *Latencies) Observe(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x := latency{time.Now(), d.Seconds()}
	if len(l.ring) < latencyCount {
		l.ring = append(l.ring, x)
		return
	}
	l.ring[l.next] = x
	l.next = (l.next + 1) % latencyCount
}

// Quantiles returns those of now.
func (l *Latencies) Quantiles() Quantiles {
	l.mu.Lock()
	oldest := time.Now().Add(-latencySpan)
	var seconds []float64
	for _, x := range l.ring {
		if x.at.After(oldest) {
			seconds = append(seconds, x.seconds)
		}
	}
	l.mu.Unlock()
	slices.Sort(seconds)
	return Quantiles{
		Count: len(seconds),
		P50:   quantile(seconds, 0.50),
		P95:   quantile(seconds, 0.95),
		P99:   quantile(seconds, 0.99),
	}
}

// quantile returns the smallest of the sorted values that a share q of them is not above, 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
