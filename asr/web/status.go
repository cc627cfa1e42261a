package web

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Source tells what a server does now. It is asked once a second.
type Source interface {
	Status() Status
}

// Status is what a server does at a moment.
type Status struct {
	Started time.Time `json:"started"`

	QueueDepth   int     `json:"queue_depth"`   // requests of which nothing was computed yet
	QueueSeconds float64 `json:"queue_seconds"` // of sound in them, as far as it was read
	Requests     int     `json:"requests"`      // that were taken and have not ended
	Sessions     int     `json:"sessions"`      // live, resumable ones included
	Speaking     int     `json:"speaking"`      // live sessions in which somebody speaks

	// QueueWait is the time from when a request came to when it was first computed, CommitLatency that from the end of a
	// word of a live session to its commit. Both are of the latest seconds, see [Latencies].
	QueueWait     Quantiles `json:"queue_wait"`
	CommitLatency Quantiles `json:"commit_latency"`

	// AudioSeconds is the sound that was turned into text since the start, BusySeconds the time that the engine
	// computed, the mean of its devices. Their rates are the history's RTFx and load.
	AudioSeconds float64 `json:"audio_seconds"`
	BusySeconds  float64 `json:"busy_seconds"`

	MemoryBytes uint64    `json:"memory_bytes"`   // that the process has of the system
	Batch       []Batch   `json:"batch"`          // windows that are computed now, one by one or counted
	MaxWindows  int       `json:"max_windows"`    // that can be computed at a time
	Devices     []Device  `json:"devices"`        // that compute, those that are out of service included
	Adapters    []Adapter `json:"adapters"`       // in the order to list them
	Jobs        *Jobs     `json:"jobs,omitempty"` // nil where the server has none
}

// Jobs are those that a server knows of, whoever does them.
type Jobs struct {
	Queued         int     `json:"queued"`
	Running        int     `json:"running"`
	Failed         int     `json:"failed"`          // since the start
	BacklogSeconds float64 `json:"backlog_seconds"` // of sound that has no text yet, as far as its duration is known
}

// Quantiles are those of a time, in seconds. They are 0 where Count is.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// Batch is the windows that are computed now, of one language, adapter and priority.
type Batch struct {
	Language string `json:"language"` // a code, "" where it is not known yet
	Adapter  string `json:"adapter"`  // "" for the base model
	Priority string `json:"priority"` // live, normal or bulk
	Windows  int    `json:"windows"`
}

// counted returns a batch with those of one language, adapter and priority together, in the order of these.
func counted(windows []Batch) []Batch {
	sum := make(map[Batch]int)
	for _, b := range windows {
		n := b.Windows
		b.Windows = 0
		sum[b] += n
	}
	batch := []Batch{}
	for b, n := range sum {
		b.Windows = n
		batch = append(batch, b)
	}
	slices.SortFunc(batch, func(a, b Batch) int {
		return cmp.Or(cmp.Compare(a.Language, b.Language), cmp.Compare(a.Adapter, b.Adapter), cmp.Compare(a.Priority, b.Priority))
	})
	return batch
}

// Device is what the engine computes on.
type Device struct {
	Name           string `json:"name"`
	Lost           bool   `json:"lost"`             // it is out of service
	Windows        int    `json:"windows"`          // that have their places there
	MemoryBytes    int    `json:"memory_bytes"`     // of these windows
	MaxMemoryBytes int    `json:"max_memory_bytes"` // that they may have, as far as is known
}

// Adapter is one of the bank.
type Adapter struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Rank     int    `json:"rank"`
	Tier     string `json:"tier"`     // where it is
	Bytes    int64  `json:"bytes"`    // of memory
	Pins     int    `json:"pins"`     // requests that hold it now
	Requests int64  `json:"requests"` // that have asked for it
}

// statusJSON answers with the newest status and the history: all of it, or what is after the moment ?since=, in
// milliseconds of Unix time.
func statusJSON(about About, h *History) http.HandlerFunc {
	type answer struct {
		About
		Status  Status  `json:"status"`
		History Columns `json:"history"`
	}
	return func(w http.ResponseWriter, r *http.Request) {
		var since int64
		if s := r.URL.Query().Get("since"); s != "" {
			var err error
			if since, err = strconv.ParseInt(s, 10, 64); err != nil {
				http.Error(w, "since is not a number of milliseconds", http.StatusBadRequest)
				return
			}
		}
		latest, columns := h.Since(since)
		writeJSON(w, answer{about, latest, columns})
	}
}
