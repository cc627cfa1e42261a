package web

import (
	"context"
	"sync"
	"time"
)

// The history's length and the time between its samples.
const (
	historyLength = 10 * time.Minute
	historyStep   = time.Second
)

// rateSpan is the time over which the history takes rates of what a status counts.
const rateSpan = 10 * time.Second

// History is what a source told in the last ten minutes, once a second. It is safe for concurrent use.
type History struct {
	source Source

	mu      sync.Mutex
	latest  Status
	samples []sample // the newest last, at most historyLength/historyStep
}

// sample is what the history keeps of a status.
type sample struct {
	at     time.Time
	status Status // without its lists
}

// Columns are the samples of a history, the oldest first, one slice for each of their values; all have one length.
// Times are milliseconds of Unix time, latencies seconds.
type Columns struct {
	Time         []int64   `json:"time"`
	QueueDepth   []int     `json:"queue_depth"`
	QueueSeconds []float64 `json:"queue_seconds"`
	Requests     []int     `json:"requests"`
	Sessions     []int     `json:"sessions"`
	Speaking     []int     `json:"speaking"`
	WaitP50      []float64 `json:"wait_p50"`
	WaitP95      []float64 `json:"wait_p95"`
	CommitP50    []float64 `json:"commit_p50"`
	CommitP95    []float64 `json:"commit_p95"`
	RTFx         []float64 `json:"rtfx"` // seconds of sound a second of computing, 0 where nothing was computed
	Load         []float64 `json:"load"` // share of the time that was computed in, 0 to 1
	Memory       []uint64  `json:"memory"`
}

// NewHistory returns the history of a source, which is asked once now, and again as long as Run runs.
func NewHistory(s Source) *History {
	h := &History{source: s}
	h.take()
	return h
}

// Run takes a sample each second, until ctx is done.
func (h *History) Run(ctx context.Context) {
	tick := time.NewTicker(historyStep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.take()
		}
	}
}

// take asks the source.
func (h *History) take() {
	s := h.source.Status()
	s.Batch, s.Adapters = counted(s.Batch), append([]Adapter{}, s.Adapters...)
	s.Devices = append([]Device{}, s.Devices...)
	kept := s
	kept.Batch, kept.Devices, kept.Adapters, kept.Jobs = nil, nil, nil, nil
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latest = s
	if len(h.samples) == int(historyLength/historyStep) {
		copy(h.samples, h.samples[1:])
		h.samples = h.samples[:len(h.samples)-1]
	}
	h.samples = append(h.samples, sample{time.Now(), kept})
}

// Since returns the newest status and the samples after a moment, in milliseconds of Unix time.
func (h *History) Since(ms int64) (Status, Columns) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := 0
	for first < len(h.samples) && h.samples[first].at.UnixMilli() <= ms {
		first++
	}
	return h.latest, h.columns(first)
}

// columns returns the samples from the first one on.
func (h *History) columns(first int) Columns {
	n := len(h.samples) - first
	c := Columns{
		Time: make([]int64, n), QueueDepth: make([]int, n), QueueSeconds: make([]float64, n),
		Requests: make([]int, n), Sessions: make([]int, n), Speaking: make([]int, n),
		WaitP50: make([]float64, n), WaitP95: make([]float64, n),
		CommitP50: make([]float64, n), CommitP95: make([]float64, n),
		RTFx: make([]float64, n), Load: make([]float64, n), Memory: make([]uint64, n),
	}
	for i := range n {
		s := h.samples[first+i].status
		c.Time[i] = h.samples[first+i].at.UnixMilli()
		c.QueueDepth[i], c.QueueSeconds[i] = s.QueueDepth, s.QueueSeconds
		c.Requests[i], c.Sessions[i], c.Speaking[i] = s.Requests, s.Sessions, s.Speaking
		c.WaitP50[i], c.WaitP95[i] = s.QueueWait.P50, s.QueueWait.P95
		c.CommitP50[i], c.CommitP95[i] = s.CommitLatency.P50, s.CommitLatency.P95
		c.RTFx[i], c.Load[i] = h.rates(first + i)
		c.Memory[i] = s.MemoryBytes
	}
	return c
}

// rates returns sound by computing and computing by time, over the rateSpan that ends with sample i.
func (h *History) rates(i int) (rtfx, load float64) {
	if i == 0 && len(h.samples) > 1 {
		i = 1 // the oldest has nothing before it
	}
	from := max(0, i-int(rateSpan/historyStep))
	a, b := h.samples[from], h.samples[i]
	sound, busy := b.status.AudioSeconds-a.status.AudioSeconds, b.status.BusySeconds-a.status.BusySeconds
	if busy > 0 {
		rtfx = max(0, sound) / busy
	}
	if passed := b.at.Sub(a.at).Seconds(); passed > 0 {
		load = min(1, max(0, busy)/passed)
	}
	return rtfx, load
}
